"""Copies, joins, fills, views, and what does no work at all, as PyTorch spells them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix.dialects.aten.rule import (
    Arguments,
    Rule,
    Shape,
    Translation,
    elements,
    quantised,
    same,
    shapes,
)
from aimatrix.dialects.raw import TensorArg


def _joining(name: str, arguments: Arguments) -> Translation:
    kind = "stack" if name == "stack" else "cat"
    joined = [tensor.shape for tensor in arguments["tensors"]]
    return kind, {"inputs": joined, "dim": arguments.get("dim", 0)}


def _stacked(_: str, arguments: Arguments) -> Translation:
    """``hstack`` and its like: all elements, whichever way they lie."""
    return "copy", {"inputs": [(elements(arguments, "tensors"),)]}


def _repeat(_: str, arguments: Arguments) -> Translation:
    """Copies in every dimension: a copy of the size of what comes out."""
    repeats = arguments.get("repeats", arguments.get("dims"))
    shape = arguments["self"].shape
    rank = max(len(repeats), len(shape))
    shape, repeats = (1,) * (rank - len(shape)) + shape, (1,) * (rank - len(repeats)) + repeats
    return "copy", {"inputs": [[s * r for s, r in zip(shape, repeats, strict=True)]]}


def _padding(_: str, arguments: Arguments) -> Translation:
    pads = arguments.get("pad", arguments.get("padding"))
    return "pad", {"inputs": [arguments["self"].shape], "pads": pads}


def _moved(kind: str) -> Callable[[str, Arguments], Translation]:
    def rule(_: str, arguments: Arguments) -> Translation:
        inputs = shapes(arguments)
        return kind, {"inputs": inputs[:1] or [()]}

    return rule


def _converted(_: str, arguments: Arguments) -> Translation:
    """``to`` hands on what is so already, as most of its calls do: a copy only where that is told.

    The dtype or device that is asked for is told by another tensor alone.
    """
    tensor, other = arguments["self"], arguments.get("other")
    changed = isinstance(other, TensorArg) and (
        (tensor.dtype, tensor.device) != (other.dtype, other.device)
    )
    kind = "copy" if changed or arguments.get("copy") is True else "view"
    return kind, {"inputs": [tensor.shape]}


def _filled(_: str, arguments: Arguments) -> Translation:
    """Of a size that is given, else of the tensor's own."""
    size = arguments.get("size")
    return "fill", {"inputs": [size] if size is not None else shapes(arguments)[:1] or [()]}


def _counted(name: str, arguments: Arguments) -> Translation:
    """Numbers in a row, or the diagonal of a matrix."""
    return "fill", {"inputs": [_row(name, arguments)]}


def _row(name: str, arguments: Arguments) -> Shape:
    if name == "eye":
        return arguments["n"], arguments.get("m", arguments["n"])
    if name == "randperm":
        return (arguments["n"],)
    if name.endswith("_window"):
        return (arguments["window_length"],)
    if name in ("linspace", "logspace"):
        return (arguments["steps"],)
    # the ends of a range are the application's own (a place in a text), and would make a
    # signature of each call: it counts as one number
    return (1,)


def _triangle(name: str, arguments: Arguments) -> Translation:
    """The places of a triangle, as rows and columns."""
    rows, columns, offset = arguments["row"], arguments["col"], arguments["offset"]
    if name == "tril_indices":
        places = _below_diagonal(rows, columns, offset)
    else:
        places = rows * columns - _below_diagonal(rows, columns, offset - 1)
    return "fill", {"inputs": [(2, places)]}


def _below_diagonal(rows: int, columns: int, offset: int) -> int:
    """Places of a matrix that are not above its diagonal number ``offset``."""

    def up_to(longest: int) -> int:
        """Of rows of length 1, 2 ... ``longest``, none of them longer than the matrix is wide."""
        steps = min(max(longest, 0), columns)
        return steps * (steps + 1) // 2 + max(longest - columns, 0) * columns

    return up_to(rows + offset) - up_to(offset)


def _one_hot(_: str, arguments: Arguments) -> Translation:
    classes = arguments["num_classes"]
    if classes < 0:
        raise ValueError("how many classes there are is told by the data")
    return "fill", {"inputs": [(*arguments["self"].shape, classes)]}


def _diagonal(_: str, arguments: Arguments) -> Translation:
    shape = arguments["self"].shape
    return "fill", {"inputs": [(prod(shape), shape[-1])]}


