"""What an operator is and what it costs: one file per family, no framework, no input or output.

To add a family: write its file with a `Family` subclass, and name it in ``_FAMILIES`` below.
"""

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.attention import Attention
from aimatrix.ops.collective import Collective
from aimatrix.ops.contraction import Contraction
from aimatrix.ops.convolution import Convolution
from aimatrix.ops.elementwise import Elementwise
from aimatrix.ops.embedding import Embedding
from aimatrix.ops.family import Family
from aimatrix.ops.fourier import Fourier
from aimatrix.ops.matmul import Matmul
from aimatrix.ops.movement import Movement
from aimatrix.ops.normalization import Normalization
from aimatrix.ops.pooling import Pooling
from aimatrix.ops.recurrent import Recurrent
from aimatrix.ops.reduction import Reduction
from aimatrix.ops.registry import Registry
from aimatrix.ops.streaming import Indexing, Loss, Resampling, Sorting
from aimatrix.ops.transformer_layer import TransformerLayer
from aimatrix.ops.unknown import Unknown

_FAMILIES = Registry(
    Convolution(),
    Matmul(),
    Contraction(),
    Attention(),
    TransformerLayer(),
    Recurrent(),
    Embedding(),
    Fourier(),
    Pooling(),
    Normalization(),
    Elementwise(),
    Reduction(),
    Loss(),
    Sorting(),
    Resampling(),
    Indexing(),
    Movement(),
    Collective(),
    Unknown(),
)


def families() -> tuple[str, ...]:
    """The names of all families."""
    return _FAMILIES.names()


def family_of(call: OpCall) -> Family:
    """The family a call belongs to. Raises InputError for one that is not registered."""
    return _FAMILIES[call.family]


def cost(call: OpCall) -> Cost:
    """What ``call`` costs. Raises InputError when its attributes make no operator."""
    return family_of(call).cost(call)


def output_shape(call: OpCall) -> tuple[int, ...] | None:
    """The shape of the output of ``call``, batch first; None where it is not known."""
    return family_of(call).output_shape(call)


def input_size(call: OpCall) -> float | None:
    """The size by which a call is grouped, in elements along one side of its input; or None."""
    return family_of(call).input_size(call)
