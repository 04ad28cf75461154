"""Text of others on its way to a terminal."""

from __future__ import annotations

from tlv.shown import is_shown, shown

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """The text with U+FFFD for everything that would reach beyond its place (`tlv.shown`)."""
    return text if is_shown(text) else shown(text, REPLACEMENT)
