"""ONNX Runtime: one session per stage, on models built in memory from the specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from aimatrix.backends.backend import Backend, Pass, device_of
from aimatrix.backends.bound import Bound, BoundMix, Chain
from aimatrix.backends.environment import host_environment
from aimatrix.backends.loose import operands, runs
from aimatrix.backends.onnx_export import check_module, exported
from aimatrix.backends.onnx_quantized import quantized
from aimatrix.backends.onnx_runtime_profile import own_share
from aimatrix.benchmark import layout
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform

if TYPE_CHECKING:
    from aimatrix.backends.onnx_graph import OnnxModel

#: runs of a stage, the first one apart, of which a profile is taken
_PROFILED_RUNS = 6

#: float32 throughout, or with products in int8 (`onnx_quantized`)
_DTYPES = ("float32", "int8")
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntime(Backend):
    """float32 on the CPU, and on CUDA where onnxruntime-gpu is installed; int8 on the CPU."""

    name = "onnxruntime"

    def own_process(self, threads: int | None) -> None:
        """One pool of threads for all sessions, in a process that will have no others.

        An application is one session and keeps its threads at hand from operator to operator.
        Stages are many: with threads of their own, each would have to wake them. From then on ONNX
        Runtime refuses sessions with threads of their own.
        """
        if find_spec("onnxruntime") is None or _pool():
            return
        import onnxruntime

        if hasattr(onnxruntime, "set_global_thread_pool_sizes"):  # not in older ones
            onnxruntime.set_global_thread_pool_sizes(threads or 0, 1)
            _pool().append(threads or 0)

    def check(self, platform: Platform) -> None:
        """Refuse a dtype or a device that the installed build has no kernels for."""
        if find_spec("onnxruntime") is None:
            raise MissingPackageError(
                "onnxruntime", "the backend onnxruntime", "onnxruntime onnxscript"
            )
        import onnxruntime

        if platform.dtype not in _DTYPES:
            raise UnsupportedError(
                f"the backend onnxruntime runs {' and '.join(_DTYPES)}: it has no {platform.dtype}"
                " convolution for the CPU and would measure its casts to float32"
            )
        device, _ = device_of(platform)
        if _is_quantized(platform) and device != "cpu":
            raise UnsupportedError("the backend onnxruntime runs int8 on the device cpu only")
        if _PROVIDERS.get(device) not in onnxruntime.get_available_providers():
            raise UnsupportedError(
                f"onnxruntime {onnxruntime.__version__} here does not run on the device"
                f" {platform.device!r}; it has {', '.join(onnxruntime.get_available_providers())}"
            )

    def environment(self, platform: Platform) -> dict[str, str]:
        """The host's; framework and provider."""
        import onnxruntime

        return {
            **host_environment(platform),
            "framework": f"onnxruntime {onnxruntime.__version__}",
            "provider": _PROVIDERS[device_of(platform)[0]],
        }

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """One session per stage; what flows between them stays on the device."""
        from aimatrix.backends.onnx_model import export_stage

        self._check_convolutions(platform)
        plans = layout.plan(benchmark.stages)

        def make() -> Pass:
            models = [export_stage(benchmark, plan, last=plan is plans[-1]) for plan in plans]
            sessions = [_Session(model, platform) for model in models]
            x = sessions[0].place(layout.example_input(benchmark))
            return Chain([each.run for each in sessions], x, lambda value: value.numpy())

        return self.tried(make)

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """One session per stage; stages that train are missing."""
        self.check(platform)
        if find_spec("torch") is None:
            raise MissingPackageError("torch", "a mix on the backend onnxruntime")
        from aimatrix.backends.onnx_mix import build_stages

        return self.tried(
            lambda: BoundMix(
                [
                    (number, _BoundSession(model, platform))
                    for number, model in build_stages(benchmark)
                ],
                len(benchmark.stages),
            )
        )

    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """One session per run of equal buckets."""
        from aimatrix.backends.onnx_model import export_convolutions

        def prepared(span: range) -> tuple[_Session, list[Any]]:
            data = [operands(calls[number], number) for number in span]
            model = export_convolutions([calls[number] for number in span], data)
            session = _Session(model, platform)
            return session, [session.place(item.x) for item in data]

        self._check_convolutions(platform)
        return self.tried(
            lambda: _LoosePass([(bucket, *prepared(span)) for bucket, span in runs(buckets)])
        )

    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """A torch module, exported to ONNX."""

        def make() -> Pass:
            with exported(function, inputs) as (path, arrays), TemporaryDirectory() as folder:
                session = _Session(_file(path, Path(folder), platform), platform)
            return _ApplicationPass(session, [session.place(array) for array in arrays])

        self.check(platform)
        check_module(function, self.name)
        return self.tried(make)

    def _check_convolutions(self, platform: Platform) -> None:
        self.check(platform)
        if _is_quantized(platform):
            raise UnsupportedError(
                "the backend onnxruntime runs mixes and applications in int8, not benchmarks of"
                " convolutions, which stay float32 there"
            )


