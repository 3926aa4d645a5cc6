#!/bin/sh
# A benchmark of the suite against the real applications on one CUDA GPU: errors, reduction, and
# measured warps of both sides, as JSON. Under eight minutes. Needs this checkout, one GPU, and a
# Python from 3.11 on with torch for CUDA and what `pip install -e '.[dev]'` installs.
#
#   benchmarks/cuda.sh [--output cuda.json]        PYTHON=... chooses the Python
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec "${PYTHON:-python3}" "$root/benchmarks/cuda_fidelity.py" "$@"
