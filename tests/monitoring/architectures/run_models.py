"""Runs the architectures of a group, one inference each, and prints a digest of what they give.

``run_models.py GROUP [--threads N] [--recount FILE]``: a group is a module beside this one. With
``--threads`` that many threads run the whole group each. With ``--recount`` the operator calls and
multiply-adds of each architecture are counted as well, by means that have nothing to do with the
monitor: a dispatch mode, which under inference mode gets the operators as they are called from
Python, and torch's own counter of operations.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("group")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--recount", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    importing = Recount()
    # from the first on: what libraries compute when they are imported counts too
    with torch.inference_mode(), importing if options.recount else nullcontext():
        module = importlib.import_module(options.group)
    if options.recount:
        macs = getattr(module, "MACS", {})
        document = {name: recount(make, macs.get(name)) for name, make in module.MAKERS.items()}
        document["import"] = {"making": importing.document(), "running": [], "macs": 0}
        options.recount.write_text(json.dumps(document))
    elif options.threads:
        run_in_threads(options.threads, module.MAKERS)
    else:
        run(module.MAKERS, print)


def run(makers: Mapping[str, Callable[[], Any]], tell: Callable[..., object]) -> None:
    with torch.inference_mode():
        for name, make in makers.items():
            torch.manual_seed(0)
            function, inputs = make()
            tell(name, digest(function(**inputs)))


def run_in_threads(number: int, makers: Mapping[str, Callable[[], Any]]) -> None:
    quiet = lambda *_: None  # noqa: E731 - all draw from one generator: their numbers differ
    threads = [threading.Thread(target=run, args=(makers, quiet)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("ran", number)


def digest(output: Any) -> str:
    """A hash of all bytes of all tensors in ``output``."""
    found = hashlib.sha256()
    for tensor in tensors(output):
        found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


class Recount(TorchDispatchMode):
    """Counts operator calls by name and arguments, spelled as the spool spells them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not is_on_meta([*args, *(kwargs or {}).values()]):
            self.calls[self._spell(func, args, kwargs or {})] += 1
        return func(*args, **(kwargs or {}))

    def document(self) -> list[list[Any]]:
        return [[json.loads(call), count] for call, count in self.calls.items()]

    @staticmethod
    def _spell(func: Any, args: Any, kwargs: Any) -> str:
        schema = func._schema
        given = dict(zip((a.name for a in schema.arguments), args, strict=False)) | kwargs
        call = {"name": schema.name, "overload": schema.overload_name, "arguments": {}}
        for argument in schema.arguments:
            value = given.get(argument.name, argument.default_value)
            if "Tensor" in str(argument.type) and isinstance(value, (bool, int, float, complex)):
                continue  # a number in a tensor's place
            if is_telling(value):
                call["arguments"][argument.name] = spell(value)
        return json.dumps(call, sort_keys=True)


def is_on_meta(values: Any) -> bool:
    """Whether a call computes no more than shapes."""
    return any(
        is_on_meta(value)
        if isinstance(value, (list, tuple))
        else (isinstance(value, torch.Tensor) and value.is_meta)
        or (isinstance(value, torch.device) and value.type == "meta")
        for value in values
    )


def is_telling(value: Any) -> bool:
    """Whether a value may be a matter of a signature."""
    if isinstance(value, (list, tuple)):
        return all(map(is_telling, value))
    return value is None or isinstance(value, (torch.Tensor, bool, int, float, str))


def spell(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return {"shape": list(value.shape), "dtype": dtype, "device": value.device.type}
    return [spell(item) for item in value] if isinstance(value, (list, tuple)) else value


def grouped_products(a: torch.Tensor, b: torch.Tensor, *_: Any, **__: Any) -> int:
    """Operations of one product of each row of ``a`` with the weights of its expert."""
    return 2 * a.shape[0] * b.shape[-2] * b.shape[-1]


#: torch's own, and what they lack
FORMULAS = {**flop_registry, torch.ops.aten._grouped_mm: grouped_products}


class Products(TorchDispatchMode):
    """Multiply-adds by torch's own formulas; as FlopCounterMode, without its hooks on modules.

    Those need gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = FORMULAS.get(func._overloadpacket)
        if formula is None:
            with self:
                result = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if result is NotImplemented else result
        result = func(*args, **kwargs)
        self.flops += formula(*args, **kwargs, out_val=result)
        return result


def recount(make: Callable[[], Any], macs: int | None) -> dict[str, Any]:
    making, running, products = Recount(), Recount(), Products()
    with torch.inference_mode():
        torch.manual_seed(0)
        with making:
            function, inputs = make()
        with running:
            digest(function(**inputs))
        # of attention it knows the products, not every fused kernel
        with sdpa_kernel(SDPBackend.MATH), products:
            function(**inputs)
    return {
        "making": making.document(),
        "running": running.document(),
        "macs": products.flops // 2 if macs is None else macs,
    }


if __name__ == "__main__":
    main()
