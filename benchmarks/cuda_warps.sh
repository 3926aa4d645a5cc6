#!/bin/sh
# Warps that ResNet-50 and BERT-base launch on a CUDA GPU, beside those that the launch model
# derives. Needs this checkout, one GPU, and a Python from 3.11 on with torch; nothing else.
#
#   benchmarks/cuda_warps.sh [--output warps.json]        PYTHON=... chooses the Python
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec "${PYTHON:-python3}" "$root/benchmarks/cuda_warps.py" "$@"
