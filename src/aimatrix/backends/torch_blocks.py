"""How torch runs the stages of a mix: blocks of operators on tensors of their own.

The source below the imports is also written into the `model.py` of a mix, which then does the same
as the backends: it uses torch, and nothing else of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor


class Operand:
    """A tensor that an operator takes: random numbers, or what operator ``of`` of the block gave.

    dtype: where it is not that of the run. bound: what whole numbers stay below. warm: whether an
    application would have written it just before.
    """

    def __init__(
        self,
        *shape: int,
        of: int | None = None,
        dtype: str | None = None,
        bound: int = 100,
        warm: bool = False,
    ) -> None:
        self.shape, self.of, self.dtype, self.bound, self.warm = shape, of, dtype, bound, warm

    def draw(self, dtype: str, random: torch.Generator) -> Tensor:
        """Random numbers for it in a run of ``dtype``."""
        kind = getattr(torch, self.dtype or dtype)
        if kind.is_floating_point:  # from 0 to 1: variances and logarithms take no negative ones
            return torch.rand(self.shape, generator=random).to(kind)
        if kind == torch.bool:
            return torch.rand(self.shape, generator=random) > 0.5
        return torch.randint(0, self.bound, self.shape, generator=random).to(kind)

    def taken(self, value: Any) -> Tensor:
        """What an operator gave, in this shape: its first elements."""
        tensor: Tensor = value if isinstance(value, Tensor) else value[0]
        if tensor.shape == self.shape:
            return tensor
        return tensor.reshape(-1)[: prod(self.shape)].view(self.shape)


class Memory:
    """Where blocks get their tensors. Warm ones are parts of a piece that all blocks share.

    So they are in a cache if they fit there, as what an application has just written.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.random = device, torch.Generator().manual_seed(0)
        self.shared: dict[str, Tensor] = {}

    def block(self, operands: Sequence[Operand], dtype: str) -> list[Tensor]:
        """Tensors for the operands of a block in a run of ``dtype``."""
        used: dict[str, int] = {}
        return [self.given(operand, dtype, used) for operand in operands]

    def given(self, operand: Operand, dtype: str, used: dict[str, int]) -> Tensor:
        """A tensor for an operand; used: of each dtype, what the block has of the shared piece."""
        if not operand.warm:
            return operand.draw(dtype, self.random).to(self.device)
        name, elements = operand.dtype or dtype, prod(operand.shape)
        first, last = used.get(name, 0), used.get(name, 0) + elements
        used[name] = -(-last // 64) * 64  # no two on one line of a cache
        if name not in self.shared or len(self.shared[name]) < last:
            piece = Operand(max(2**22, 2 * last), dtype=name)
            self.shared[name] = piece.draw(dtype, self.random).to(self.device)
        return self.shared[name][first:last].view(operand.shape)


class Op:
    """An operator: a function, the operands that it takes, in order or by name, its settings."""

    def __init__(self, function: Callable[..., Any], *operands: Operand, **named: Any) -> None:
        names = [name for name, value in named.items() if isinstance(value, Operand)]
        self.operands = [*operands, *(named.pop(name) for name in names)]
        run, first = partial(function, **named) if named else function, len(operands)

        def run_by_name(*tensors: Tensor) -> Any:
            return run(*tensors[:first], **dict(zip(names, tensors[first:], strict=True)))

        self.function = run_by_name if names else run


class Stage:
    """A block of operators, run ``repeats`` times, each time on weights of its own.

    times: its multiplicity on processors, and on accelerators.
    """

    def __init__(self, name: str, times: tuple[float, float], *block: Op, repeats: int = 1) -> None:
        self.name, self.times, self.block, self.repeats = name, times, block, repeats

    def tensors(self, dtype: str, memory: Memory) -> list[Tensor]:
        """The tensors of its own that it takes in a run of ``dtype``, in the order it does."""
        operands = [operand for op in self.block for operand in op.operands if operand.of is None]
        return [each for _ in range(self.repeats) for each in memory.block(operands, dtype)]

    def run(self, tensors: Sequence[Tensor]) -> list[Any]:
        """What each block gives at its end; tensors: as `tensors` gives them."""
        outputs, own = [], iter(tensors)
        for _ in range(self.repeats):
            given: list[Any] = []
            for op in self.block:
                operands = op.operands
                given.append(
                    op.function(
                        *[next(own) if o.of is None else o.taken(given[o.of]) for o in operands]
                    )
                )
            outputs.append(given[-1])
        return outputs


def compiled(run: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The run of stage ``number``, compiled as one graph."""
    # Code of its own, or all stages would count as recompilations of one function.
    bound: Any = run
    code = bound.__func__.__code__.replace(co_name=f"stage_{number}")
    own = MethodType(FunctionType(code, globals()), bound.__self__)
    one_graph: Callable[..., Any] = torch.compile(own, fullgraph=True, dynamic=False)
    return one_graph
