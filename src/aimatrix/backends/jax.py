"""JAX: the models that runtimes of ONNX get, traced and compiled by XLA; one program per stage."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from aimatrix.backends.backend import Backend, Pass, device_of, first_line
from aimatrix.backends.bound import Bound, BoundMix, BoundPass, Chain
from aimatrix.backends.environment import cores, host_environment
from aimatrix.backends.loose import operands, runs
from aimatrix.backends.onnx_export import check_module, exported
from aimatrix.benchmark import layout
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform

if TYPE_CHECKING:
    from aimatrix.backends.jax_graph import JaxModel
    from aimatrix.backends.onnx_graph import OnnxModel

_DTYPES = ("float32", "bfloat16", "float16")
#: runs of a stage, the first one apart, by which the share of its own time is found
_RUNS = 10


class Jax(Backend):
    """float32, bfloat16 and float16 on whatever devices the installed JAX has."""

    name = "jax"

    def own_process(self, threads: int | None) -> None:
        """Leave the process as many cores as threads are asked for: XLA has a thread on each.

        Where a system does not let a process choose its cores, it has all of them. Programs on a
        processor run in the thread that starts them: to hand one over to another thread takes
        longer than many stages do, and an application is one program.
        """
        if threads is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        if find_spec("jax") is not None:
            import jax

            jax.config.update("jax_cpu_enable_async_dispatch", False)

    def check(self, platform: Platform) -> None:
        """Refuse a dtype, a device, or a number of threads that JAX does not have here."""
        if find_spec("jax") is None:
            raise MissingPackageError("jax", "the backend jax", "aimatrix[jax]")
        if platform.dtype not in _DTYPES:
            raise UnsupportedError(
                f"the backend jax does not run {platform.dtype}; it runs {', '.join(_DTYPES)}"
            )
        _device(platform)
        if platform.device == "cpu" and platform.threads not in (None, 1, cores()):
            raise UnsupportedError(
                f"the backend jax runs on 1 or on all {cores()} of this process's cores, not on"
                f" {platform.threads}"
            )

    def environment(self, platform: Platform) -> dict[str, str]:
        """The host's; framework, and the kind of the device."""
        import jax

        environment = host_environment(platform)
        if platform.threads is None:
            environment["threads"] = str(cores())
        return {
            **environment,
            "framework": f"jax {jax.__version__}",
            "device_kind": str(_device(platform).device_kind),
        }

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """One program per stage; each takes what the one before it has given."""
        from aimatrix.backends.onnx_model import export_stage

        def make() -> Pass:
            plans = layout.plan(benchmark.stages)
            models = [export_stage(benchmark, plan, last=plan is plans[-1]) for plan in plans]
            programs = [_program(model, platform) for model in models]
            x = programs[0].place(layout.example_input(benchmark))
            return Chain([each.run for each in programs], x, _array)

        self.check(platform)
        return self.tried(make)

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """One program per stage; stages that train are missing."""
        self.check(platform)
        if find_spec("torch") is None:
            raise MissingPackageError("torch", "a mix on the backend jax")
        from aimatrix.backends.onnx_mix import build_stages

        def prepared(stage: OnnxModel) -> _Part:
            program = _program(stage.content, platform, stage.weights)
            return _Part(program, stage.inputs, whole=False)

        def make() -> Pass:
            stages = build_stages(benchmark)
            parts = [(number, prepared(stage)) for number, stage in stages]
            return BoundMix(parts, len(benchmark.stages))

        return self.tried(make)

    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """One program per run of equal buckets."""
        from aimatrix.backends.onnx_model import export_convolutions

        def prepared(span: range) -> _Part:
            data = [operands(calls[number], number) for number in span]
            model = export_convolutions([calls[number] for number in span], data)
            inputs = [item.x for item in data]
            return _Part(_program(model, platform), inputs, whole=True)

        def make() -> Pass:
            parts = [(bucket, prepared(span)) for bucket, span in runs(buckets)]
            return BoundPass(parts, max(buckets, default=-1) + 1)

        self.check(platform)
        return self.tried(make)

    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """A torch module, exported to ONNX."""

        def make() -> Pass:
            with exported(function, inputs) as (path, arrays):
                program = _program(path, platform)
            return BoundPass([(0, _Part(program, arrays, whole=True))], 1)

        self.check(platform)
        check_module(function, self.name)
        return self.tried(make)


