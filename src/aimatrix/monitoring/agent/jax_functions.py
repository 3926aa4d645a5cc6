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
from collections.abc import Callable, Hashable, Mapping
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
_get_aval = attrgetter("aval")


def follow(jax: Any, tally: SpoolTally) -> None:
    """Count jitted functions of ``jax`` from now on."""
    counter = Counter(jax, tally)
    jax.jit = _around(jax.jit, counter)


class Counter:
    """Counts the calls of all functions of a process, by number of what they do."""

    def __init__(self, jax: Any, tally: SpoolTally) -> None:
        self.jax = jax
        self.flatten = jax.tree_util.tree_flatten
        self.is_outside = _trace_state(jax)
        self.array_type: Any = None  # known when the first one was seen
        self.stopped = False
        self._tally = tally
        self._fresh = itertools.count()
        self._descriptions: dict[int, Description] = {}
        self._numbers: dict[str, int] = {}  # a description's text -> its number
        self._told = False

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

    def describe(self, trace: Callable[[], Any], leaves: list[Any], results: Any) -> Description:
        """A call as the spool has it: by the parts of its jaxpr, else by the shapes it took."""
        device = self._device(results)
        call = {"name": NAME, "overload": "", "phase": "forward", "dialect": "jax"}
        try:
            if self._traces_again():
                raise RuntimeError("JAX would trace it again")
            parts = jaxpr.list_work(trace().jaxpr, device)
            return {**call, "arguments": {}, "parts": parts}
        except Exception as error:
            if not is_ours(error):
                raise
            self.tell(f"a jitted function is counted without its operators: {error!r}")
            inputs = [jaxpr.tensor(leaf, device) for leaf in leaves]
            return {**call, "arguments": {"inputs": inputs, "outputs": []}}

    def tell(self, message: str) -> None:
        """Tell the person, who has not been told of another failure, one line."""
        if not self._told:
            self._told = True
            notice(message)

    def _traces_again(self) -> bool:
        """Whether JAX keeps no jaxprs now, so that to ask for one would run the function."""
        config = self.jax.config
        return bool(config.jax_disable_jit or config.jax_check_tracer_leaks)

    def _device(self, results: Any) -> str:
        for leaf in self.flatten(results)[0]:
            if isinstance(leaf, self.jax.Array):
                return jaxpr.device_type(next(iter(leaf.devices())).platform)
        return jaxpr.device_type(self.jax.default_backend())


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

    def split(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any, Hashable]:
        """(the other positional arguments, the other keywords, those that are static)."""
        chosen = {
            number % len(args) for number in self._numbers if -len(args) <= number < len(args)
        }
        positional = tuple(arg for index, arg in enumerate(args) if index not in chosen)
        keywords = {name: value for name, value in kwargs.items() if name not in self._names}
        static = (
            *((index, args[index]) for index in sorted(chosen)),
            *((name, kwargs[name]) for name in sorted(self._names & kwargs.keys())),
        )
        return positional, keywords, static


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
        return CountedFunction(made, counter, statics)

    @functools.wraps(original)
    def jit(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if type(made) is not kind and callable(made) and not args and "fun" not in kwargs:
            return lambda fun: shell(made(fun), kwargs)  # a decorator
        return shell(made, kwargs)

    return jit


def _forwarded(name: str) -> Any:
    """An attribute that every class has of its own: here that of the function all the same."""
    return property(lambda self: getattr(self._function, name))


class CountedFunction:
    """A jitted function that counts its calls, and is the function in all else."""

    __slots__ = ("__weakref__", "_counter", "_function", "_numbers", "_statics")
    __class__ = _forwarded("__class__")
    __doc__ = _forwarded("__doc__")
    __dict__ = _forwarded("__dict__")
    __module__ = _forwarded("__module__")

    def __init__(self, function: Any, counter: Counter, statics: Statics | None) -> None:
        put = object.__setattr__
        put(self, "_function", function)
        put(self, "_counter", counter)
        put(self, "_statics", statics)
        put(self, "_numbers", {})

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        result = self._function(*args, **kwargs)
        counter = self._counter
        if not counter.stopped:
            try:
                self._count(args, kwargs, result)
            except Exception as error:
                if not is_ours(error):
                    raise
                counter.stopped = True
                counter.tell(f"jitted functions are counted no longer: {error!r}")
        return result

    def _count(self, args: Any, kwargs: Any, result: Any) -> None:
        counter, static = self._counter, None
        given = args, kwargs
        if self._statics is not None:
            *given, static = self._statics.split(args, kwargs)
        leaves, tree = counter.flatten(given)
        if (
            list(map(type, leaves)).count(counter.array_type) == len(leaves)
            and counter.is_outside()
        ):
            key = (tree, static, *map(_get_aval, leaves))
        elif _is_staged(counter, result, leaves):
            return
        else:
            key = (tree, static, *[_part(leaf) for leaf in leaves])
        number = self._numbers.get(key)
        if number is None:
            trace = functools.partial(self._function.trace, *args, **kwargs)
            number = counter.number_of(counter.describe(trace, leaves, result))
            self._numbers[key] = number
        counter.add(number)

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


def _trace_state(jax: Any) -> Callable[[], bool]:
    """What tells that JAX traces nothing now; where this JAX does not tell, nothing is sure."""
    core = sys.modules.get(f"{jax.__name__}._src.core")
    return getattr(core, "trace_state_clean", lambda: False)


def _is_staged(counter: Counter, result: Any, leaves: list[Any]) -> bool:
    """Whether a call has computed nothing yet, but became a part of an outer function."""
    tracer, array = counter.jax.core.Tracer, counter.jax.Array
    values = leaves if counter.is_outside() else [*leaves, *counter.flatten(result)[0]]
    for each in values:
        if isinstance(each, tracer):
            return True
        if counter.array_type is None and isinstance(each, array):
            counter.array_type = type(each)
    return False


def _part(leaf: Any) -> Hashable:
    """What of an argument determines the work."""
    aval = getattr(leaf, "aval", None)
    if aval is not None:
        return aval
    return type(leaf), getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
