"""What every artefact of the pipeline has in common: a schema, its version, strict fields."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from aimatrix.version import VERSION

#: one side for all dimensions, or one per dimension (as torch writes a kernel size)
Sides = int | tuple[int, ...]


class Part(BaseModel):
    """A checked, immutable piece of an artefact; unknown fields are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Artefact(Part):
    """The root of an artefact file: names its schema and the version it was written in."""

    SCHEMA: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int]

    # pydantic's own API takes the name "schema"; files have it
    schema_name: str = Field(alias="schema")
    schema_version: PositiveInt
    aimatrix_version: str

    @classmethod
    def create(cls, **fields: Any) -> Self:
        """Make an artefact of today's schema version, written by this version of AI Matrix."""
        return cls(
            schema_name=cls.SCHEMA,
            schema_version=cls.SCHEMA_VERSION,
            aimatrix_version=VERSION,
            **fields,
        )


def sides(values: tuple[int, ...]) -> Sides:
    """``(3, 3)`` as 3, ``(1, 7)`` as it is."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def expand(value: Sides, rank: int = 2) -> tuple[int, ...]:
    """The inverse of `sides`: 3 as ``(3, 3)``."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def first_mistake(error: ValidationError, *, inside: int = 0) -> str:
    """``field groups.0.macs: field required (and 2 more)``: what is wrong with a document.

    inside: how many steps of the way to the field are told already.
    """
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"][inside:])) or "the document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"field {field}: {first['msg'].lower()}{more}"
