"""AI Matrix: one small synthetic benchmark that does the work of your real DNN applications.

Each verb of the command line is a function of the same name here (``import_`` for ``import``);
they load when first used, so that importing the package costs nothing.
"""

from typing import Any

from aimatrix.version import VERSION

__version__ = VERSION


def __getattr__(name: str) -> Any:
    from aimatrix import api

    if name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module 'aimatrix' has no attribute {name!r}")
