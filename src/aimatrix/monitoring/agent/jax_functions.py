"""Counts what functions of `jax.jit` do: the equations of a function's jaxpr, at each call of it.

`jax.jit` is replaced by one that returns the same function in a shell that counts. A call on
arguments of new shapes is listed from the jaxpr that JAX itself has just traced, and each such
call then counts the list. What JAX calls by itself (`jax.numpy` outside of jitted functions) is
not seen. A call inside another jitted function is a part of that one, and counts nothing.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import sys
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from types import MethodType
from typing import Any

from . import jaxpr
from .capture import Description
from .failures import is_ours
from .notice import notice
from .spool import SpoolTally

#: what a call is counted as that cannot be listed, with the shapes of its arguments
NAME = "jax::jit"
#: no epoch
NEVER = -1
_get_aval = attrgetter("aval")


def follow(jax: Any, tally: SpoolTally) -> None:
    """Count jitted functions of ``jax`` from now on."""
    counter = Counter(jax, tally)
    _follow_stages(jax.stages, counter)
    jax.clear_caches = _forgetting(jax.clear_caches, counter)
    jax.jit = _around(jax.jit, counter)


def _forgetting(original: Callable[[], None], counter: Counter) -> Callable[[], None]:
    @functools.wraps(original)
    def clear_caches() -> None:
        original()
        for function in list(counter.functions):
            function.forget()

    return clear_caches


class Counter:
    """Counts the calls of all functions of a process, by number of what they do."""

    def __init__(self, jax: Any, tally: SpoolTally) -> None:
        self.jax = jax
        self.config = jax.config
        self.flatten = jax.tree_util.tree_flatten
        self.is_outside, self.is_under_jit = _trace_state(jax)
        self.array_type: Any = None  # known when the first one was seen
        self.functions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._known: weakref.WeakKeyDictionary[Any, dict[Hashable, int]] = (
            weakref.WeakKeyDictionary()
        )
        self.stopped = False
        #: changes whenever JAX traces or compiles anything
        self.epoch = 0
        jax.monitoring.register_event_duration_secs_listener(self._note_event)
        self._tally = tally
        self._fresh = itertools.count()
        self._descriptions: dict[int, Description] = {}
        self._numbers: dict[str, int] = {}  # a description's text -> its number
        self._told = False

    def numbers_known(self, function: Any) -> dict[Hashable, int]:
        """The numbers of a function's calls; JAX keeps jaxprs for all that are made of it, too."""
        try:
            return self._known.setdefault(function, {})
        except TypeError:  # it has no hash, or cannot be held weakly
            return {}

    def number_of(self, description: Description) -> int:
        """The number of a description, by which its calls are counted; equal ones have one."""
        text = json.dumps(description)
        known = self._numbers.get(text)
        if known is None:
            number = next(self._fresh)
            self._descriptions[number] = description
            known = self._numbers.setdefault(text, number)  # another thread may have been first
        return known

    def add(self, number: int) -> None:
        """Count a call."""
        slots = self._tally.slots()
        slot = slots.get(number)
        if slot is None:
            slot = slots[number] = self._tally.open(lambda: self._descriptions[number])
        self._tally.add(slot)

    def describe(
        self, trace: Callable[[], Any] | None, leaves: Sequence[Any], results: Any
    ) -> Description:
        """A call as the spool has it: by the parts of its jaxpr, else by the shapes it took.

        trace: gives the jaxpr, None where there is none.
        """
        device = self._device(results)
        call = {"name": NAME, "overload": "", "phase": "forward", "dialect": "jax"}
        if trace is not None:
            try:
                return {**call, "arguments": {}, "parts": jaxpr.list_work(trace(), device)}
            except Exception as error:
                if not is_ours(error):
                    raise
                self.tell(f"a jitted function is counted without its operators: {error!r}")
        inputs = [jaxpr.tensor(leaf, device) for leaf in leaves]
        return {**call, "arguments": {"inputs": inputs, "outputs": []}}

    def _note_event(self, *_: Any, **__: Any) -> None:
        self.epoch += 1

    def fail(self, error: Exception) -> None:
        """Count no more after an error of ours; raise one that is the application's."""
        if not is_ours(error):
            raise error
        self.stopped = True
        self.epoch += 1
        self.tell(f"jitted functions are counted no longer: {error!r}")

    def tell(self, message: str) -> None:
        """Tell the person, who has not been told of another failure, one line."""
        if not self._told:
            self._told = True
            notice(message)

    def keeps_jaxprs(self) -> bool:
        """Whether JAX does; else to ask for one would run the function once more."""
        return not (self.config.jax_disable_jit or self.config.jax_check_tracer_leaks)

    def find_tracers(self, values: Sequence[Any]) -> bool:
        """Whether JAX traces what is computed of one of ``values``, or what was."""
        tracer, array = self.jax.core.Tracer, self.jax.Array
        for each in values:
            if isinstance(each, tracer):
                return True
            if self.array_type is None and isinstance(each, array):
                self.array_type = type(each)
        return False

    def _device(self, results: Any) -> str:
        for leaf in self.flatten(results)[0]:
            if isinstance(leaf, self.jax.Array) and not isinstance(leaf, self.jax.core.Tracer):
                return jaxpr.device_type(next(iter(leaf.devices())).platform)
        return jaxpr.device_type(self.jax.default_backend())


