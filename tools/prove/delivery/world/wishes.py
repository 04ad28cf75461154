"""What the clients of a world ask for: one that is owed everything, and others beside it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Wish(NamedTuple):
    """What one client asks for."""

    name: str = ""
    start: Literal["acknowledged", "oldest", "latest"] = "acknowledged"
    at_least_once: bool = True
    filtered: bool = False
    manual: bool = False
    """It acknowledges by itself, and late."""
    by_relay: bool = True
    """False: it reads the ring itself."""


def draw_wishes(kinds: frozenset[str]) -> list[Wish]:
    """The clients of a world with these kinds; the first is always there."""
    filtered, manual = "filtered" in kinds, "late_acks" in kinds
    wishes = [Wish("first", filtered=filtered, manual=manual)]
    if "companions" in kinds:
        wishes.append(Wish("second", filtered=not filtered, manual=not manual))
        wishes.append(Wish(start="oldest", filtered=filtered))
        wishes.append(Wish(start="latest", at_least_once=False))
    if "co_located" in kinds:
        wishes.append(Wish(start="oldest", at_least_once=False, filtered=filtered, by_relay=False))
    return wishes
