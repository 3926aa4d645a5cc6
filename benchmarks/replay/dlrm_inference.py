"""The suite's DLRM (Naumov et al. 2019): bags of rows of tables, whose offsets a replay needs."""

from __future__ import annotations

import _suite  # noqa: F401
from dlrm import application

__all__ = ["application"]
