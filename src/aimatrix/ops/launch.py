"""The launch model: how many warps a GPU would launch for an operator (*derived* warps).

Measured warps (from kernel grids and blocks) win wherever a record has them; this model stands in
where no GPU was watched. It is one documented assumption per kernel, the same on every machine:

- **Convolution and matrix product**: an implicit GEMM kernel with CTA tiles of 64 x 64 outputs and
  128 threads (4 warps), each thread holding 32 outputs. Tiles are packed along the flattened
  output of a group (or of a batched product), as a persistent kernel packs them, so that a ragged
  edge costs at most one tile. The whole K dimension is reduced inside the tile (no split-K).
- **Depthwise convolution**: one thread per output element, blocks of 128 threads.
- **Attention**: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), with the tiles of its code for
  heads of 64 features: a CTA of 4 warps for 128 queries of a head; backward 8 warps for 128 keys.
- **Pooling, normalization, reduction**: one thread per output element, blocks of 128 threads.
- **Elementwise, movement**: blocks of 128 threads, each thread a vector of 4 output elements.
"""

from __future__ import annotations

WARP_THREADS = 32
BLOCK_THREADS = 128
WARPS_PER_BLOCK = BLOCK_THREADS // WARP_THREADS
#: outputs that one block computes
GEMM_TILE_OUTPUTS = 64 * 64
SCALAR_TILE_OUTPUTS = BLOCK_THREADS
VECTOR_TILE_OUTPUTS = BLOCK_THREADS * 4
#: queries (backward: keys) of one head that one block works on
ATTENTION_TILE_ROWS = 128
ATTENTION_BACKWARD_WARPS_PER_BLOCK = 8


def gemm_warps(outputs: int, groups: int = 1) -> int:
    """Warps of an implicit GEMM that computes ``outputs`` elements in each of ``groups``."""
    return groups * _blocks(outputs, GEMM_TILE_OUTPUTS) * WARPS_PER_BLOCK


def scalar_warps(outputs: int) -> int:
    """Warps of a kernel with one thread per output element."""
    return _blocks(outputs, SCALAR_TILE_OUTPUTS) * WARPS_PER_BLOCK


def vector_warps(outputs: int) -> int:
    """Warps of a kernel with one thread per vector of four output elements."""
    return _blocks(outputs, VECTOR_TILE_OUTPUTS) * WARPS_PER_BLOCK


def attention_warps(queries: int, heads: int) -> int:
    """Warps of fused attention of ``queries`` in each of ``heads`` (of all batch items)."""
    return heads * _blocks(queries, ATTENTION_TILE_ROWS) * WARPS_PER_BLOCK


def attention_backward_warps(keys: int, heads: int) -> int:
    """Warps of the backward pass of fused attention over ``keys`` in each of ``heads``."""
    return heads * _blocks(keys, ATTENTION_TILE_ROWS) * ATTENTION_BACKWARD_WARPS_PER_BLOCK


def _blocks(outputs: int, tile: int) -> int:
    return -(-outputs // tile)
