"""PyTorch with torch.compile: each stage compiled on its own and run in sequence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from aimatrix.backends.torch_eager import TorchEager
from aimatrix.errors import UnsupportedError
from aimatrix.model.result import Platform

_COMPILERS = ("g++", "clang++", "c++", "cl")


class TorchCompile(TorchEager):
    """As `TorchEager`, compiled by inductor."""

    name = "torch-compile"

    def check(self, platform: Platform) -> None:
        """As eager; and a C++ compiler, which inductor calls for the CPU."""
        super().check(platform)
        compilers = (os.environ.get("CXX", ""), *_COMPILERS)
        if platform.device.startswith("cpu") and not any(map(shutil.which, compilers)):
            raise UnsupportedError(
                "the backend torch-compile needs a C++ compiler and finds none: install one (for"
                " example with apt install g++), or name it in the environment variable CXX"
            )

    def transform(self, module: Any) -> Any:
        """A module of ours, compiled as one graph for its one input size."""
        import torch

        # Traced modules have code of their own. Modules that share one forward would count as
        # recompilations of it, and past a limit torch would silently run them eagerly.
        graph = torch.fx.symbolic_trace(module)
        return torch.compile(graph, fullgraph=True, dynamic=False)

    def transform_stage(self, run: Callable[..., Any], number: int) -> Callable[..., Any]:
        """A stage of a mix, compiled as one graph."""
        from aimatrix.backends.torch_blocks import compiled

        return compiled(run, number)

    def transform_application(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A user's callable, which may break into several graphs."""
        import torch

        compiled: Callable[..., Any] = torch.compile(function, dynamic=False)
        return compiled
