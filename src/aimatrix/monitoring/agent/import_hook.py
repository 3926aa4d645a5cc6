"""Waits for the application to import torch, and starts the capture then; costs nothing before.

In the same way it waits for parts of torch that it must not import itself.
"""

from __future__ import annotations

import sys

from .notice import notice

TYPE_CHECKING = False
if TYPE_CHECKING:  # they take longer to import than all that is done here
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def install(spool: str) -> None:
    """Start the capture, counting into the folder ``spool``, once torch has been imported."""
    sys.meta_path.insert(0, ModuleFinder("torch", lambda _: _activate(spool)))


def after_import(name: str, react: Callable[[ModuleType], None]) -> None:
    """Call ``react`` with the module ``name``: now, or once the application has imported it."""
    module = sys.modules.get(name)
    if module is None:
        sys.meta_path.insert(0, ModuleFinder(name, react))
    else:
        react(module)


class ModuleFinder:
    """An import finder that reacts to one module: it lets the others find it, and listens."""

    def __init__(self, name: str, react: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._react = react

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders give for the module; None for every other name."""
        if name != self._name:
            return None
        spec = None
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        if spec is not None and spec.loader is not None:
            self._listen(spec.loader)
        return spec

    def _listen(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the loader is as it was
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            try:
                self._react(module)
            except Exception as error:
                notice(f"{self._name} is not followed: {error!r}")

        try:
            loader.exec_module = exec_module
        except AttributeError as error:
            notice(f"this process is not watched: {self._name} cannot be followed: {error}")


def _activate(spool: str) -> None:
    try:
        from .activation import activate

        activate(spool)
    except Exception as error:
        notice(f"this process is not watched: {error!r}")
