"""The names of venues: those of `tlv.codes.Venue`, and those that chain files and `VenueName` records add.

Owns the two-way table of one process.  It must never know which pools a venue has.  Codes below 1000 are the project's
and keep their names; codes from 1000 on are named by chain files, those of bundled files here as well, and a ring
carries the names that it uses.
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
LONGEST_NAME = 64
"""Characters: what a VenueName takes."""

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
"""The venues that have a code below 1000."""

BUNDLED_VENUES = {
    60000: "polygon.cometh",
    60001: "polygon.elk",
    60002: "polygon.jetswap",
    60003: "polygon.waultswap",
    60004: "polygon.dinoswap",
    60005: "polygon.polycat",
    60006: "polygon.gravity",
    60007: "polygon.honeyswap",
    60008: "polygon.radioshack",
    60009: "polygon.safeswap",
    60010: "polygon.swapsicle",
    60011: "polygon.smartdex",
    60012: "polygon.cafeswap",
    60013: "polygon.mm_finance",
    60014: "polygon.dystopia",
    60015: "polygon.pearl",
    60016: "polygon.sushiswap_v3",
    60017: "polygon.retro",
    60018: "polygon.quickswap_v4",
    60019: "polygon.kyberswap_elastic",
    60020: "polygon.uniswap_v4",
    60021: "polygon.dodo",
    60022: "polygon.woofi",
    60100: "ethereum.shibaswap",
    60101: "ethereum.pancakeswap_v2",
    60102: "ethereum.defiswap",
    60103: "ethereum.verse",
    60104: "ethereum.apeswap",
    60105: "ethereum.elk",
    60106: "ethereum.linkswap",
    60107: "ethereum.luaswap",
    60108: "ethereum.solidly_v2",
    60109: "ethereum.sushiswap_v3",
    60110: "ethereum.wagmi",
    60111: "ethereum.pancakeswap_v3",
    60112: "ethereum.kyberswap_elastic",
    60113: "ethereum.uniswap_v4",
    60114: "ethereum.balancer",
    60115: "ethereum.curve",
    60116: "ethereum.dodo",
    60200: "base.uniswap_v2",
    60201: "base.baseswap",
    60202: "base.swapbased",
    60203: "base.alienbase",
    60204: "base.pancakeswap_v2",
    60205: "base.sushiswap",
    60206: "base.rocketswap",
    60207: "base.sharkswap",
    60208: "base.soswap",
    60209: "base.dackieswap",
    60210: "base.elk",
    60211: "base.aerodrome",
    60212: "base.equalizer",
    60213: "base.velocimeter",
    60214: "base.baso",
    60215: "base.uniswap_v3",
    60216: "base.sushiswap_v3",
    60217: "base.baseswap_v3",
    60218: "base.alienbase_v3",
    60219: "base.derpdex",
    60220: "base.wagmi",
    60221: "base.pancakeswap_v3",
    60222: "base.aerodrome_slipstream",
    60223: "base.quickswap_v4",
    60224: "base.uniswap_v4",
    60225: "base.balancer",
    60226: "base.curve",
    60227: "base.dodo",
    60228: "base.woofi",
}
"""The venues that the bundled chain files declare: named wherever the package is, whatever of a ring is left."""


class VenueTable:
    """Names by code and codes by name."""

    def __init__(self) -> None:
        self._names = {**{int(code): name for code, name in VENUE_NAMES.items()}, **BUNDLED_VENUES}
        self._codes = {name: code for code, name in self._names.items()}

    def add(self, code: int, name: str) -> None:
        """Give a code its name; saying the same again changes nothing.

        Raises:
            UsageError: the name is not spelled as one, the code is the project's or no u16, or either is taken.
        """
        if self._names.get(code) == name:
            return
        if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            found = repr(name) if len(name) <= LONGEST_NAME else f"{len(name)} characters"
            raise UsageError(f"venue {code}: expected a name like polygon.quickswap_v2, found {found}")
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
