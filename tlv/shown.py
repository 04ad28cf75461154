"""Text of others as it may be shown: in a terminal, a table, a page.

A token's contract chooses its symbol, so anything may be in it: an escape sequence that repaints the screen, letters
that turn the line around them, marks that pile up over its neighbours, letters that nobody sees.  Owns which letters
are shown.  It must never be asked what a text means: two that look alike stay two.
"""

from __future__ import annotations

from unicodedata import bidirectional, category

TURNING = frozenset({"R", "AL", "AN"})
"""Bidirectional classes (UAX #9) of letters that are laid out from the right, and take the numbers beside them along.
The marks that do so without being letters are no printable characters."""
MARKS = frozenset({"Mn", "Me"})
MOST_MARKS = 2
"""One above another: Vietnamese and Thai need two."""
UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Printable as Python counts (`str.isprintable`), and yet blank: Default_Ignorable_Code_Point, and two blanks."""


def is_shown(text: str) -> bool:
    """Whether all of it may be shown."""
    return text.isprintable() if text.isascii() else shown(text, "\0") == text


def shown(text: str, instead: str = "") -> str:
    """What of it may be shown: no control or format character, no space but the plain one, nothing that is laid out
    from the right, no more than `MOST_MARKS` on a letter and none without one; `instead` for each that may not."""
    kept: list[str] = []
    marks = MOST_MARKS
    for letter in text:
        if not letter.isprintable() or letter in UNSEEN or bidirectional(letter) in TURNING:
            kept.append(instead)
            marks = MOST_MARKS
        elif category(letter) not in MARKS:
            kept.append(letter)
            marks = MOST_MARKS if letter == " " else 0
        elif marks < MOST_MARKS:
            kept.append(letter)
            marks += 1
        else:
            kept.append(instead)
    return "".join(kept)
