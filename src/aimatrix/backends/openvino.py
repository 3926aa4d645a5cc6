"""OpenVINO on the CPU, on models built from the specification: one per stage, or one of a mix."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aimatrix.backends.backend import Backend, Pass
from aimatrix.backends.bound import Bound, BoundPass
from aimatrix.backends.environment import host_environment
from aimatrix.backends.loose import operands, runs
from aimatrix.backends.onnx_export import check_module, exported
from aimatrix.backends.openvino_mix import OneModel
from aimatrix.benchmark import layout
from aimatrix.errors import MissingPackageError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.result import Platform

#: dtype -> how OpenVINO calls it in which it computes, and what a device says that has it
_PRECISIONS = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16")}


class OpenVino(Backend):
    """float32, and bfloat16 where the processor has it: then inputs and outputs stay float32."""

    name = "openvino"

    def check(self, platform: Platform) -> None:
        """Refuse what the plugin for the CPU would compute in another dtype than is asked for."""
        if find_spec("openvino") is None:
            raise MissingPackageError("openvino", "the backend openvino")
        if platform.device != "cpu":
            raise UnsupportedError("the backend openvino runs on the device cpu only")
        if platform.dtype not in _PRECISIONS:
            raise UnsupportedError(
                f"the backend openvino does not run {platform.dtype}; it runs"
                f" {', '.join(_PRECISIONS)}"
            )
        if _PRECISIONS[platform.dtype][1] not in _core().get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise UnsupportedError(
                f"this processor has no {platform.dtype}, so openvino would compute in float32"
            )

    def environment(self, platform: Platform) -> dict[str, str]:
        """The host's; framework."""
        import openvino

        version = openvino.get_version().partition("-")[0]
        return {**host_environment(platform), "framework": f"openvino {version}"}

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        """One model per stage; each reads what the one before it has written."""
        from aimatrix.backends.onnx_model import export_stage

        def make() -> Pass:
            requests: list[_Request] = []
            plans = layout.plan(benchmark.stages)
            for plan in plans:
                model = export_stage(benchmark, plan, last=plan is plans[-1])
                x = requests[-1].output(1) if requests else layout.example_input(benchmark)
                requests.append(_Request(_read(model), [x], platform))
            return _StagePass(list(enumerate(requests)), len(requests))

        self.check(platform)
        return self.tried(make)

    def prepare_mix(self, benchmark: MixBenchmark, platform: Platform) -> Pass:
        """One model of all stages; those that train are missing."""
        self.check(platform)
        if find_spec("torch") is None:
            raise MissingPackageError("torch", "a mix on the backend openvino")
        from aimatrix.backends.onnx_mix import build_together

        def make() -> Pass:
            model, scopes = build_together(benchmark)
            with tempfile.TemporaryDirectory() as folder:
                read = _read(model.write(Path(folder)))
                request = _Request(read, model.inputs, platform, counting=True)
            return OneModel(request, request.request, scopes, len(benchmark.stages))

        return self.tried(make)

    def prepare_convolutions(
        self, calls: Sequence[OpCall], buckets: Sequence[int], platform: Platform
    ) -> Pass:
        """One model per run of equal buckets."""
        from aimatrix.backends.onnx_model import export_convolutions

        def prepared(span: range) -> _Request:
            data = [operands(calls[number], number) for number in span]
            model = export_convolutions([calls[number] for number in span], data)
            return _Request(_read(model), [item.x for item in data], platform)

        self.check(platform)
        return self.tried(
            lambda: BoundPass(
                [(bucket, prepared(span)) for bucket, span in runs(buckets)],
                max(buckets, default=-1) + 1,
            )
        )

    def prepare_application(
        self, function: Callable[..., Any], inputs: Sequence[Any], platform: Platform
    ) -> Pass:
        """A torch module, exported to ONNX."""

        def make() -> Pass:
            with exported(function, inputs) as (path, arrays):
                return BoundPass([(0, _Request(_read(path), arrays, platform))], 1)

        self.check(platform)
        check_module(function, self.name)
        return self.tried(make)


class _Request(Bound):
    """A model, compiled for the platform, with its inputs set: arrays, or another's tensors."""

    def __init__(
        self, model: Any, inputs: Iterable[Any], platform: Platform, *, counting: bool = False
    ) -> None:
        """counting: whether the request is to count the time of its operators."""
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[platform.dtype][0],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "PERF_COUNT": counting,
        }
        if platform.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = platform.threads
        self.request = _core().compile_model(model, "CPU", settings).create_infer_request()
        # a tensor on an array's memory does not keep the array
        self._inputs = [_tensor(value) for value in inputs]
        for number, tensor in enumerate(self._inputs):
            self.request.set_input_tensor(number, tensor)

    def run(self) -> None:
        """As `Bound.run`; nothing is copied out of the request."""
        self.request.infer(share_outputs=True)

    def output(self, number: int) -> Any:
        """The tensor into which the request writes that output."""
        return self.request.get_output_tensor(number)

    def outputs(self) -> list[np.ndarray]:
        """As `Bound.outputs`."""
        return [tensor.data.astype(np.float32) for tensor in self.request.output_tensors]


class _StagePass(BoundPass):
    def outputs(self) -> list[np.ndarray]:
        self.run()
        return [np.concatenate([part.outputs()[0] for _, part in self._parts], axis=1)]


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _read(model: bytes | Path) -> Any:
    return _core().read_model(model)


def _tensor(value: Any) -> Any:
    import openvino

    if not isinstance(value, np.ndarray):
        return value
    array = np.ascontiguousarray(value).reshape(value.shape)  # a scalar would get an axis
    return openvino.Tensor(array, shared_memory=array.size > 0)
