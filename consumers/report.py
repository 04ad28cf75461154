"""What a reader says to whoever runs it: a line, which may carry the fields that a log finds it by."""

from __future__ import annotations

from typing import Self


class LineWithFields(str):
    """Text about the ring, sequence or the like in `fields`; `sequence` to `last_sequence` if it is about several."""

    __slots__ = ("fields",)

    fields: dict[str, object]

    def __new__(cls, text: str, **fields: object) -> Self:
        line = super().__new__(cls, text)
        line.fields = fields
        return line