class _Program:
    """A model, compiled for the platform when it runs first; its weights are on the device."""

    def __init__(self, model: JaxModel, platform: Platform) -> None:
        import jax

        self._device, self._model = _device(platform), model
        self._weights = jax.device_put(model.weights, self._device)
        self._run = _compiled(model, platform)
        self._enter = _compiled(_nothing, platform)

    def place(self, array: np.ndarray) -> Any:
        """An input on the device."""
        import jax

        return jax.device_put(self._model.place(array), self._device)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """What it gives, when the device is done."""
        import jax

        outputs: list[Any] = jax.block_until_ready(self._run(self._weights, *inputs))
        return outputs

    def own_share(self, inputs: Sequence[Any]) -> float:
        """Of the time of a run, the share that is not to enter a program of as many tensors."""
        import jax

        entering = _median_seconds(
            lambda: jax.block_until_ready(self._enter(self._weights, *inputs))
        )
        return max(0.0, 1 - entering / _median_seconds(lambda: self.run(inputs)))


class _Part(Bound):
    """A program with the inputs that it takes.

    whole: whether to enter it is part of what is measured. An application is one program, of which
    a stage is but a part.
    """

    def __init__(self, program: _Program, inputs: Sequence[np.ndarray], *, whole: bool) -> None:
        self._program = program
        self._inputs = [program.place(array) for array in inputs]
        self._outputs: list[Any] = []
        if not whole:
            self.share = program.own_share(self._inputs)

    def run(self) -> None:
        """As `Bound.run`."""
        self._outputs = self._program.run(self._inputs)

    def outputs(self) -> list[np.ndarray]:
        """As `Bound.outputs`."""
        return [_array(output) for output in self._outputs]


def _program(
    model: bytes | Path, platform: Platform, weights: Mapping[str, np.ndarray] | None = None
) -> _Program:
    """An ONNX model, a file or its content, for the platform; weights: those that are not in it."""
    from aimatrix.backends.jax_graph import JaxModel

    return _Program(JaxModel(model, platform.dtype, weights), platform)


def _compiled(function: Callable[..., Any], platform: Platform) -> Callable[..., Any]:
    import jax

    # a program may use all cores of the process, or one of them
    alone = platform.device == "cpu" and platform.threads == 1
    options = {"xla_cpu_multi_thread_eigen": False} if alone else None

    def run(*values: Any) -> Any:
        # float32 is to mean float32: by default accelerators multiply in less
        with jax.default_matmul_precision("highest" if platform.dtype == "float32" else "default"):
            return function(*values)

    compiled: Callable[..., Any] = jax.jit(run, keep_unused=True, compiler_options=options)
    return compiled


def _nothing(weights: Sequence[Any], *inputs: Any) -> Any:
    """A program that does nothing with as many tensors."""
    import jax.numpy as jnp

    return jnp.zeros(())


def _array(value: Any) -> np.ndarray:
    return np.asarray(value, np.float32)


def _median_seconds(run: Callable[[], Any]) -> float:
    run()
    seconds = []
    for _ in range(_RUNS):
        before = perf_counter()
        run()
        seconds.append(perf_counter() - before)
    return median(seconds)


def _device(platform: Platform) -> Any:
    """JAX's device of a name such as ``cuda:1``. Raises UnsupportedError where it has none."""
    import jax

    kind, number = device_of(platform)
    try:
        devices = jax.devices(kind)
    except RuntimeError as error:
        raise UnsupportedError(
            f"jax {jax.__version__} here has no device {platform.device!r}: {first_line(error)}"
        ) from error
    if number >= len(devices):
        raise UnsupportedError(
            f"{platform.device!r} is not a device of jax {jax.__version__} here; it has"
            f" {', '.join(map(str, jax.devices()))}"
        )
    return devices[number]