_VIEW = Rule("movement", _moved("view"))
_COPY = Rule("movement", _moved("copy"))
_FILL = Rule("movement", _filled)
_FILL_OF_SIZE = Rule("movement", _filled, ("size",))
_JOIN = Rule("movement", _joining, ("dim",))
_COUNTED = Rule("movement", _counted, ("steps", "n", "m", "window_length"))
_REPEAT = Rule("movement", _repeat, ("repeats", "dims"))

RULES: dict[str, Rule] = {
    **same(_JOIN, "cat concat concatenate stack"),
    **same(quantised(_JOIN, tensors="qx"), "quantized::cat quantized::cat_relu"),
    **same(Rule("movement", _stacked), "hstack vstack dstack column_stack row_stack"),
    **same(Rule("movement", _padding, ("pad",)), "constant_pad_nd pad _pad_circular _pad_enum"),
    **same(
        Rule("movement", _padding, ("padding",)),
        "reflection_pad1d reflection_pad2d reflection_pad3d"
        " replication_pad1d replication_pad2d replication_pad3d",
    ),
    **same(
        _COPY,
        "clone contiguous copy _to_copy cpu cuda pin_memory _pin_memory lift_fresh_copy"
        " _autocast_to_reduced_precision _autocast_to_full_precision _copy_from to_dense to_mkldnn"
        " pixel_shuffle pixel_unshuffle native_channel_shuffle channel_shuffle roll flip fliplr"
        " flipud rot90 fft_fftshift fft_ifftshift tril triu resolve_conj resolve_neg"
        " _conj_physical _pack_padded_sequence _pad_packed_sequence",
    ),
    **same(Rule("movement", _converted, ("copy",)), "to type_as"),
    **same(_REPEAT, "repeat tile"),
    **same(
        _FILL_OF_SIZE,
        "zeros ones full rand randn randint normal new_zeros new_ones new_full"
        " _efficientzerotensor",
    ),
    **same(
        _FILL,
        "fill zero uniform bernoulli random exponential geometric log_normal cauchy scalar_tensor"
        " zeros_like ones_like full_like rand_like randn_like randint_like",
    ),
    **same(_COUNTED, "arange linspace logspace randperm eye"),
    **same(_COUNTED, "hann_window hamming_window blackman_window bartlett_window kaiser_window"),
    **same(Rule("movement", _triangle, ("row", "col", "offset")), "tril_indices triu_indices"),
    "one_hot": Rule("movement", _one_hot, ("num_classes",)),
    "diag_embed": Rule("movement", _diagonal),
    **same(
        _VIEW,
        "view _unsafe_view reshape _reshape_alias reshape_as flatten unflatten ravel t numpy_T mT"
        " transpose permute movedim moveaxis swapaxes swapdims adjoint matrix_H squeeze unsqueeze"
        " expand expand_as broadcast_to broadcast_tensors view_as select slice narrow split"
        " split_with_sizes chunk tensor_split hsplit vsplit dsplit unsafe_chunk unsafe_split"
        " unsafe_split_with_sizes unbind unfold mH _indices _values indices values"
        " detach alias lift lift_fresh as_strided"
        " diagonal meshgrid atleast_1d atleast_2d atleast_3d"
        " view_as_complex view_as_real real imag conj _conj _neg_view",
    ),
    **same(_VIEW, "empty empty_like empty_strided new_empty new_empty_strided empty_permuted"),
    # questions about a tensor, and what only changes its description
    **same(
        _VIEW,
        "size stride numel dim sym_size sym_stride sym_numel sym_storage_offset storage_offset"
        " item _local_scalar_dense is_nonzero is_floating_point is_complex is_signed is_inference"
        " is_same_size is_pinned is_leaf is_conj is_neg _is_zerotensor is_contiguous is_set_to"
        " result_type can_cast promote_types _version output_nr retain_grad retains_grad"
        " requires_grad data set_data set resize resize_as _has_same_storage_numel"
        " _has_compatible_shallow_copy_type _linalg_check_errors record_stream"
        " _assert_async _assert_scalar"
        " _assert_tensor_metadata _functional_assert_async sym_constrain_range"
        " _use_cudnn_ctc_loss _use_miopen_ctc_loss _fused_sdp_choice _debug_has_internal_overlap"
        " _cudnn_rnn_flatten_weight _use_cudnn_rnn_flatten_weight"
        " _sparse_coo_tensor_unsafe _coalesced _nested_tensor_size",
    ),
}
