"""Has Python run a function in the main thread, between two steps of the application's code."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any

# What Python is to run is a function in C: ``bool(hook)``, which gives 0, or -1 for an exception.
# A function of ours in its place would have to swallow what a signal's handler raises inside it.
_BOOL_OF = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p)
_add_pending_call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object)(
    ("Py_AddPendingCall", ctypes.pythonapi)
)


class PendingCall:
    """Of ``function``, which takes and gives nothing."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._hook = _Hook(function)
        self._reference: Any = None

    def post(self) -> bool:
        """Have it run soon; False where too many calls are pending."""
        return bool(_add_pending_call(_BOOL_OF, self._hook) == 0)

    def post_when_dropped(self) -> object:
        """Have it run right after what this gives has ended, by C code alone."""
        token = _Token()
        post = functools.partial(_add_pending_call, _BOOL_OF, self._hook)
        self._reference = _Reference(token, post)
        return token


class _Hook:
    """Python asks whether it is true, and so runs ``function``."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def __bool__(self) -> bool:
        self._function()
        return False


class _Token:
    """Nothing but its end is of use."""

    __slots__ = ("__weakref__",)


class _Reference(weakref.ref[_Token]):
    """Of a token: handed on, when that has ended, behind the arguments of a C function."""

    __slots__ = ()
    _as_parameter_ = 0  # which C leaves alone