def _trace_state(jax: Any) -> tuple[Callable[[], bool], Callable[[], bool]]:
    """What tells that JAX traces nothing now, and that it traces for a jaxpr.

    Where this JAX does not tell, each result is looked at, and all that is traced is taken for a
    part of a function that counts.
    """
    core = sys.modules.get(f"{jax.__name__}._src.core")
    return (
        getattr(core, "trace_state_clean", lambda: False),
        getattr(core, "unsafe_am_i_under_a_jit", lambda: True),
    )


class Statics:
    """Which arguments of a function are values of the program's, not arrays."""

    def __init__(self, function: Any, argnums: Any, argnames: Any) -> None:
        numbers = _as_tuple(argnums, int)
        names = _as_tuple(argnames, str)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            parameters = []
        places = [
            each.name
            for each in parameters
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        # as jax does, tell each from the other where one alone is given
        if argnums is None:
            numbers = tuple(places.index(name) for name in names if name in places)
        elif argnames is None:
            names = tuple(
                places[number] for number in numbers if -len(places) <= number < len(places)
            )
        self._numbers, self._names = numbers, frozenset(names)

    def split(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, Any], Hashable]:
        """((the other positional arguments, the other keywords), those that are static)."""
        chosen = {
            number % len(args) for number in self._numbers if -len(args) <= number < len(args)
        }
        positional = tuple(arg for index, arg in enumerate(args) if index not in chosen)
        keywords = {name: value for name, value in kwargs.items() if name not in self._names}
        static = (
            *((index, args[index]) for index in sorted(chosen)),
            *((name, kwargs[name]) for name in sorted(self._names & kwargs.keys())),
        )
        return (positional, keywords), static


def _as_tuple(value: Any, single: type) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, single) else tuple(value)


