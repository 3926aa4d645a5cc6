"""Counts what compiled models do: the operators of the graph that was compiled, at each call.

Compiled code calls few operators: the most are fused into kernels of its own. So the graph that
torch.compile hands to its backend is kept, run once without data (fake tensors) when the compiled
function is first called, and listed; each call of the function then counts the list, and what the
function calls itself is not counted again. The same for its backward pass. A graph with sizes that
vary is listed for each tuple of sizes. Of a graph that cannot be listed, the calls are counted as
`regions.UNCOUNTED`, and the operators that the compiled code calls as they come.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .import_hook import after_import
from .notice import notice
from .regions import Regions

#: the method that hands a graph to the backend and returns the compiled function, newest first
COMPILERS = ("_call_user_compiler", "call_user_compiler")
#: what AOTAutograd calls the function whose backward pass is compiled
COMPILED_FUNCTION = "CompiledFunction"
#: what runs its compiled backward pass, once saved tensors are there: to have them may take a run
#: of other code (activation checkpoints), which is none of its own
BACKWARDS = ("_backward_impl", "backward")
#: tuples of sizes for which a graph is listed; a further one counts as the last of them
SIZES = 64
#: in the stack of a node that an optimizer's step has made
OPTIMIZER = "/torch/optim/"
#: types of the inputs that can stand in a list; other tensors are made of tensors that count
PLAIN = (torch.Tensor, torch.nn.Parameter)
NUMBERS = (int, float, bool, type(None))


def follow(regions: Regions) -> None:
    """Have compiled functions counted as soon as the application uses torch.compile."""
    after_import("torch._dynamo.output_graph", lambda module: _follow(module, regions))


def _follow(module: Any, regions: Regions) -> None:
    for name in COMPILERS:
        original = getattr(module.OutputGraph, name, None)
        if original is not None:
            setattr(module.OutputGraph, name, _around_compiler(original, regions))
            return
    notice("compiled models are counted by the operators that they call: this torch is not known")


def _around_compiler(original: Callable[..., Any], regions: Regions) -> Callable[..., Any]:
    @functools.wraps(original)
    def call_user_compiler(output: Any, graph: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        kept = _keep(output, graph)
        before = torch.autograd.Function.__subclasses__()
        compiled = original(output, graph, inputs, *args, **kwargs)
        if kept is None:
            return compiled
        try:
            backwards = [
                each
                for each in torch.autograd.Function.__subclasses__()
                if each.__name__ == COMPILED_FUNCTION and each not in before
            ]
            return CompiledRegion(kept, regions).around(_innermost(compiled), backwards)
        except Exception as error:
            _tell(error)
            return compiled

    return call_user_compiler


def _keep(output: Any, graph: Any) -> Any:
    """The graph as it is before the backend changes it; None where its calls are not ours."""
    if getattr(output, "export", False) or getattr(output, "package", None) is not None:
        return None  # what an export or a package keeps must be what the backend returned
    try:
        nodes = torch.fx.Graph()
        nodes.output(nodes.graph_copy(graph.graph, {}))
        kept = torch.fx.GraphModule(graph, nodes)
        kept.meta["optimizer"] = any(
            OPTIMIZER in (node.meta.get("stack_trace") or "") for node in nodes.nodes
        )
        for node in nodes.nodes:
            node.meta = {}  # tensors are in it
        return kept
    except Exception as error:
        _tell(error)
        return None


def _innermost(compiled: Any) -> Any:
    """The function that dynamo would make of what a backend returned."""
    from torch._dynamo.eval_frame import innermost_fn
    from torch.fx._lazy_graph_module import _LazyGraphModule

    lazy = compiled
    if getattr(compiled, "__name__", "") == "_lazy_forward":
        lazy = compiled.__self__
    if isinstance(lazy, _LazyGraphModule):
        _LazyGraphModule.force_recompile(lazy)
        return lazy if lazy is compiled else lazy.forward
    return innermost_fn(compiled)


class Listed:
    """The regions of a graph for one tuple of sizes; -1: not known."""

    def __init__(self, forward: int, backward: int) -> None:
        self.forward = forward
        self.backward = backward


#: calls that compute nothing (fake inputs), or while torch traces
NO_WORK = Listed(-1, -1)


class CompiledRegion:
    """A compiled function, counted at each call by what its graph does."""

    def __init__(self, graph: Any, regions: Regions) -> None:
        self._graph = graph
        self._regions = regions
        self._sizes: tuple[int, ...] | None = None  # positions of the sizes among the inputs
        self._listed: dict[tuple[Any, ...], Listed] = {}
        self._current = threading.local()  # .listed: of the call that is running

    def around(self, compiled: Callable[..., Any], backwards: Sequence[Any]) -> Any:
        """The function that counts; its calls count backwards of the classes ``backwards``, too."""
        enter, leave, run = self._regions.enter, self._regions.leave, self._regions.run
        uncounted = self._regions.uncounted
        static = -1  # the region, where sizes do not vary

        def call(*args: Any) -> Any:
            nonlocal static
            region = static
            if region < 0:
                listed = self._find(args)
                region = listed.forward
                if region < 0:
                    if listed is not NO_WORK:
                        run(uncounted)
                    return compiled(*args)
                if not self._sizes:
                    static = region
            try:
                enter(region)
                return compiled(*args)
            finally:
                leave()

        functools.update_wrapper(call, compiled, updated=())
        del call.__wrapped__  # type: ignore[attr-defined]
        for number, backward in enumerate(backwards):
            # of the parts of a graph that is compiled in parts, the last one begins the backward
            self._follow_backward(backward, is_first=number == len(backwards) - 1)
        return call

    def _find(self, args: tuple[Any, ...]) -> Listed:
        if self._sizes is None:
            self._sizes = tuple(i for i, each in enumerate(args) if type(each) in NUMBERS)
        key = tuple(args[position] for position in self._sizes)
        listed = self._listed.get(key)
        if listed is None:
            if len(self._listed) < SIZES:
                listed = self._listed[key] = self._list(args)
                if not self._sizes:
                    self._graph = None  # never needed again
            else:
                listed = list(self._listed.values())[-1]
        self._current.listed = listed
        return listed

    def _list(self, args: tuple[Any, ...]) -> Listed:
        if any(_is_fake(each) for each in args) or torch.compiler.is_compiling():
            return NO_WORK
        try:
            return _in_a_thread(Recording(self._graph, args, self._regions))
        except Exception as error:
            _tell(error)
            return Listed(-1, -1)

    def _follow_backward(self, function: Any, is_first: bool) -> None:
        """Have the backward passes of an autograd function counted by what the graph's does."""
        regions = self._regions
        name = next(each for each in BACKWARDS if hasattr(function, each))
        forward, backward = function.forward, getattr(function, name)

        def note_sizes(ctx: Any, *args: Any) -> Any:
            ctx._aimatrix_listed = getattr(self._current, "listed", None)
            return forward(ctx, *args)

        def counted(ctx: Any, *args: Any) -> Any:
            listed = getattr(ctx, "_aimatrix_listed", None) or self._only()
            region = listed.backward
            if region < 0:
                if listed is not NO_WORK and is_first:
                    regions.run(regions.uncounted)
                return backward(ctx, *args)
            try:
                regions.enter(region if is_first else regions.empty)
                return backward(ctx, *args)
            finally:
                regions.leave()

        function.forward = staticmethod(functools.wraps(forward)(note_sizes))
        setattr(function, name, staticmethod(functools.wraps(backward)(counted)))

    def _only(self) -> Listed:
        """What is known where sizes do not vary: a call does not look it up then."""
        return next(iter(self._listed.values()), NO_WORK)


