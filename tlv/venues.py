"""The names of venues: those of `tlv.codes.Venue`, and those that chain files and `VenueName` records add.

Owns the two-way table of one process.  It must never know which pools a venue has.  Codes below 1000 are the project's
and keep their names; codes from 1000 on are named by chain files, and a ring carries the names that it uses.
"""

from __future__ import annotations

import contextlib
import re

from tlv.codes import Venue
from tlv.errors import UsageError

FIRST_FREE_CODE = 1000
LAST_CODE = (1 << 16) - 1
NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
"""Chain, dot, exchange: `polygon.quickswap_v2`."""

VENUE_NAMES = {
    Venue.POLYGON: "polygon",
    Venue.UNISWAP_V2: "ethereum.uniswap_v2",
    Venue.UNISWAP_V3: "ethereum.uniswap_v3",
    Venue.SUSHISWAP: "ethereum.sushiswap",
    Venue.QUICKSWAP_V2: "polygon.quickswap_v2",
    Venue.SUSHISWAP_POLYGON: "polygon.sushiswap",
    Venue.CURVE_POLYGON: "polygon.curve",
    Venue.BALANCER_POLYGON: "polygon.balancer",
    Venue.UNISWAP_V3_POLYGON: "polygon.uniswap_v3",
    Venue.QUICKSWAP_V3: "polygon.quickswap_v3",
    Venue.DFYN_POLYGON: "polygon.dfyn",
    Venue.APESWAP_POLYGON: "polygon.apeswap",
    Venue.UNISWAP_V2_POLYGON: "polygon.uniswap_v2",
}
"""The venues of the project's own chain files."""


class VenueTable:
    """Names by code and codes by name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {int(code): name for code, name in VENUE_NAMES.items()}
        self._codes = {name: code for code, name in self._names.items()}

    def add(self, code: int, name: str) -> None:
        """Give a code its name; saying the same again changes nothing.

        Raises:
            UsageError: the name is not spelled as one, the code is the project's or no u16, or either is taken.
        """
        if self._names.get(code) == name:
            return
        if not NAME.fullmatch(name) or len(name) > 64:
            raise UsageError(f"venue {code}: expected a name like polygon.quickswap_v2, found {name!r}")
        if not FIRST_FREE_CODE <= code <= LAST_CODE:
            raise UsageError(f"venue {name}: expected a code from {FIRST_FREE_CODE} to {LAST_CODE}, found {code}")
        if code in self._names:
            raise UsageError(f"venue {code}: expected its name {self._names[code]}, found {name}")
        if name in self._codes:
            raise UsageError(f"venue {name}: expected its code {self._codes[name]}, found {code}")
        self._names[code], self._codes[name] = name, code

    def learn(self, code: int, name: str) -> None:
        """Add a name that a ring carries; one that contradicts this table is ignored."""
        with contextlib.suppress(UsageError):
            self.add(code, name)

    def name_of(self, code: int) -> str | None:
        """The name of a code; None if it has none."""
        return self._names.get(code)

    def code_of(self, name: str) -> int | None:
        """The code of a name, or of a member of `tlv.codes.Venue` in any case; None if there is none."""
        member = Venue.__members__.get(name.upper())
        return self._codes.get(name) if member is None else int(member)

    def names(self) -> list[str]:
        """Every name, in order, for error messages."""
        return sorted(self._codes)


VENUES = VenueTable()
"""The table of this process."""