class _Session:
    """An inference session with its settings; values in and out stay on its device."""

    def __init__(
        self,
        model: bytes | str,
        platform: Platform,
        weights: Mapping[str, np.ndarray] | None = None,
        profile: Path | None = None,
    ) -> None:
        """profile: with what the name of a file begins in which the first runs are told."""
        import onnxruntime

        options = _options(platform)
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        given = {name: _shared(array) for name, array in (weights or {}).items()}
        options.add_external_initializers(list(given), list(given.values()))
        self._device, self._index = device_of(platform)
        provider = (_PROVIDERS[self._device], _provider_options(self._device, self._index))
        self.session = onnxruntime.InferenceSession(model, options, providers=[provider])
        self.input_names = [value.name for value in self.session.get_inputs()]
        self.output_names = [value.name for value in self.session.get_outputs()]

    def place(self, array: np.ndarray) -> Any:
        """An array on the session's device."""
        import onnxruntime

        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device, self._index)

    def bound(self, values: Sequence[Any]) -> Any:
        """A binding of ``values``, in the order of the model's inputs, and of the outputs."""
        binding = self.session.io_binding()
        for name, value in zip(self.input_names, values, strict=True):
            binding.bind_ortvalue_input(name, value)
        for name in self.output_names:
            binding.bind_output(name, self._device, self._index)
        return binding

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The outputs for ``values``, in the order of the model's inputs; waits for them."""
        binding = self.bound(values)
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return list(binding.get_outputs())


class _BoundSession(Bound):
    """A stage of a mix; its weights are not kept beside what the session makes of them."""

    def __init__(self, model: OnnxModel, platform: Platform) -> None:
        with TemporaryDirectory() as folder:
            # what is told of a GPU's operators is how long it takes to launch them
            told = Path(folder) / "profile" if platform.device == "cpu" else None
            if _is_quantized(platform):
                file = _file(model.write(Path(folder)), Path(folder), platform)
                self._session = _Session(file, platform, profile=told)
            else:
                self._session = _Session(model.content, platform, model.weights, told)
            self._binding = self._session.bound([self._session.place(x) for x in model.inputs])
            if told is not None:
                for _ in range(_PROFILED_RUNS):
                    self.run()
                self.share = own_share(Path(self._session.session.end_profiling()))

    def run(self) -> None:
        """As `Bound.run`; from the second run on into the outputs of the first."""
        self._session.session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def outputs(self) -> list[np.ndarray]:
        """As `Bound.outputs`."""
        return [value.numpy().astype(np.float32) for value in self._binding.get_outputs()]


class _LoosePass(Pass):
    def __init__(self, prepared: list[tuple[int, _Session, list[Any]]]) -> None:
        self._prepared = prepared

    def run(self) -> list[float]:
        seconds = [0.0] * (max((bucket for bucket, _, _ in self._prepared), default=-1) + 1)
        before = perf_counter()
        for bucket, session, values in self._prepared:
            session.run(values)
            after = perf_counter()
            seconds[bucket] += after - before
            before = after
        return seconds

    def outputs(self) -> list[np.ndarray]:
        return [
            output.numpy()
            for _, session, values in self._prepared
            for output in session.run(values)
        ]


class _ApplicationPass(Pass):
    def __init__(self, session: _Session, values: list[Any]) -> None:
        self._session, self._values = session, values

    def run(self) -> list[float]:
        before = perf_counter()
        self._session.run(self._values)
        return [perf_counter() - before]

    def outputs(self) -> list[np.ndarray]:
        return [output.numpy() for output in self._session.run(self._values)]


def _is_quantized(platform: Platform) -> bool:
    return platform.dtype == "int8"


def _file(model: Path, folder: Path, platform: Platform) -> str:
    """The file of the model for the platform: itself, or a quantized one that is made in folder."""
    if not _is_quantized(platform):
        return str(model)
    return str(quantized(model, folder, _options(platform)))


def _options(platform: Platform) -> Any:
    """Options with which this process may make a session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about our models' constants
    if _pool():
        options.use_per_session_threads = False
        return options
    options.intra_op_num_threads = platform.threads or 0
    options.inter_op_num_threads = 1
    # they must not go on spinning on the cores of the next session's
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


@cache
def _pool() -> list[int]:
    """The threads of the pool that this process has; empty where it has none."""
    return []


def _shared(array: np.ndarray) -> Any:
    """An array on the host, not copied."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _provider_options(device: str, index: int) -> dict[str, Any]:
    # float32 is to mean float32: by default convolutions on CUDA are rounded to TF32
    return {"device_id": index, "use_tf32": 0} if device == "cuda" else {}