class Recording:
    """Runs a graph once, without data, as it would run now in the calling thread."""

    def __init__(self, graph: Any, args: Sequence[Any], regions: Regions) -> None:
        _check(args)
        self._graph = graph
        self._args = args
        self._regions = regions
        self._has_gradients = torch.is_grad_enabled()
        self._is_inference = torch.is_inference_mode_enabled()
        self._autocast = [
            (device, torch.get_autocast_dtype(device))
            for device in sorted({each.device.type for each in args if isinstance(each, PLAIN)})
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        ]

    def run(self) -> Listed:
        """List the graph. In a thread of its own: modes, gradients, autocast are a thread's."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        # a fallback would compute, to know a shape
        mode = FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True)
        with ExitStack() as stack:
            if self._is_inference:
                stack.enter_context(torch.inference_mode())
            stack.enter_context(torch.set_grad_enabled(self._has_gradients))
            for device, dtype in self._autocast:
                stack.enter_context(torch.autocast(device, dtype=dtype, cache_enabled=False))
            # gradients of fake CUDA tensors would be computed in threads that are not recorded
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
            stack.enter_context(mode)
            if self._graph.meta["optimizer"]:
                # dynamo leaves out this range, by which the phase is known
                stack.enter_context(torch.profiler.record_function("Optimizer.step#compiled"))
            inputs = [_stand_in(each) for each in self._args]
            with _listing(self._regions) as forward:
                outputs = self._graph.forward(*inputs)
            return Listed(forward[0], self._list_backward(inputs, outputs))

    def _list_backward(self, inputs: Sequence[Any], outputs: Any) -> int:
        sources = [each for each in (*inputs, *self._graph.parameters()) if _needs_grad(each)]
        results = [each for each in _leaves(outputs) if _needs_grad(each)]
        if not sources or not results:
            return -1
        gradients = [torch.empty_like(each) for each in results]
        with _listing(self._regions) as backward:
            torch.autograd.grad(results, sources, gradients, allow_unused=True)
        return backward[0]


def _check(args: Sequence[Any]) -> None:
    """Raise TypeError for inputs that no fake ones can stand for."""
    for each in args:
        if type(each) in NUMBERS:
            continue
        if type(each) not in PLAIN or each.layout != torch.strided or each.is_quantized:
            raise TypeError(f"an input is of type {type(each).__name__}")
        if torch._C._functorch.is_functorch_wrapped_tensor(each):
            raise TypeError("an input is batched")


def _is_fake(value: Any) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(value, (FakeTensor, torch.SymInt)) or getattr(value, "is_meta", False)


def _stand_in(value: Any) -> Any:
    """A tensor of the same form without data, on the active fake mode."""
    if not isinstance(value, PLAIN):
        return value
    fake = torch.empty_strided(
        value.shape, value.stride(), dtype=value.dtype, device=value.device
    ).requires_grad_(value.requires_grad)
    # a leaf could not be changed in place
    return fake if value.is_leaf else fake.clone()


def _needs_grad(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _leaves(outputs: Any) -> Iterator[Any]:
    if isinstance(outputs, (tuple, list)):
        for each in outputs:
            yield from _leaves(each)
    else:
        yield outputs


@contextmanager
def _listing(regions: Regions) -> Iterator[list[int]]:
    """Lists what runs inside; gives a list that then holds the region's number."""
    region: list[int] = []
    regions.begin()
    try:
        yield region
    finally:
        region.append(int(regions.end()))


def _in_a_thread(recording: Recording) -> Listed:
    found: list[Listed | Exception] = []

    def run() -> None:
        try:
            found.append(recording.run())
        except Exception as error:
            found.append(error)

    random = torch.get_rng_state()
    thread = threading.Thread(target=run, name="aimatrix-recording", daemon=True)
    thread.start()
    thread.join()
    torch.set_rng_state(random)
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


class _Told:
    """Whether the person knows that some compiled code is not counted by its graph."""

    yet = False


def _tell(error: Exception) -> None:
    if not _Told.yet:
        _Told.yet = True
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        notice(f"some compiled code is counted by the operators that it calls: {reason}")
