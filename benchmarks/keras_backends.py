"""Holds what Keras applications count on JAX against what they count on PyTorch.

``python benchmarks/keras_backends.py [NAME ...]`` runs each architecture of `keras.applications`
(those of `SIDES` if none is named) once under the monitor on either backend, with small pictures
and random weights. A row tells its convolutions, whether they are of the same signatures, and the
multiply-adds of all operators.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from aimatrix import api, ops
from aimatrix.store.workload import WorkloadStore

#: architecture -> side of its picture; an odd one has "same" paddings that are not even
SIDES = {"MobileNetV2": 32, "ResNet50": 32, "EfficientNetB0": 33, "DenseNet121": 32}
PROGRAM = """
import numpy as np, keras
model = keras.applications.{name}(weights=None, input_shape=({side}, {side}, 3), classes=10)
model.predict(np.ones((1, {side}, {side}, 3)), verbose=0)
"""


def count(name: str, backend: str) -> tuple[Counter[str], int, int]:
    """(convolutions by signature, multiply-adds, calls of operators that are not known)."""
    os.environ.update(KERAS_BACKEND=backend, KERAS_TORCH_DEVICE="cpu", JAX_PLATFORMS="cpu")
    convolutions: Counter[str] = Counter()
    macs = unknown = 0
    with tempfile.TemporaryDirectory() as folder:
        store, script = Path(folder) / "store", Path(folder) / "program.py"
        script.write_text(PROGRAM.format(name=name, side=SIDES.get(name, 96)), encoding="utf-8")
        if api.monitor([sys.executable, str(script)], store=store, budget=0.0):
            raise SystemExit(f"{name} on {backend} failed")
        for record in WorkloadStore(store).totals():
            found = ops.cost(record.call).macs
            if found is None:
                unknown += record.calls
                continue
            macs += found * record.calls
            if record.call.family == "convolution":
                # PyTorch adds the bias in the same operator, JAX in another one
                signature = record.call.replace(bias=False).attributes_json()
                convolutions[signature] += record.calls
    return convolutions, macs, unknown


def main() -> None:
    print(
        f"{'architecture':<18} {'convolutions':>12} {'the same':>9} {'MACs torch':>13} {'jax':>13}"
    )
    for name in sys.argv[1:] or SIDES:
        (torch, torch_macs, _), (jax, jax_macs, unknown) = (
            count(name, backend) for backend in ("torch", "jax")
        )
        same = "yes" if torch == jax else "no"
        row = f"{name:<18} {torch.total():>12} {same:>9} {torch_macs:>13} {jax_macs:>13}"
        print(row + (f"  {unknown} calls unknown on jax" if unknown else ""))


if __name__ == "__main__":
    main()
