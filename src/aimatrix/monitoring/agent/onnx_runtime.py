"""Counts the runs of ONNX Runtime's sessions: which model, and of which shapes its inputs are.

What a run does is worked out by the launcher, from the structure of the model: each session leaves
a copy of that, without weights, in the spool (see `onnx_skeleton`). A run costs a look at the
shapes of its inputs; nothing of a session, its options or its model is changed.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

from .capture import NO_WORK, Description, Tally
from .failures import is_ours
from .notice import notice
from .onnx_skeleton import skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: the slot of calls beyond the capacity, whose signatures are not kept either
OVERFLOWING = 0
#: ends the names of models' files in a spool
MODEL = ".onnx"
#: a run: its inputs, and the file and optimization level of its model, which tell what it does
RUN, DIALECT = "onnxruntime::run", "onnxruntime"

_LEVELS = {
    "ORT_DISABLE_ALL": "disabled",
    "ORT_ENABLE_BASIC": "basic",
    "ORT_ENABLE_EXTENDED": "extended",
}
#: first part of an execution provider's name -> where its operators run; of others on the CPU
_DEVICES = {"CUDA": "cuda", "Tensorrt": "cuda", "NvTensorRTRTX": "cuda", "ROCM": "cuda"}

#: attribute with what we know of a session, and with the shapes that a binding holds
_OURS = "_aimatrix"


class SessionCapture:
    """Counts in ``tally`` the runs of all sessions that are made while it is followed.

    spool: the folder that models are kept in.
    """

    def __init__(self, spool: str, tally: Tally) -> None:
        self._spool = spool
        self._tally = tally
        self._numbers = itertools.count()
        self._stands_aside = False

    def follow(self, onnxruntime: Any) -> None:
        """Listen to the methods of ONNX Runtime that make sessions, run them, and bind inputs."""
        session, binding = onnxruntime.InferenceSession, onnxruntime.IOBinding
        self._listen(session, "__init__", self._made)
        for method in ("run", "run_async", "run_with_ort_values"):
            self._listen(session, method, self._ran)
        self._listen(session, "run_with_iobinding", self._ran_bound)
        self._listen(session, "run_with_ortvaluevector", self._ran_vector)
        for method in ("bind_cpu_input", "bind_ortvalue_input"):
            self._listen(binding, method, self._bound)
        self._listen(binding, "bind_input", self._bound_buffer)
        self._listen(binding, "clear_binding_inputs", self._cleared)

    def _listen(self, owner: Any, method: str, heard: Callable[..., None]) -> None:
        """Call ``heard`` with the arguments of each call of the method that has gone well."""
        original = getattr(owner, method, None)
        if original is None:
            return  # a release of ONNX Runtime that does not have it

        @wraps(original)
        def listening(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if not self._stands_aside:
                try:
                    heard(*args, **kwargs)
                except Exception as error:
                    if not is_ours(error):
                        raise
                    self._stands_aside = True
                    notice(f"runs of ONNX Runtime are counted no more: {error!r}")
            return result

        setattr(owner, method, listening)

    # What is heard has the parameters of the methods, by the names that a caller may give them.

    def _made(
        self, session: Any, path_or_bytes: Any, sess_options: Any = None, *_: Any, **__: Any
    ) -> None:
        level = getattr(sess_options, "graph_optimization_level", None)
        session.__dict__[_OURS] = _Session(
            next(self._numbers),
            self._keep(path_or_bytes),
            _LEVELS.get(getattr(level, "name", ""), "all"),
            _device(session.get_providers()),
        )

    def _ran(
        self,
        session: Any,
        output_names: Any,
        input_feed: Any = None,
        *_: Any,
        input_dict_ort_values: Any = None,
        **__: Any,
    ) -> None:
        feed = input_dict_ort_values if input_feed is None else input_feed
        self._count(session, [(name, _shape(value)) for name, value in feed.items()])

    def _ran_bound(self, session: Any, iobinding: Any, run_options: Any = None) -> None:
        self._count(session, iobinding.__dict__.get(_OURS, {}).items())

    def _ran_vector(
        self, session: Any, run_options: Any, feed_names: Any, feeds: Any, *_: Any, **__: Any
    ) -> None:
        shapes = [_shape(feeds[place]) for place in range(len(feed_names))]
        self._count(session, zip(feed_names, shapes))  # noqa: B905 - strict came with Python 3.10

    def _bound(
        self,
        binding: Any,
        name: str,
        value: Any = None,
        *,
        arr_on_cpu: Any = None,
        ortvalue: Any = None,
    ) -> None:
        given = next(each for each in (value, arr_on_cpu, ortvalue) if each is not None)
        binding.__dict__.setdefault(_OURS, {})[name] = _shape(given)

    def _bound_buffer(
        self,
        binding: Any,
        name: str,
        device_type: Any,
        device_id: Any,
        element_type: Any,
        shape: Any,
        *_: Any,
        **__: Any,
    ) -> None:
        binding.__dict__.setdefault(_OURS, {})[name] = tuple(shape)

    def _cleared(self, binding: Any) -> None:
        binding.__dict__.pop(_OURS, None)

    def _count(self, session: Any, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        ours = session.__dict__.get(_OURS)
        if ours is None:
            return  # made before we listened, or in a way that we know nothing of
        key = (ours.number, *shapes)
        slots = self._tally.slots()
        slot = slots.get(key)
        if slot is None:
            slot = self._tally.open(lambda: ours.describe(key[1:]))
            if slot != OVERFLOWING:
                slots[key] = slot
        if slot != NO_WORK:
            self._tally.add(slot)

    def _keep(self, model: Any) -> str:
        """The name of the file in the spool that the model's structure is in; empty for none."""
        try:
            structure = _structure(model)
        except (OSError, ValueError):  # ONNX Runtime's own format, or one that we cannot read
            return ""
        name = hashlib.sha256(structure).hexdigest()[:32] + MODEL
        path = os.path.join(self._spool, name)
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}.tmp"
            with open(temporary, "wb") as file:
                file.write(structure)
            os.replace(temporary, path)
        return name


class _Session:
    """What a session is known by. level: of its graph's optimization. device: of its operators."""

    def __init__(self, number: int, model: str, level: str, device: str) -> None:
        self.number = number
        self._model = model
        self._level = level
        self._device = device

    def describe(self, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> Description:
        """A run with inputs of these names and shapes. Their dtypes are the model's to tell."""
        arguments = {
            "model": self._model,
            "level": self._level,
            "names": [name for name, _ in shapes],
            "inputs": [
                {"shape": list(map(int, shape)), "dtype": "none", "device": self._device}
                for _, shape in shapes
            ],
        }
        return {"name": RUN, "dialect": DIALECT, "phase": "forward", "arguments": arguments}


def _structure(model: Any) -> bytes:
    if isinstance(model, bytes):
        return skeleton(model)
    with open(model, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return skeleton(content)


def _shape(value: Any) -> tuple[int, ...]:
    shape = getattr(value, "shape", None)
    if shape is None:
        # a list, of which ONNX Runtime makes an array
        return tuple(sys.modules["numpy"].shape(value))
    return shape if isinstance(shape, tuple) else tuple(shape() if callable(shape) else shape)


def _device(providers: Sequence[str]) -> str:
    first = providers[0].replace("ExecutionProvider", "") if providers else ""
    return _DEVICES.get(first, "cpu")
