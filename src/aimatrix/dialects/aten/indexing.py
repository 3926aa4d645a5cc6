"""Embeddings, reading and writing by index, sorting, as PyTorch spells them."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, broadcast, same, shapes
from aimatrix.dialects.raw import TensorArg


def _table(arguments: Arguments) -> Shape:
    """(rows, width) of a table, which may be an object that tells its shape."""
    weight = arguments["weight"]
    rows, width = (weight[0] if isinstance(weight, tuple) else weight).shape
    return rows, width


def _embedding(_: str, arguments: Arguments) -> Translation:
    rows, width = _table(arguments)
    indices = prod(arguments["indices"].shape)
    return "embedding", _lookup(rows, width, indices, indices)


def _embedding_backward(name: str, arguments: Arguments) -> Translation:
    grad = _gradient(arguments)
    indices = prod(arguments["indices"].shape)
    rows = indices if _is_sparse(name, arguments) else arguments["num_weights"]
    return "embedding_backward", _lookup(rows, grad[-1], indices, indices)


def _embedding_bag(_: str, arguments: Arguments) -> Translation:
    rows, width = _table(arguments)
    indices = arguments["indices"].shape
    if len(indices) == 2:  # each row a bag
        bags = indices[0]
    else:
        bags = arguments["offsets"].shape[0] - bool(arguments.get("include_last_offset"))
    weighted = arguments.get("per_sample_weights") is not None
    return "embedding_bag", _lookup(rows, width, prod(indices), bags, weighted)


def _embedding_bag_backward(name: str, arguments: Arguments) -> Translation:
    bags, width = _gradient(arguments)
    indices = prod(arguments["indices"].shape)
    rows = indices if _is_sparse(name, arguments) else arguments["num_weights"]
    weighted = arguments.get("per_sample_weights") is not None
    return "embedding_bag_backward", _lookup(rows, width, indices, bags, weighted)


def _is_sparse(name: str, arguments: Arguments) -> bool:
    """Whether the gradient has only the rows that were looked up."""
    return "sparse" in name or arguments.get("sparse") is True


def _gradient(arguments: Arguments) -> Shape:
    return shapes(arguments, "grad_output", "grad")[0]


def _lookup(
    rows: int, width: int, indices: int, outputs: int, weighted: bool = False
) -> dict[str, Any]:
    return {
        "rows": rows,
        "width": width,
        "indices": indices,
        "outputs": outputs,
        "weighted": weighted,
    }


def _selected(name: str, arguments: Arguments) -> Translation:
    """What is read has the shape of the index, or has it along one axis."""
    index = shapes(arguments, "index", "indices")[0]
    shape = arguments["self"].shape
    if name != "index_select":
        return name, _moved([index], [index], prod(index))
    read = _replaced(shape, arguments["dim"], prod(index))
    return name, _of_table(shape, arguments["dim"], _moved([read], [read], prod(index)))


def _indexed(_: str, arguments: Arguments) -> Translation:
    """``tensor[a, :, b]``; a mask selects what only its data tell."""
    chosen = _chosen(arguments["self"].shape, arguments["indices"])
    masks = [shape for shape, mask in _index_shapes(arguments) if mask]
    if chosen is None:
        return "index", _moved(masks, [], 0)
    return "index", _moved([chosen], [chosen], _count(arguments))


def _put(_: str, arguments: Arguments) -> Translation:
    chosen = _chosen(arguments["self"].shape, arguments["indices"])
    values = arguments["values"].shape
    masks = [shape for shape, mask in _index_shapes(arguments) if mask]
    if chosen is None:
        return "index_put", _moved([*masks, values], [values], 0)
    return "index_put", _moved([values], [chosen], _count(arguments))


def _index_shapes(arguments: Arguments) -> list[tuple[Shape, bool]]:
    """(shape, whether it is a mask) of each index."""
    return [
        (index.shape, index.dtype in ("bool", "uint8"))
        for index in arguments["indices"]
        if isinstance(index, TensorArg)
    ]


def _count(arguments: Arguments) -> int:
    return sum(prod(shape) for shape, _ in _index_shapes(arguments))


def _chosen(shape: Shape, indices: tuple[Any, ...]) -> Shape | None:
    """NumPy's advanced indexing: the shape that is chosen; None where there are masks."""
    places = [place for place, index in enumerate(indices) if isinstance(index, TensorArg)]
    if any(indices[place].dtype in ("bool", "uint8") for place in places):
        return None
    common: Shape = ()
    for place in places:
        common = broadcast(common, indices[place].shape)
    left = [size for axis, size in enumerate(shape) if axis not in places]
    adjacent = places == list(range(places[0], places[-1] + 1))
    front = places[0] if adjacent else 0
    return (*left[:front], *common, *left[front:])


def _written(name: str, arguments: Arguments) -> Translation:
    """``scatter`` and its like: as many elements as indices; those that add read them before."""
    index = arguments["index"].shape
    adding = "add" in name or "reduce" in name or arguments.get("reduce") is not None
    source = [index] if shapes(arguments, "src", "source") else []
    return name, _moved([*source, *([index] if adding else [])], [index], prod(index))


def _written_along(name: str, arguments: Arguments) -> Translation:
    """``index_add`` and its like: whole slices along one axis."""
    shape, index = arguments["self"].shape, prod(arguments["index"].shape)
    written = _replaced(shape, arguments["dim"], index)
    source = [written] if shapes(arguments, "source") else []
    adding = [written] if name in ("index_add", "index_reduce") else []
    moved = _moved([*source, *adding], [written], index)
    return name, _of_table(shape, arguments["dim"], moved)


