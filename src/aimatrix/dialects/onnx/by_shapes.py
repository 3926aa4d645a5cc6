"""ONNX's operators that shapes alone determine: a family's own table is one line here."""

from __future__ import annotations

from aimatrix.dialects.rule import Rule, by_shapes

#: family by family, its operators as `rule.by_shapes` takes them
RULES: dict[str, Rule] = {
    **by_shapes("linear_algebra", "Det=det com.microsoft::Inverse=inverse"),
}
