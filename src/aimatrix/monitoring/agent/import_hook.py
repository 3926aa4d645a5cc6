"""Waits for the application to import a framework, and starts its capture then.

It costs nothing before. In the same way it waits for parts of torch that it must not import itself.
"""

from __future__ import annotations

import sys

from .notice import notice

TYPE_CHECKING = False
if TYPE_CHECKING:  # they take longer to import than all that is done here
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


#: the frameworks that are watched, each by a function of this name in `activation`
WATCHED = {"torch": "watch_torch", "onnxruntime": "watch_onnx_runtime", "jax": "watch_jax"}


def install(spool: str) -> None:
    """Count into the folder ``spool`` what each framework does, once it has been imported."""
    for name in WATCHED:
        sys.meta_path.insert(0, ModuleFinder(name, lambda module: _watch(module, spool)))


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
        spec: Any = None
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        loader: Any = None if spec is None else spec.loader
        if hasattr(loader, "exec_module"):  # else an importer of old, which cannot be followed
            loader = ListeningLoader(loader, self._imported)
            spec.loader = loader
        return spec

    def _imported(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            try:
                self._react(module)
            except Exception as error:
                notice(f"{self._name} is not followed: {error!r}")


class ListeningLoader:
    """In a spec's loader's place until the module is executed; in all else it is that loader.

    The loader itself is left alone: others may share it.
    """

    def __init__(self, loader: Any, imported: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        """The module that the loader makes."""
        create = getattr(self._loader, "create_module", None)
        return None if create is None else create(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as its loader does, whose place it has again, and tell of it."""
        loader = self._loader
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        loader.exec_module(module)
        self._imported(module)


def _watch(framework: ModuleType, spool: str) -> None:
    name = framework.__name__
    try:
        from . import activation

        getattr(activation, WATCHED[name])(framework, spool)
    except Exception as error:
        notice(f"{name} is not watched in this process: {error!r}")