def _into_zeros(name: str, arguments: Arguments) -> Translation:
    """The gradient of a choice: zeros all over, but where something was chosen."""
    sizes = next(arguments[of] for of in _SIZES if arguments.get(of) is not None)
    sizes = sizes.shape if isinstance(sizes, TensorArg) else sizes
    return name, _moved([shapes(arguments)[0]], [sizes], 0)


_SIZES = ("input_sizes", "self_sizes", "sizes", "self", "input")


def _chosen_by_data(name: str, arguments: Arguments) -> Translation:
    """Data determine how much comes out: nothing is counted as written."""
    return name, _moved(shapes(arguments), [], 0)


def _repeated(_: str, arguments: Arguments) -> Translation:
    shape, repeats = arguments["self"].shape, arguments["repeats"]
    if not isinstance(repeats, int):  # of each element its own number, which is data
        return "repeat_interleave", _moved([shape], [], 0)
    return "repeat_interleave", _moved([shape], [(prod(shape) * repeats,)], 0)


def _sorted(name: str, arguments: Arguments) -> Translation:
    shape = arguments["self"].shape
    values = [] if name == "argsort" else [shape]
    return name, _moved([shape], values, prod(shape))


def _largest(name: str, arguments: Arguments) -> Translation:
    shape = arguments["self"].shape
    count = arguments["k"] if name == "topk" else 1
    kept = _replaced(shape, arguments.get("dim", -1), count) if shape else ()
    return name, _moved([shape], [kept], prod(kept))


def _renormed(name: str, arguments: Arguments) -> Translation:
    """Rows of a table that are looked up are made shorter where they are."""
    rows = (prod(arguments["indices"].shape), arguments["self"].shape[-1])
    return name, _moved([rows], [rows], rows[0])


def _searched(name: str, arguments: Arguments) -> Translation:
    """For each value its place among the sorted ones."""
    inputs = shapes(arguments)
    values = arguments.get("self")
    return name, _moved(inputs, [], prod(values.shape) if isinstance(values, TensorArg) else 1)


def _drawn(name: str, arguments: Arguments) -> Translation:
    shape = arguments["self"].shape
    return name, _moved([shape], [], prod(shape[:-1]) * arguments["num_samples"])


def _replaced(shape: Shape, axis: int, size: int) -> Shape:
    """``shape`` with another size along one axis."""
    if not shape:
        return ()
    axis %= len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])


def _of_table(shape: Shape, axis: int, moved: dict[str, Any]) -> dict[str, Any]:
    """With the rows that there are to choose from, where whole rows are."""
    return {**moved, "rows": shape[0]} if len(shape) > 1 and axis % len(shape) == 0 else moved


def _moved(inputs: list[Shape], outputs: list[Any], indices: int) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, "indices": indices}


_BAG = Rule("embedding", _embedding_bag, ("include_last_offset",))
_BAG_BACKWARD = Rule("embedding", _embedding_bag_backward, ("num_weights", "sparse"))
_BY_DATA = Rule("indexing", _chosen_by_data)
_SORTED = Rule("sorting", _sorted)

RULES: dict[str, Rule] = {
    "embedding": Rule("embedding", _embedding),
    **same(
        Rule("embedding", _embedding_backward, ("num_weights", "sparse")),
        "embedding_backward embedding_dense_backward embedding_sparse_backward",
    ),
    **same(_BAG, "embedding_bag _embedding_bag _embedding_bag_forward_only"),
    **same(
        Rule("embedding", _embedding, ("weight",)),
        "quantized::embedding_byte quantized::embedding_4bit",
    ),
    **same(
        Rule("embedding", _embedding_bag, ("weight", "include_last_offset")),
        "quantized::embedding_bag_byte quantized::embedding_bag_4bit",
    ),
    **same(
        _BAG_BACKWARD,
        "_embedding_bag_backward _embedding_bag_dense_backward _embedding_bag_sparse_backward",
    ),
    **same(Rule("indexing", _selected, ("dim",)), "gather index_select take take_along_dim"),
    **same(Rule("indexing", _indexed), "index _unsafe_index"),
    **same(Rule("indexing", _put), "index_put _index_put_impl _unsafe_index_put"),
    **same(Rule("indexing", _written, ("reduce",)), "scatter scatter_add scatter_reduce put"),
    **same(
        Rule("indexing", _written_along, ("dim",)), "index_add index_copy index_fill index_reduce"
    ),
    **same(
        Rule("indexing", _into_zeros, _SIZES),
        "slice_backward select_backward diagonal_backward index_select_backward gather_backward"
        " masked_select_backward"
        " value_selecting_reduction_backward unfold_backward",
    ),
    "embedding_renorm": Rule("indexing", _renormed),
    **same(_BY_DATA, "nonzero nonzero_numpy masked_select masked_scatter argwhere"),
    "repeat_interleave": Rule("indexing", _repeated, ("repeats",)),
    "multinomial": Rule("indexing", _drawn, ("num_samples",)),
    **same(_SORTED, "sort argsort msort"),
    **same(Rule("sorting", _largest, ("k", "dim")), "topk kthvalue"),
    **same(Rule("sorting", _searched), "searchsorted bucketize"),
    **same(
        Rule("sorting", _chosen_by_data),
        "unique_consecutive unique_dim _unique _unique2 unique_dim_consecutive isin bincount histc",
    ),
}
