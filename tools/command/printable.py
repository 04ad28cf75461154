"""Text of others on its way to a terminal.

A token's contract chooses its symbol, so anything may be in it: an escape sequence that repaints the screen, a bidi
mark that turns the line around it, a line end.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """The text with every control, format and bidi character, and every space but the plain one, as U+FFFD."""
    return text if text.isprintable() else "".join(one if one.isprintable() else REPLACEMENT for one in text)