def _around(original: Any, counter: Counter) -> Any:
    """`jax.jit`, whose functions count."""
    kind = type(original(len))

    def shell(made: Any, kwargs: Mapping[str, Any]) -> Any:
        if type(made) is not kind:
            return made
        argnums, argnames = kwargs.get("static_argnums"), kwargs.get("static_argnames")
        is_plain = argnums is None and argnames is None
        statics = None if is_plain else Statics(made, argnums, argnames)
        function = CountedFunction(made, counter, statics)
        counter.functions.add(function)
        return function

    @functools.wraps(original)
    def jit(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if type(made) is not kind and callable(made) and not args and "fun" not in kwargs:
            return lambda fun: shell(made(fun), kwargs)  # a decorator
        return shell(made, kwargs)

    return jit


class _Steady:
    """The last call of a function, by which others are known without a look at their arguments.

    As long as JAX has traced nothing since, and has one entry for the function among its calls,
    another call is like the last one: arguments of another form would have made an entry.
    """

    __slots__ = ("entries", "epoch", "number")

    def __init__(self, function: Any) -> None:
        self.entries: Callable[[], int] = getattr(function, "_cache_size", lambda: 0)
        self.epoch = NEVER
        self.number = 0


def _forwarded(name: str) -> Any:
    """An attribute that every class has of its own: here that of the function all the same."""
    return property(lambda self: getattr(self._function, name))


class CountedFunction:
    """A jitted function that counts its calls, and is the function in all else."""

    __slots__ = ("__weakref__", "_counter", "_function", "_numbers", "_statics", "_steady")
    __class__ = _forwarded("__class__")
    __doc__ = _forwarded("__doc__")
    __dict__ = _forwarded("__dict__")
    __module__ = _forwarded("__module__")

    def __init__(self, function: Any, counter: Counter, statics: Statics | None) -> None:
        put = object.__setattr__
        put(self, "_function", function)
        put(self, "_counter", counter)
        put(self, "_statics", statics)
        put(self, "_steady", _Steady(function))
        put(self, "_numbers", counter.numbers_known(function.__wrapped__))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """What the function gives."""
        result = self._function(*args, **kwargs)
        counter, steady = self._counter, self._steady
        try:
            if (
                steady.epoch == counter.epoch
                and steady.entries() == 1
                and counter.is_outside()
                and not counter.config.jax_disable_jit
            ):
                counter.add(steady.number)
            elif not counter.stopped:
                self._count(args, kwargs, result)
        except Exception as error:
            counter.fail(error)
        return result

    def _count(self, args: Any, kwargs: Any, result: Any) -> None:
        counter = self._counter
        given: Any = (args, kwargs)
        static: Hashable = ()
        wide = counter.config.jax_enable_x64
        if self._statics is not None:
            given, static = self._statics.split(args, kwargs)
        leaves, tree = counter.flatten(given)
        epoch, transformed = counter.epoch, False
        if list(map(type, leaves)).count(counter.array_type) == len(leaves) and (
            counter.is_outside()
        ):
            key = (tree, static, wide, *map(_get_aval, leaves))
        else:
            values = leaves if counter.is_outside() else leaves + counter.flatten(result)[0]
            transformed = counter.find_tracers(values)
            if transformed and counter.is_under_jit():
                return  # a part of an outer function
            key = (tree, static, wide, *map(_part, leaves), *((NAME,) if transformed else ()))
        number = self._numbers.get(key)
        if number is None:
            trace = None
            if not transformed and counter.keeps_jaxprs():
                trace = functools.partial(_traced, self._function, args, kwargs)
            number = counter.number_of(counter.describe(trace, leaves, result))
            if trace is not None or transformed:
                self._numbers[key] = number
        counter.add(number)
        if not transformed:
            self._steady.number, self._steady.epoch = number, epoch

    def clear_cache(self) -> None:
        """As JAX's: what the function does may be another thing when it is traced again."""
        self.forget()
        self._function.clear_cache()

    def forget(self) -> None:
        """Know nothing of earlier calls."""
        self._numbers.clear()
        self._steady.epoch = NEVER

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._function, name)

    def __dir__(self) -> Any:
        return dir(self._function)

    def __repr__(self) -> str:
        return repr(self._function)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._function.__reduce_ex__(protocol)


def _traced(function: Any, args: Any, kwargs: Any) -> Any:
    """The jaxpr that JAX made for a call, and keeps."""
    return function.trace(*args, **kwargs).jaxpr


def _part(leaf: Any) -> Hashable:
    """What of an argument determines the work."""
    aval: Hashable = getattr(leaf, "aval", None)
    if aval is not None:
        return aval
    return type(leaf), getattr(leaf, "shape", None), getattr(leaf, "dtype", None)


#: where a stage of a function that is compiled ahead of its calls keeps its jaxpr, and its number
_JAXPR, _NUMBER = "_aimatrix_jaxpr", "_aimatrix_number"


def _follow_stages(stages: Any, counter: Counter) -> None:
    """Count the calls of what was compiled ahead: hand the jaxpr on from stage to stage."""
    lower, compile_, call = stages.Traced.lower, stages.Lowered.compile, stages.Compiled.__call__

    @functools.wraps(lower)
    def lower_and_keep(traced: Any, *args: Any, **kwargs: Any) -> Any:
        lowered = lower(traced, *args, **kwargs)
        vars(lowered)[_JAXPR] = traced.jaxpr
        return lowered

    @functools.wraps(compile_)
    def compile_and_keep(lowered: Any, *args: Any, **kwargs: Any) -> Any:
        compiled = compile_(lowered, *args, **kwargs)
        vars(compiled)[_JAXPR] = vars(lowered).get(_JAXPR)
        return compiled

    def count(compiled: Any, args: Any, kwargs: Any, result: Any) -> None:
        number = vars(compiled).get(_NUMBER)
        if number is None:
            kept = vars(compiled).pop(_JAXPR, None)
            trace = None if kept is None else lambda: kept
            leaves = counter.flatten((args, kwargs))[0]
            number = counter.number_of(counter.describe(trace, leaves, result))
            vars(compiled)[_NUMBER] = number
        counter.add(number)

    @functools.wraps(call)
    def call_and_count(compiled: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = call(compiled, *args, **kwargs)
        if not counter.stopped:
            try:
                count(compiled, args, kwargs, result)
            except Exception as error:
                counter.fail(error)
        return result

    stages.Traced.lower = lower_and_keep
    stages.Lowered.compile = compile_and_keep
    stages.Compiled.__call__ = call_and_count
