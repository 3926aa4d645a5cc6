"""ONNX models whose matrix products and LSTMs compute in int8, quantized as ONNX Runtime does it.

Dynamically: weights beforehand, activations when they come, by their range. Everything else stays
in float32, convolutions too: ONNX Runtime's guide has them quantized with recorded data, not so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: what is quantized; a `Gemm` becomes a `MatMul` before
_QUANTIZED = ["MatMul", "LSTM", "Attention"]
#: bytes from which on a weight is kept beside its model
_BESIDE = 1024


def quantized(model: Path, folder: Path, options: Any) -> Path:
    """A quantized model, in a folder that has none yet; the file ``model`` stays as it is.

    options: a fresh ``onnxruntime.SessionOptions`` with which this process may make a session.
    """
    from onnxruntime.quantization import quantize_dynamic

    folded = _folded(model, folder, options)
    path = folder / "quantized.onnx"
    with _without_advice():
        quantize_dynamic(
            folded, path, op_types_to_quantize=_QUANTIZED, use_external_data_format=True
        )
    return path


def _folded(model: Path, folder: Path, options: Any) -> Path:
    """The model with its constants computed: only weights that are there can be quantized."""
    import onnxruntime

    path = folder / "folded.onnx"
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    setting = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{setting}file_name", "folded.bin")
    options.add_session_config_entry(f"{setting}min_size_in_bytes", str(_BESIDE))
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return path


@contextmanager
def _without_advice() -> Iterator[None]:
    """Nothing is logged meanwhile: it would be to prepare the model as `_folded` has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
