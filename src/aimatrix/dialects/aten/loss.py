"""Loss functions and their gradients as PyTorch spells them."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.aten.rule import (
    Arguments,
    Rule,
    Shape,
    Translation,
    broadcast,
    same,
    shapes,
)

#: how a loss names what was predicted, and what that is compared with
_PREDICTIONS = ("self", "input", "input1", "anchor", "log_probs", "x1")
_TARGETS = ("target", "targets")


def _loss(name: str, arguments: Arguments) -> Translation:
    """Of each element, then averaged or summed, unless ``reduction`` is 0."""
    each = _prediction(arguments)
    if name.endswith("_backward"):
        return name, {"inputs": shapes(arguments), "outputs": [each], "indices": 0}
    target = shapes(arguments, *_TARGETS)[0]
    if len(each) == len(target):
        each = broadcast(each, target)
    elif name != "kl_div":
        each = target
    return _kind(name), _attributes(arguments, shapes(arguments), each)


def _triplet_loss(name: str, arguments: Arguments) -> Translation:
    """One number for each vector and the two that it is compared with."""
    return name, _attributes(arguments, shapes(arguments), _prediction(arguments)[:-1])


def _class_loss(name: str, arguments: Arguments) -> Translation:
    """Classes as whole numbers, of which each picks one prediction; or as probabilities."""
    prediction, target = _prediction(arguments), arguments["target"].shape
    weight = shapes(arguments, "weight")
    if prediction == target and name == "cross_entropy_loss":
        each = (*target[:1], *target[2:])
        return name, _attributes(arguments, [prediction, target, *weight], each)
    whole = name == "cross_entropy_loss"  # softmax inside needs every prediction
    read = [prediction if whole else target, *weight]
    return _kind(name), _attributes(arguments, read, target, indices=prod(target))


def _class_loss_backward(_: str, arguments: Arguments) -> Translation:
    """Zeros all over, but where a class is."""
    indices = prod(arguments["target"].shape)
    read = shapes(arguments, "grad_output", "weight", "total_weight")
    written = [_prediction(arguments)]
    return "nll_loss_backward", {"inputs": read, "outputs": written, "indices": indices}


def _ctc(name: str, arguments: Arguments) -> Translation:
    """Over all alignments of (steps, batch, classes) with the targets."""
    steps_first = arguments["log_probs"].shape
    if name.endswith("_backward"):
        return "ctc_loss_backward", {
            "inputs": shapes(arguments, "grad", "log_probs", "log_alpha"),
            "outputs": [steps_first],
            "indices": prod(arguments["targets"].shape),
        }
    each = steps_first[1:2] if len(steps_first) == 3 else ()
    indices = prod(arguments["targets"].shape)
    return "ctc_loss", _attributes(arguments, [steps_first], each, indices=indices)


def _prediction(arguments: Arguments) -> Shape:
    return shapes(arguments, *_PREDICTIONS)[0]


def _attributes(
    arguments: Arguments, inputs: list[Shape], each: Shape, *, indices: int = 0
) -> dict[str, object]:
    output = each if arguments.get("reduction") == 0 else ()
    return {"inputs": inputs, "outputs": [output], "indices": indices}


def _kind(name: str) -> str:
    """Spellings of one loss by rank or by what they return are one kind."""
    name = name.removesuffix("_forward").removesuffix("_nd")
    return "nll_loss" if name == "nll_loss2d" else name


_LOSS = Rule("loss", _loss, ("reduction",))
_CLASS_LOSS = Rule("loss", _class_loss, ("reduction",))
_CTC = Rule("loss", _ctc, ("reduction",))

RULES: dict[str, Rule] = {
    **same(
        _LOSS,
        "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy"
        " binary_cross_entropy_with_logits kl_div poisson_nll_loss soft_margin_loss"
        " hinge_embedding_loss cosine_embedding_loss margin_ranking_loss multi_margin_loss"
        " multilabel_margin_loss multilabel_margin_loss_forward",
    ),
    **same(
        _LOSS,
        "mse_loss_backward smooth_l1_loss_backward huber_loss_backward"
        " binary_cross_entropy_backward soft_margin_loss_backward multi_margin_loss_backward"
        " multilabel_margin_loss_backward",
    ),
    **same(
        _CLASS_LOSS,
        "cross_entropy_loss nll_loss nll_loss_nd nll_loss2d nll_loss_forward nll_loss2d_forward",
    ),
    **same(Rule("loss", _class_loss_backward), "nll_loss_backward nll_loss2d_backward"),
    "triplet_margin_loss": Rule("loss", _triplet_loss, ("reduction",)),
    **same(_CTC, "ctc_loss _ctc_loss _cudnn_ctc_loss miopen_ctc_loss _ctc_loss_backward"),
}
