"""Reading and writing by index, and sorting, as ONNX spells them."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _gathered(_: str, arguments: Arguments) -> Translation:
    """As `_chosen`; where whole rows are, with the rows that there are to choose from."""
    read, table = outputs(arguments)[0], shape(arguments, 0)
    moved = _moved([read], [read], prod(shape(arguments, 1)))
    if len(table) > 1 and arguments.get("axis", 0) % len(table) == 0:
        moved["rows"] = table[0]
    return "index_select", moved


def _chosen(kind: str) -> Rule:
    """Of an operator that reads what it gives out of a tensor, at the places of its second."""

    def translation(_: str, arguments: Arguments) -> Translation:
        read = outputs(arguments)[0]
        return kind, _moved([read], [read], prod(shape(arguments, 1)))

    return Rule("indexing", translation)


def _relative(_: str, arguments: Arguments) -> Translation:
    """A bias for each distance of a query from a key, of a table, for every pair."""
    given = outputs(arguments)[0]
    return "index_select", _moved([given], [given], given[-2] * given[-1])


def _written(_: str, arguments: Arguments) -> Translation:
    """As many elements as indices; where they are reduced, what was there is read before."""
    index, how = shape(arguments, 1), arguments.get("reduction", "none")
    kind = {"none": "scatter", "add": "scatter_add"}.get(how, "scatter_reduce")
    before = [] if how == "none" else [index]
    return kind, _moved([index, *before], [index], prod(index))


def _put(_: str, arguments: Arguments) -> Translation:
    """Slices, each at the place that the last axis of the indices tells."""
    values, how = shape(arguments, 2), arguments.get("reduction", "none")
    before = [] if how == "none" else [values]
    return "index_put", _moved([values, *before], [values], prod(shape(arguments, 1)))


def _cached(_: str, arguments: Arguments) -> Translation:
    """Into a cache of keys or values, from one place on in each batch item."""
    update, places = shape(arguments, 1), operand(arguments, 2)
    return "index_copy", _moved([update], [update], prod(places.shape) if places else 0)


def _looked_up(_: str, arguments: Arguments) -> Translation:
    """Rows of the table, one an index."""
    rows, width = shape(arguments, 0)
    indices = prod(shape(arguments, 1))
    return "embedding", {
        "rows": rows,
        "width": width,
        "indices": indices,
        "outputs": indices,
        "weighted": False,
    }


def _told_by_data(kind: str) -> Rule:
    """Data determine how much comes out: nothing is counted as written."""

    def translation(_: str, arguments: Arguments) -> Translation:
        return kind, _moved(inputs(arguments), [], 0)

    return Rule("indexing", translation)


def _distinct(_: str, arguments: Arguments) -> Translation:
    kind = "_unique2" if arguments.get("axis") is None else "unique_dim"
    return kind, _moved(inputs(arguments), [], 0)


def _drawn(_: str, arguments: Arguments) -> Translation:
    return "multinomial", _moved(inputs(arguments), [], prod(outputs(arguments)[0]))


def _boxes(_: str, arguments: Arguments) -> Translation:
    """Boxes and their scores; the other inputs are thresholds."""
    return "nms", _moved(inputs(arguments)[:2], [], 0)


def _largest(_: str, arguments: Arguments) -> Translation:
    kept = outputs(arguments)[0]
    return "topk", _moved([shape(arguments, 0)], [kept], prod(kept))


def _moved(read: list[Shape], written: list[Shape], indices: int) -> dict[str, Any]:
    return {"inputs": read, "outputs": written, "indices": indices}


_SCATTER = Rule("indexing", _written)

RULES: dict[str, Rule] = {
    **same(
        Rule("indexing", _gathered, ("axis",)),
        "Gather ai.onnx.ml::ArrayFeatureExtractor com.microsoft::GatherBlockQuantized",
    ),
    "com.microsoft::RelativePositionBias": Rule("indexing", _relative),
    "GatherElements": _chosen("gather"),
    **same(_chosen("index"), "GatherND com.microsoft::GatherND"),
    **same(_SCATTER, "ScatterElements Scatter"),
    "ScatterND": Rule("indexing", _put),
    "TensorScatter": Rule("indexing", _cached),
    "com.microsoft::TorchEmbedding": Rule("embedding", _looked_up),
    "NonZero": _told_by_data("nonzero"),
    "Compress": _told_by_data("masked_select"),
    "Multinomial": Rule("indexing", _drawn),
    "NonMaxSuppression": Rule("sorting", _boxes),
    "TopK": Rule("sorting", _largest),
    **same(Rule("sorting", _distinct), "Unique com.microsoft::Unique"),
}
