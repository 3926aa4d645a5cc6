"""One outermost operator at a time, run by torch: its canonical call, shape and multiply-adds.

Under inference mode a capture sees what the application called, whole. What torch gave back tells
whether the shape is right; multiply-adds are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls

torch = pytest.importorskip("torch")
F = torch.nn.functional

# sparse gradients are said to be in beta; others warn of what they copy
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def f(*shape: int) -> Any:
    return torch.rand(shape)


def i(high: int, *shape: int) -> Any:
    return torch.randint(0, high, shape)


def z(*shape: int) -> Any:
    return torch.rand(shape, dtype=torch.complex64)


def recorded(run: Callable[[], Any]) -> tuple[Any, list[OpCall]]:
    """What ``run`` gave, and its calls."""
    given: list[Any] = []
    calls = record_calls(lambda: given.append(run()), ATTRIBUTES)
    return given[0], [translate(raw) for raw in calls]


def all_outermost(run: Callable[[], Any]) -> tuple[Any, list[OpCall]]:
    with torch.inference_mode():
        return recorded(run)


#: name -> (what is run on which arguments, family, kind, multiply-adds)
OPERATORS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str, str, int | None]] = {
    "matmul of many": (torch.matmul, (f(5, 2, 3), f(5, 3, 4)), "matmul", "bmm", 120),
    "addbmm": (torch.addbmm, (f(2, 4), f(5, 2, 3), f(5, 3, 4)), "matmul", "mm", 120),
    "addr": (torch.addr, (f(2, 3), f(2), f(3)), "matmul", "mm", 6),
    "inner": (torch.inner, (f(2, 3), f(4, 3)), "matmul", "mm", 24),
    "outer": (torch.outer, (f(2), f(3)), "elementwise", "outer", 0),
    "kron": (torch.kron, (f(2, 3), f(4)), "elementwise", "kron", 0),
    "whole numbers": (
        torch._int_mm,
        (i(9, 32, 64).to(torch.int8), i(9, 64, 16).to(torch.int8)),
        "matmul",
        "mm",
        32 * 64 * 16,
    ),
    "weights of whole numbers": (
        torch._weight_int8pack_mm,
        (f(4, 64).bfloat16(), i(9, 16, 64).to(torch.int8), f(16).bfloat16()),
        "matmul",
        "linear",
        4 * 64 * 16,
    ),
    "experts": (
        torch._grouped_mm,
        (f(12, 16).bfloat16(), f(3, 16, 8).bfloat16(), torch.tensor([4, 5, 12]).int()),
        "contraction",
        "grouped_mm",
        12 * 16 * 8,
    ),
    "einsum of two": (
        torch.einsum,
        ("bhqd,bhkd->bhqk", f(2, 3, 4, 5), f(2, 3, 6, 5)),
        "contraction",
        "einsum",
        2 * 3 * 4 * 6 * 5,
    ),
    "einsum without arrow": (
        torch.einsum,
        ("ij,jk", f(2, 3), f(3, 4)),
        "contraction",
        "einsum",
        24,
    ),
    "einsum of dots": (
        torch.einsum,
        ("...ij,...jk->...ik", f(5, 2, 3), f(7, 1, 3, 4)),
        "contraction",
        "einsum",
        35 * 24,
    ),
    "einsum of three": (
        torch.einsum,
        ("ij,jk,kl->il", f(2, 3), f(3, 4), f(4, 5)),
        "contraction",
        "einsum",
        2 * 3 * 4 + 2 * 4 * 5,
    ),
    "einsum of one": (torch.einsum, ("ij->j", f(2, 3)), "contraction", "einsum", 0),
    "einsum with a sum": (
        torch.einsum,
        ("ij,kj->k", f(2, 3), f(4, 3)),
        "contraction",
        "einsum",
        4 * 3,  # the rows of the first are added before
    ),
    "chain": (
        torch.linalg.multi_dot,
        ([f(10, 100), f(100, 5), f(5, 50)],),
        "contraction",
        "linalg_multi_dot",
        10 * 100 * 5 + 10 * 5 * 50,
    ),
    "chain of vectors": (
        torch.linalg.multi_dot,
        ([f(4), f(4, 5), f(5)],),
        "contraction",
        "linalg_multi_dot",
        4 * 5 + 4,  # the matrix with the vector behind it first
    ),
    "bilinear": (
        F.bilinear,
        (f(7, 3), f(7, 4), f(5, 3, 4), f(5)),
        "contraction",
        "bilinear",
        7 * 3 * 4 * 5 + 7 * 4 * 5,
    ),
    "tensordot": (
        lambda a, b: torch.tensordot(a, b, ([1, 2], [0, 1])),
        (f(2, 3, 4), f(3, 4, 5)),
        "matmul",
        "mm",
        2 * 5 * 12,
    ),
    "distances": (torch.cdist, (f(2, 5, 3), f(2, 6, 3)), "contraction", "cdist", 2 * 5 * 6 * 3),
    "affine grid": (
        lambda theta: F.affine_grid(theta, [2, 3, 4, 5], align_corners=False),
        (f(2, 2, 3),),
        "matmul",
        "bmm",
        2 * 20 * 3 * 2,
    ),
    "attention": (
        F.scaled_dot_product_attention,
        (f(2, 4, 5, 8), f(2, 4, 6, 8), f(2, 4, 6, 8)),
        "attention",
        "sdpa",
        2 * 4 * 5 * 6 * (8 + 8),
    ),
    "attention without heads": (
        F.scaled_dot_product_attention,
        (f(2, 5, 8), f(2, 6, 8), f(2, 6, 3)),
        "attention",
        "sdpa",
        2 * 5 * 6 * (8 + 3),
    ),
    "attention, causal": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        (f(2, 4, 5, 8),),
        "attention",
        "sdpa",
        2 * 4 * 5 * 5 * 16,  # in full, as the field counts
    ),
    "attention, masked": (
        lambda q, mask: F.scaled_dot_product_attention(q, q, q, attn_mask=mask),
        (f(2, 4, 5, 8), f(5, 5)),
        "attention",
        "sdpa",
        2 * 4 * 5 * 5 * 16,
    ),
    "attention of grouped queries": (
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        (f(2, 8, 1, 16), f(2, 2, 30, 16)),
        "attention",
        "sdpa",
        2 * 8 * 1 * 30 * 32,
    ),
    "fft": (torch.fft.fft, (z(3, 16),), "fourier", "c2c", 3 * 160),
    "fft of real numbers": (torch.fft.fft, (f(3, 16),), "fourier", "r2c", 3 * 80),
    "rfft, padded": (lambda x: torch.fft.rfft(x, 16), (f(3, 10),), "fourier", "r2c", 3 * 80),
    "irfft": (torch.fft.irfft, (z(3, 9),), "fourier", "c2r", 3 * 80),
    "hfft": (torch.fft.hfft, (z(3, 9),), "fourier", "c2r", 3 * 80),
    "ihfft": (torch.fft.ihfft, (f(3, 16),), "fourier", "r2c", 3 * 80),
    "fft of two axes": (torch.fft.fft2, (z(3, 4, 8),), "fourier", "c2c", 3 * 400),
    "rfft of two axes": (torch.fft.rfft2, (f(3, 4, 8),), "fourier", "r2c", 3 * 200),
    "fft of all axes": (torch.fft.fftn, (z(4, 8),), "fourier", "c2c", 400),
    "irfft of some axes": (
        lambda x: torch.fft.irfftn(x, dim=(0, 1)),
        (z(4, 5, 3),),
        "fourier",
        "c2r",
        3 * 200,
    ),
    "embedding": (F.embedding, (i(9, 2, 3), f(9, 4)), "embedding", "embedding", 0),
    "prelu of channels": (F.prelu, (f(2, 3, 4), f(3)), "elementwise", "prelu", 0),
    "glu": (F.glu, (f(2, 6),), "elementwise", "glu", 0),
    "cosine": (
        F.cosine_similarity,
        (f(2, 6, 3), f(2, 6, 3)),
        "elementwise",
        "cosine_similarity",
        0,
    ),
    "where": (
        lambda x: torch.where(torch.ones(2, 3, dtype=torch.bool), x, x),
        (f(2, 3),),
        "elementwise",
        "where",
        0,
    ),
    "larger of two": (torch.max, (f(2, 3), f(2, 3)), "elementwise", "max", 0),
    "largest": (torch.max, (f(2, 3),), "reduction", "max", 0),
    "largest of an axis": (lambda x: torch.max(x, 1), (f(2, 3),), "reduction", "max", 0),
    "variance and mean": (
        lambda x: torch.var_mean(x, 1, keepdim=True),
        (f(2, 3),),
        "reduction",
        "var_mean",
        0,
    ),
    "running product": (lambda x: x.cumprod(1), (f(2, 3),), "reduction", "cumprod", 0),
    "norm": (lambda x: torch.linalg.vector_norm(x, dim=0), (f(2, 3),), "reduction", None, 0),
    "sort": (torch.sort, (f(2, 3),), "sorting", "sort", 0),
    "top k": (lambda x: torch.topk(x, 2, 0), (f(5, 3),), "sorting", "topk", 0),
    "k-th value": (lambda x: torch.kthvalue(x, 2, 1, True), (f(5, 3),), "sorting", "kthvalue", 0),
    "index": (lambda x, n: x[n], (f(5, 3, 2), i(5, 4)), "indexing", "index", 0),
    "index of two axes": (
        lambda x, n: x[:, n, n],
        (f(5, 3, 2), i(2, 4, 1)),
        "indexing",
        "index",
        0,
    ),
    "index of axes apart": (
        lambda x, n: x[n, :, n],
        (f(5, 3, 2), i(2, 4, 1)),
        "indexing",
        "index",
        0,
    ),
    "gather": (lambda x, n: x.gather(1, n), (f(2, 3), i(3, 2, 5)), "indexing", "gather", 0),
    "select by index": (
        lambda x, n: x.index_select(1, n),
        (f(2, 3, 4), i(3, 5)),
        "indexing",
        "index_select",
        0,
    ),
    "nearest": (
        lambda x: F.interpolate(x, scale_factor=1.5),
        (f(1, 2, 5, 7),),
        "resampling",
        "upsample_nearest2d",
        0,
    ),
    "bicubic to a size": (
        lambda x: F.interpolate(x, (3, 4), mode="bicubic"),
        (f(1, 2, 5, 7),),
        "resampling",
        "upsample_bicubic2d",
        0,
    ),
    "smooth": (
        lambda x: F.interpolate(x, (3, 4), mode="bilinear", antialias=True),
        (f(1, 2, 5, 7),),
        "resampling",
        "upsample_bilinear2d_aa",
        0,
    ),
    "sampled": (
        lambda x, grid: F.grid_sample(x, grid, align_corners=False),
        (f(2, 3, 4, 5), f(2, 6, 7, 2)),
        "resampling",
        "grid_sampler",
        0,
    ),
    "patches as columns": (
        lambda x: F.unfold(x, (3, 2), padding=1, stride=2, dilation=(1, 2)),
        (f(2, 3, 8, 9),),
        "resampling",
        "im2col",
        0,
    ),
    "columns as patches": (
        lambda x: F.fold(x, (8, 9), (2, 2), stride=2),
        (f(2, 12, 16),),
        "resampling",
        "col2im",
        0,
    ),
    "rms norm": (
        lambda x, w: F.rms_norm(x, (4,), w),
        (f(2, 4), f(4)),
        "normalization",
        "rms_norm",
        0,
    ),
    "row of numbers": (lambda: torch.linspace(0, 1, 7), (), "movement", "fill", 0),
    "unit matrix": (lambda: torch.eye(3, 4), (), "movement", "fill", 0),
    "zeros like none": (lambda x: x.new_zeros(3, 4), (f(2),), "movement", "fill", 0),
    "tiled": (lambda x: torch.tile(x, (2,)), (f(3, 4),), "movement", "copy", 0),
    "triangle": (lambda: torch.triu_indices(4, 6, -1), (), "movement", "fill", 0),
    "one of many": (lambda x: F.one_hot(x, 5), (i(5, 3),), "movement", "fill", 0),
}


#: families that take axes together which do not matter for the work
FLATTENED = ("matmul", "attention", "embedding")


@pytest.mark.parametrize("name", OPERATORS)
def test_an_outermost_operator_is_known_by_its_shape_and_macs(name: str) -> None:
    run, arguments, family, kind, macs = OPERATORS[name]
    output, calls = all_outermost(lambda: run(*arguments))
    [seen] = [item for item in calls if item.family == family]
    assert kind in (None, seen.kind)
    assert ops.cost(seen).macs == macs
    first = output[0] if isinstance(output, tuple) else output
    shape = ops.output_shape(seen)
    assert shape is not None
    if family in FLATTENED:
        assert (prod(shape), shape[-1:]) == (first.numel(), tuple(first.shape[-1:]))
    else:
        assert shape == tuple(first.shape)
    assert [item.kind for item in calls if item.family == "unknown"] == []


LOSSES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "mse_loss": (F.mse_loss, (f(4, 6), f(4, 6)), 24),
    "l1_loss": (F.l1_loss, (f(4, 6), f(4, 6)), 24),
    "smooth_l1_loss": (F.smooth_l1_loss, (f(4, 6), f(4, 6)), 24),
    "huber_loss": (F.huber_loss, (f(4, 6), f(4, 6)), 24),
    "binary_cross_entropy": (F.binary_cross_entropy, (f(4, 6), f(4, 6)), 24),
    "binary_cross_entropy_with_logits": (
        F.binary_cross_entropy_with_logits,
        (f(4, 6), f(4, 6)),
        24,
    ),
    "kl_div": (F.kl_div, (f(4, 6), f(4, 6)), 24),
    "poisson_nll_loss": (F.poisson_nll_loss, (f(4, 6), f(4, 6)), 24),
    "soft_margin_loss": (F.soft_margin_loss, (f(4, 6), f(4, 6)), 24),
    "multi_margin_loss": (F.multi_margin_loss, (f(4, 6), i(6, 4)), 4),
    "margin_ranking_loss": (F.margin_ranking_loss, (f(4), f(4), f(4)), 4),
    "cosine_embedding_loss": (F.cosine_embedding_loss, (f(4, 6), f(4, 6), torch.ones(4)), 4),
    "triplet_margin_loss": (F.triplet_margin_loss, (f(4, 6), f(4, 6), f(4, 6)), 4),
    "nll_loss": (F.nll_loss, (f(4, 6), i(6, 4)), 4),
    "cross_entropy_loss": (F.cross_entropy, (f(4, 6), i(6, 4)), 4),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_known_averaged_or_not(name: str) -> None:
    run, arguments, each = LOSSES[name]
    for reduction, elements in (("mean", 1), ("none", each)):
        output, calls = all_outermost(lambda: run(*arguments, reduction=reduction))  # noqa: B023
        [seen] = [item for item in calls if item.family == "loss"]
        assert seen.kind == name
        assert ops.output_shape(seen) == tuple(output.shape)
        assert ops.cost(seen).bytes_written == 4 * elements
        assert ops.cost(seen).macs == 0


def test_cross_entropy_with_probabilities_and_of_images() -> None:
    for arguments, shape in (
        ((f(4, 6), f(4, 6)), (4,)),
        ((f(2, 6, 3, 5), i(6, 2, 3, 5)), (2, 3, 5)),
        ((f(2, 6, 3), f(2, 6, 3)), (2, 3)),
    ):
        _, [*_, seen] = all_outermost(lambda: F.cross_entropy(*arguments, reduction="none"))  # noqa: B023
        assert (seen.family, ops.output_shape(seen)) == ("loss", shape)


def test_bags_of_embeddings_with_and_without_weights() -> None:
    rows, offsets = i(9, 10), torch.tensor([0, 4, 6])
    _, [*_, seen] = all_outermost(lambda: F.embedding_bag(rows, f(9, 4), offsets, mode="sum"))
    assert (seen["indices"], seen["outputs"], ops.cost(seen).macs) == (10, 3, 0)
    weights = f(10)
    _, [*_, seen] = all_outermost(
        lambda: F.embedding_bag(rows, f(9, 4), offsets, mode="sum", per_sample_weights=weights)
    )
    assert ops.cost(seen).macs == 40
    ends = torch.tensor([0, 4, 6, 10])
    _, [*_, seen] = all_outermost(
        lambda: F.embedding_bag(rows, f(9, 4), ends, mode="sum", include_last_offset=True)
    )
    assert seen["outputs"] == 3


def test_a_mask_tells_not_how_much_it_selects() -> None:
    x = f(4, 6)
    for run in (lambda: x[x > 0.5], lambda: x.masked_select(x > 0.5), lambda: x.nonzero()):
        _, calls = all_outermost(run)
        [seen] = [item for item in calls if item.family == "indexing"]
        assert ops.cost(seen).bytes_written == 0
        assert ops.cost(seen).bytes_read > 0


@pytest.mark.parametrize(
    ("write", "kind", "elements"),
    [
        (lambda x: x.scatter(1, i(6, 4, 2), f(4, 2)), "scatter", 8),
        (lambda x: x.scatter_add(1, i(6, 4, 2), f(4, 2)), "scatter_add", 8),
        (lambda x: x.index_add(1, i(6, 3), f(4, 3)), "index_add", 12),
        (lambda x: x.index_copy(0, i(4, 3), f(3, 6)), "index_copy", 18),
        (lambda x: x.index_fill(0, i(4, 3), 0.0), "index_fill", 18),
        (lambda x: x.index_put((i(4, 3),), f(3, 6)), "index_put", 18),
    ],
)
def test_writing_by_index_writes_as_much_as_there_are_indices(
    write: Callable[[Any], Any], kind: str, elements: int
) -> None:
    x = f(4, 6)
    _, calls = all_outermost(lambda: write(x))
    [seen] = [item for item in calls if item.family == "indexing"]
    assert seen.kind == kind
    assert ops.cost(seen).bytes_written == 4 * elements


SEQUENCES = {
    "lstm": (lambda: torch.nn.LSTM(5, 7, 2, bidirectional=True), 4 * 7 * 2 * (5 + 7 + 14 + 7)),
    "lstm, batch first": (lambda: torch.nn.LSTM(5, 7, batch_first=True), 4 * 7 * (5 + 7)),
    "lstm, projected": (
        lambda: torch.nn.LSTM(5, 7, 2, proj_size=3),
        4 * 7 * (5 + 3) + 7 * 3 + 4 * 7 * (3 + 3) + 7 * 3,
    ),
    "lstm without bias": (lambda: torch.nn.LSTM(5, 7, bias=False), 4 * 7 * (5 + 7)),
    "gru": (lambda: torch.nn.GRU(5, 7, 2), 3 * 7 * (5 + 7 + 7 + 7)),
    "rnn": (lambda: torch.nn.RNN(5, 7, nonlinearity="relu"), 7 * (5 + 7)),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_recurrent_layers_count_their_products_at_each_step(name: str) -> None:
    make, each = SEQUENCES[name]
    module = make().eval()
    (output, _), calls = all_outermost(lambda: module(f(4, 3, 5)))
    [seen] = [item for item in calls if item.family == "recurrent"]
    cost = ops.cost(seen)
    assert cost.macs == 4 * 3 * each
    assert cost.parameters == sum(item.numel() for item in module.parameters())
    assert ops.output_shape(seen) == (12, output.shape[-1])
    assert [item.kind for item in calls if item.family == "unknown"] == []


@pytest.mark.parametrize("name", SEQUENCES)
def test_packed_sequences_count_the_steps_that_they_have(name: str) -> None:
    make, each = SEQUENCES[name]
    module = make().eval()
    packed = torch.nn.utils.rnn.pack_padded_sequence(f(4, 3, 5), torch.tensor([4, 3, 1]))
    _, calls = all_outermost(lambda: module(packed))
    [seen] = [item for item in calls if item.family == "recurrent"]
    assert (seen["batch"], seen["steps"], seen["rows"]) == (3, 4, 8)
    assert ops.cost(seen).macs == 8 * each


@pytest.mark.parametrize(("make", "gates"), [("LSTMCell", 4), ("GRUCell", 3), ("RNNCell", 1)])
def test_cells_count_one_step(make: str, gates: int) -> None:
    cell = getattr(torch.nn, make)(5, 7)
    _, calls = all_outermost(lambda: cell(f(3, 5)))
    [seen] = [item for item in calls if item.family == "recurrent"]
    assert ops.cost(seen).macs == 3 * gates * 7 * (5 + 7)
    assert ops.cost(seen).parameters == sum(item.numel() for item in cell.parameters())


def test_layers_of_transformers_that_torch_fuses() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    _, calls = all_outermost(lambda: layer(f(2, 5, 16)))
    [seen] = [item for item in calls if item.family == "transformer_layer"]
    assert ops.cost(seen).macs == 10 * (4 * 256 + 2 * 5 * 16 + 2 * 16 * 32)
    assert ops.cost(seen).parameters == sum(item.numel() for item in layer.parameters())
    heads = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x = f(2, 5, 16)
    _, calls = all_outermost(lambda: heads(x, x, x))
    [seen] = [item for item in calls if item.family == "transformer_layer"]
    assert ops.cost(seen).macs == 10 * (4 * 256 + 2 * 5 * 16)


def test_the_ends_of_a_range_stay_with_the_application() -> None:
    """A place in a text would be told by them, and make a signature of each token."""
    seen = {
        translate(call)
        for place in range(3)
        for call in record_calls(lambda place=place: torch.arange(place, place + 1), ATTRIBUTES)
    }
    assert len(seen) == 1
    assert seen.pop().kind == "fill"
