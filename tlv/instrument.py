"""What is traded, as 24 bytes and as text, with exactly one text per 24 bytes and back.

    polygon.uniswap_v3:pool:0x45dda9cb7c25131df268515131f647d726f50608
    ethereum:currency:ETH

`tlv.layout.InstrumentKey` owns the bytes.  A pool or a token is named by its address, a currency or a pair by a symbol;
the asset type alone decides which, so that no symbol of 20 letters can be taken for an address.  What does not fit is
refused, never cut: two instruments cannot become one.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Self

import msgspec

from tlv.codes import Venue
from tlv.errors import UsageError
from tlv.layout import InstrumentKey

LONGEST_SYMBOL = 20

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
VENUES = {name: venue for venue, name in VENUE_NAMES.items()}


class AssetType(IntEnum):
    """What kind of thing an instrument is; decides how it is named."""

    POOL = 1
    TOKEN = 2
    CURRENCY = 3
    PAIR = 4


ASSET_TYPES = {asset_type.name.lower(): asset_type for asset_type in AssetType}
NAMED_BY_ADDRESS = frozenset({AssetType.POOL, AssetType.TOKEN})
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
"""Lower case only: with EIP-55's mixed case an address would have many texts."""
SYMBOL = re.compile(rf"[!-~]{{1,{LONGEST_SYMBOL}}}", re.ASCII)
"""Printable ASCII without space."""


class InstrumentId(msgspec.Struct, frozen=True):
    """One instrument: `name` is `0x` and 40 lower-case hex digits, or a symbol, as the asset type wants.

    Raises:
        UsageError: no such venue or asset type, or a name that this asset type cannot have.
    """

    venue: Venue
    asset_type: AssetType
    name: str

    def __post_init__(self) -> None:
        if self.venue not in VENUE_NAMES:
            raise UsageError(f"instrument: expected a venue of tlv.codes.Venue, found {self.venue!r}")
        if self.asset_type not in AssetType.__members__.values():
            raise UsageError(f"instrument: expected one of {[*AssetType.__members__]}, found {self.asset_type!r}")
        by_address = self.asset_type in NAMED_BY_ADDRESS
        if not (ADDRESS if by_address else SYMBOL).fullmatch(self.name):
            wanted = "0x and 40 lower-case hex digits" if by_address else "1 to 20 printable ASCII characters"
            raise UsageError(f"instrument: expected {wanted} for type {self.asset_type!r}, found {self.name!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The instrument that `str` wrote as `text`.

        Raises:
            UsageError: `text` is not of the form `venue:type:name`, or a part is unknown.
        """
        parts = text.split(":", 2)
        if len(parts) != 3 or parts[0] not in VENUES or parts[1] not in ASSET_TYPES:
            raise UsageError(f"instrument: expected venue:type:name with a known venue and type, found {text!r}")
        venue, asset_type, name = parts
        return cls(VENUES[venue], ASSET_TYPES[asset_type], name)

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """The instrument whose 24 bytes begin at `offset`.

        Raises:
            TlvError: fewer bytes are there.  UsageError: the bytes are no instrument.
        """
        key = InstrumentKey.unpack(data, offset)
        raw, rest = key.name[: key.length], key.name[key.length :]
        if key.length > len(key.name) or any(rest):
            raise UsageError(f"instrument: expected {key.length} bytes of name, then zeros, found {key.name.hex()}")
        try:
            venue, asset_type = Venue(key.venue), AssetType(key.asset_type)
        except ValueError as error:
            raise UsageError(f"instrument: {error} in {raw.hex()}") from None
        return cls(venue, asset_type, "0x" + raw.hex() if asset_type in NAMED_BY_ADDRESS else raw.decode("latin-1"))

    def pack(self) -> bytes:
        """Its 24 bytes."""
        raw = bytes.fromhex(self.name[2:]) if self.asset_type in NAMED_BY_ADDRESS else self.name.encode("ascii")
        return InstrumentKey(self.venue, self.asset_type, len(raw), raw.ljust(LONGEST_SYMBOL, b"\0")).pack()

    def __str__(self) -> str:
        return f"{VENUE_NAMES[self.venue]}:{AssetType(self.asset_type).name.lower()}:{self.name}"
