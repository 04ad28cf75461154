"""What is traded, as 36 bytes and as text, with exactly one text per 36 bytes and back.

    polygon.uniswap_v3:pool:0x45dda9cb7c25131df268515131f647d726f50608
    ethereum:currency:ETH

`tlv.layout.InstrumentKey` owns the bytes.  A pool is named by its address or its 32-byte id, a token by its address, a
currency or a pair by a symbol; the asset type alone decides which, so that no symbol of 20 letters can be taken for an
address.  What does not fit is refused, never cut: two instruments cannot become one.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Self

import msgspec

from tlv.addresses import ADDRESS, read_address
from tlv.errors import UsageError
from tlv.layout import InstrumentKey
from tlv.venues import VENUES

LONGEST_SYMBOL = 20


class AssetType(IntEnum):
    """What kind of thing an instrument is; decides how it is named."""

    POOL = 1
    TOKEN = 2
    CURRENCY = 3
    PAIR = 4


ASSET_TYPES = {asset_type.name.lower(): asset_type for asset_type in AssetType}
NAME_BYTES = InstrumentKey.layout.kinds["name"].size
HEX = {AssetType.POOL: re.compile(r"0x([0-9a-f]{40}|[0-9a-f]{64})"), AssetType.TOKEN: re.compile(r"0x[0-9a-f]{40}")}
"""Spelling of what is named by bytes.  Lower case only: with EIP-55's mixed case an address would have many texts."""
SYMBOL = re.compile(rf"[!-~]{{1,{LONGEST_SYMBOL}}}", re.ASCII)
"""Printable ASCII without space."""


class InstrumentId(msgspec.Struct, frozen=True):
    """One instrument: `name` is `0x` and 40 lower-case hex digits (of a pool's id 64), or a symbol, as the asset type
    wants; `venue` is a code that has a name.

    Raises:
        UsageError: no such venue or asset type, or a name that this asset type cannot have.
    """

    venue: int
    asset_type: AssetType
    name: str

    def __post_init__(self) -> None:
        if VENUES.name_of(self.venue) is None:
            raise UsageError(f"instrument: expected the code of a venue that has a name, found {self.venue!r}")
        if self.asset_type not in AssetType.__members__.values():
            raise UsageError(f"instrument: expected one of {[*AssetType.__members__]}, found {self.asset_type!r}")
        in_hex = self.asset_type in HEX
        if not HEX.get(self.asset_type, SYMBOL).fullmatch(self.name):
            wanted = "0x and 40 lower-case hex digits" if in_hex else "1 to 20 printable ASCII characters"
            raise UsageError(f"instrument: expected {wanted} for type {self.asset_type!r}, found {self.name!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The instrument that `str` wrote as `text`.

        Raises:
            UsageError: `text` is not of the form `venue:type:name`, or a part is unknown.
        """
        parts = text.split(":", 2)
        venue = VENUES.code_of(parts[0]) if parts[0].islower() else None
        if len(parts) != 3 or venue is None or parts[1] not in ASSET_TYPES or VENUES.name_of(venue) != parts[0]:
            raise UsageError(f"instrument: expected venue:type:name with a known venue and type, found {text!r}")
        return cls(venue, ASSET_TYPES[parts[1]], parts[2])

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """The instrument whose bytes begin at `offset`.

        Raises:
            TlvError: fewer bytes are there.  UsageError: the bytes are no instrument.
        """
        key = InstrumentKey.unpack(data, offset)
        raw, rest = key.name[: key.length], key.name[key.length :]
        if key.length > len(key.name) or any(rest):
            raise UsageError(f"instrument: expected {key.length} bytes of name, then zeros, found {key.name.hex()}")
        try:
            asset_type = AssetType(key.asset_type)
        except ValueError as error:
            raise UsageError(f"instrument: {error} in {raw.hex()}") from None
        return cls(key.venue, asset_type, "0x" + raw.hex() if asset_type in HEX else raw.decode("latin-1"))

    def pack(self) -> bytes:
        """Its bytes, `InstrumentKey.layout.size` of them."""
        raw = bytes.fromhex(self.name[2:]) if self.asset_type in HEX else self.name.encode("ascii")
        return InstrumentKey(self.venue, self.asset_type, len(raw), raw.ljust(NAME_BYTES, b"\0")).pack()

    def __str__(self) -> str:
        return f"{VENUES.name_of(self.venue)}:{AssetType(self.asset_type).name.lower()}:{self.name}"


def pool_of(value: bytes | str) -> bytes:
    """The 20 or 32 bytes of a pool: given themselves, as `0x` and hex digits in any case, or as an instrument's text.

    Raises:
        UsageError: it is none of these, or its address has a wrong checksum.
    """
    if isinstance(value, bytes) and len(value) in (20, 32):
        return value
    venue, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if (
        venue.isascii() and venue.isdigit() and rest.startswith("pool:0x")
    ):  # a venue without a name, as `pool_text` has it
        return pool_of(rest.removeprefix("pool:"))
    if isinstance(value, str) and ":" in value:
        instrument = InstrumentId.parse(value)
        if instrument.asset_type is not AssetType.POOL:
            raise UsageError(f"pool {value!r}: expected an instrument of type pool")
        return bytes.fromhex(instrument.name[2:])
    if isinstance(value, str) and HEX[AssetType.POOL].fullmatch(value.lower()):
        if ADDRESS.fullmatch(value):
            read_address(value)
        return bytes.fromhex(value[2:])
    raise UsageError(f"pool {value!r}: expected 20 or 32 bytes, 0x and 40 or 64 hex digits, or venue:pool:0x...")


def pool_text(venue: int, pool: bytes) -> str:
    """A pool as an instrument's text; if the venue has no name, its code stands for it."""
    return f"{VENUES.name_of(venue) or venue}:pool:0x{pool.hex()}"
