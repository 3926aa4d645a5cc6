"""PyTorch, eager: modules built from the specification; nothing of a benchmark's code is run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from aimatrix.backends.backend import Backend, Pass, first_line
from aimatrix.backends.blocks import trains
from aimatrix.backends.environment import host_environment
from aimatrix.backends.loose import operands, runs
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform

_DTYPES = ("float32", "bfloat16", "float16")


class TorchEager(Backend):
    """Any device of torch; float32 (never TF32), bfloat16 and float16."""

    name = "torch"

    def check(self, platform: Platform) -> None:
        """Run a small convolution, since no list says what a build of torch can do."""
        if find_spec("torch") is None:
            raise MissingPackageError("torch", f"the backend {self.name}")
        import torch

        if platform.dtype not in _DTYPES:
            raise UnsupportedError(
                f"the backend {self.name} does not run {platform.dtype}; it runs"
                f" {', '.join(_DTYPES)}"
            )
        try:
            convolution = torch.nn.Conv2d(4, 4, 3).to(platform.device, _dtype(platform))
            with torch.inference_mode():
                convolution(torch.zeros(1, 4, 8, 8).to(platform.device, _dtype(platform)))
        except Exception as error:  # each device has errors of its own
            raise UnsupportedError(
                f"torch {torch.__version__} here does not run {platform.dtype} on the device"
                f" {platform.device!r}: {first_line(error)}"
            ) from error

    def environment(self, platform: Platform) -> dict[str, str]:
        """The host's; torch, framework, instruction_set, gpu and cuda where there are any."""
        import torch

        set_up(platform)
        environment = host_environment(platform)
        environment["threads"] = str(torch.get_num_threads())
        environment["framework"] = f"torch {torch.__version__}"
        environment["instruction_set"] = str(torch.backends.cpu.get_cpu_capability())
        if torch.device(platform.device).type == "cuda":
            environment["gpu"] = str(torch.cuda.get_device_name(platform.device))
            environment["cuda"] = str(torch.version.cuda or torch.version.hip)
        return environment

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """Stage after stage."""
        from aimatrix.backends.torch_layers import build_stages, example_input

        def make() -> Pass:
            stages = [
                self.transform(stage.to(platform.device, _dtype(platform)))
                for stage in build_stages(benchmark)
            ]
            x = example_input(benchmark).to(platform.device, _dtype(platform))
            return _StagePass(stages, x, platform)

        self.check(platform)
        return self.tried(make)

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """Stage after stage; what is float32 in the benchmark is of the platform's dtype.

        Stages that train are missing where that is not the benchmark's: applications that train
        choose their own dtype.
        """
        from aimatrix.backends.torch_blocks import Memory
        from aimatrix.backends.torch_mix import build_stages

        def make() -> Pass:
            memory = Memory(platform.device)
            prepared = {
                number: (
                    self.transform_stage(stage.run, number),
                    stage.tensors(platform.dtype, memory),
                )
                for number, stage in enumerate(build_stages(benchmark))
                if platform.dtype == benchmark.dtype or not trains(benchmark.stages[number])
            }
            return _MixPass(prepared, len(benchmark.stages), platform)

        self.check(platform)
        return self.tried(make)

    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """One module per run of equal buckets; its outputs live until the run is over."""
        import torch

        from aimatrix.backends.torch_layers import SideBySide

        def prepared(span: range) -> tuple[Any, list[Any]]:
            data = [operands(calls[number], number) for number in span]
            module = SideBySide([calls[number] for number in span], data).eval()
            inputs = [torch.from_numpy(item.x) for item in data]
            return (
                self.transform(module.to(platform.device, _dtype(platform))),
                [x.to(platform.device, _dtype(platform)) for x in inputs],
            )

        self.check(platform)
        return self.tried(
            lambda: _LoosePass(
                [(bucket, *prepared(span)) for bucket, span in runs(buckets)], platform
            )
        )

    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """A module on any platform, for inference; another callable as it is, gradients and all.

        Hence only on the CPU, in float32.
        """
        import torch

        self.check(platform)
        is_module = isinstance(function, torch.nn.Module)
        if not is_module and (platform.device != "cpu" or platform.dtype != "float32"):
            raise UnsupportedError(
                f"it is a {type(function).__name__}, not a torch.nn.Module, so it cannot be"
                f" moved to {platform.dtype} on {platform.device}"
            )

        def make() -> Pass:
            placed: Any = function
            if is_module:
                placed = placed.eval().to(platform.device, _dtype(platform))
            moved = [_moved(value, platform) for value in inputs]
            return _ApplicationPass(self.transform_application(placed), moved, platform, is_module)

        return self.tried(make)

    def transform(self, module: Any) -> Any:
        """What eager leaves as it is, and a compiler compiles."""
        return module

    def transform_stage(self, run: Callable[..., Any], number: int) -> Callable[..., Any]:
        """The same for a stage of a mix, the one of this number."""
        return run

    def transform_application(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a user's callable."""
        return function


class _TorchPass(Pass):
    """What the passes share: the platform's settings around a run, and waiting for the device.

    infers: whether nothing in it needs gradients.
    """

    def __init__(self, platform: Platform, infers: bool = True) -> None:
        self._platform, self._infers = platform, infers

    def run(self) -> list[float]:
        import torch

        set_up(self._platform)
        with torch.inference_mode(self._infers):
            return self._run()[0]

    def outputs(self) -> list[np.ndarray]:
        import torch

        set_up(self._platform)
        with torch.inference_mode(self._infers):
            return [_to_numpy(value.detach()) for value in _flat(self._run()[1])]

    @abstractmethod
    def _run(self) -> tuple[list[float], Any]:
        """(seconds per part, outputs)."""

    def _now(self) -> float:
        """The time at which the device has done all that it was given."""
        if not self._platform.device.startswith("cpu"):
            import torch

            torch.accelerator.synchronize(self._platform.device)
        return perf_counter()


class _StagePass(_TorchPass):
    def __init__(self, stages: list[Any], x: Any, platform: Platform) -> None:
        super().__init__(platform)
        self._stages, self._x = stages, x

    def _run(self) -> tuple[list[float], Any]:
        import torch

        x, times, output = self._x, [self._now()], None
        means: list[Any] = []
        for number, stage in enumerate(self._stages, start=1):
            x, stage_means = stage(x)
            means += stage_means
            if number == len(self._stages):  # the head belongs to the last stage
                output = torch.cat(means, 1)
            times.append(self._now())
        return [after - before for before, after in pairwise(times)], output


class _MixPass(_TorchPass):
    def __init__(
        self,
        stages: Mapping[int, tuple[Callable[..., Any], list[Any]]],
        count: int,
        platform: Platform,
    ) -> None:
        super().__init__(platform)
        self._stages, self._count = stages, count
        self.missing = frozenset(range(count)) - set(stages)

    def _run(self) -> tuple[list[float], Any]:
        seconds = [0.0] * self._count
        outputs = []
        before = self._now()
        for number, (run, tensors) in self._stages.items():
            # only the last stage's are kept: what an application computes it soon lets go of
            outputs = run(tensors)
            after = self._now()
            seconds[number] = after - before
            before = after
        return seconds, outputs


class _LoosePass(_TorchPass):
    def __init__(self, runs: list[tuple[int, Any, list[Any]]], platform: Platform) -> None:
        super().__init__(platform)
        self._runs = runs

    def _run(self) -> tuple[list[float], Any]:
        seconds = [0.0] * (max((bucket for bucket, _, _ in self._runs), default=-1) + 1)
        outputs: list[Any] = []
        before = self._now()
        for bucket, module, inputs in self._runs:
            outputs += module(inputs)
            after = self._now()
            seconds[bucket] += after - before
            before = after
        return seconds, outputs


class _ApplicationPass(_TorchPass):
    def __init__(
        self, function: Callable[..., Any], inputs: list[Any], platform: Platform, infers: bool
    ) -> None:
        super().__init__(platform, infers)
        self._function, self._inputs = function, inputs

    def _run(self) -> tuple[list[float], Any]:
        before = self._now()
        output = self._function(*self._inputs)
        return [self._now() - before], output


def set_up(platform: Platform) -> None:
    """Make the platform's threads and precision hold in this process."""
    import torch

    if platform.threads is not None:
        torch.set_num_threads(platform.threads)
    if torch.device(platform.device).type == "cuda":
        # float32 is to mean float32: by default cuDNN rounds convolutions to TF32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def _moved(value: Any, platform: Platform) -> Any:
    """An input on the platform: tensors move, and those of floating point change their dtype."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.is_floating_point():
        return value.to(platform.device, _dtype(platform))
    return value.to(platform.device)


def _placed(tensors: Sequence[Any], platform: Platform) -> list[Any]:
    return [tensor.to(platform.device) for tensor in tensors]


def _dtype(platform: Platform) -> Any:
    import torch

    return getattr(torch, platform.dtype)


def _to_numpy(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.float().cpu().numpy()
    return array


def _flat(value: Any) -> list[Any]:
    """The tensors in a user's output, however they are nested in tuples and lists."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _flat(item)]
    return []
