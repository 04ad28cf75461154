"""The chains a collector can serve.  A chain is configuration: one TOML file beside this one, or anywhere else.

Owns what is fixed about a chain: ids, endpoints, factories, and the few numbers that the block lifecycle needs.  It
knows nothing of connections; nothing here changes while a collector runs.
"""

from __future__ import annotations

from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec

from producers.chains.create2 import create2_address
from producers.kinds.kind import PoolKind
from producers.kinds.loading import load_kind_file
from producers.kinds.registry import all_kinds, kind_named
from tlv.codes import Source
from tlv.errors import UsageError
from tlv.venues import VENUES

HexAddress = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{40}$")]
HexHash = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class VenueDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A venue of the chain file's own: a code from 1000 on, and a name like `polygon.myswap`."""

    code: int
    name: str


class Factory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A contract that makes pools.  Its pools' venue, and their fee unless each pool has its own, are decided here."""

    venue: str
    """A name of `tlv.venues`, a member of `tlv.codes.Venue`, or a name that the chain file's `[[venues]]` gives."""
    protocol: str
    """The name of a pool kind (`producers.kinds`)."""
    address: HexAddress
    """What a pool answers to `factory()`, and who emits the creation event."""
    init_code_hash: HexHash
    fee_pips: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)] = 0
    """In hundredths of a basis point; 0 = the pool has its own (`fee()`, or Algebra's dynamic one)."""
    deployer: HexAddress | None = None
    """Who calls CREATE2, where that is not the factory itself."""

    def __post_init__(self) -> None:
        if kind_named(self.protocol) is None:
            known = ", ".join(kind.name for kind in all_kinds())
            raise ValueError(f"expected one of {known} as protocol, found {self.protocol!r}")

    @cached_property
    def venue_code(self) -> int:
        """The venue's number on the wire."""
        code = VENUES.code_of(self.venue)
        if code is None:
            known = ", ".join(VENUES.names())
            raise ValueError(f"expected a venue of [[venues]] or one of {known}, found {self.venue!r}")
        return code

    @cached_property
    def kind(self) -> PoolKind:
        """What its pools are."""
        kind = kind_named(self.protocol)
        assert kind is not None, "checked when it was made"
        return kind

    @property
    def protocol_code(self) -> int:
        """The protocol's number on the wire."""
        return self.kind.code

    def pool_address(self, token0: bytes, token1: bytes, *words: int) -> bytes:
        """Where this factory's pool for these tokens must be; `words` answer its kind's `proof.functions`."""
        salt = self.kind.proof.salt(token0, token1, words)
        deployer = self.deployer or self.address
        return create2_address(bytes.fromhex(deployer[2:]), salt, bytes.fromhex(self.init_code_hash[2:]))


class ChainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One chain."""

    name: str
    chain_id: Positive
    source: str
    """Which `tlv.codes.Source` its collector is."""
    ring: str
    """Where its collector publishes unless told otherwise."""
    wrapped_native: HexAddress
    finality_blocks: Positive
    """Headers and published events are kept this deep: a reorg cannot reach below."""
    unbloomed_every: int = 0
    """Blocks divisible by this may carry logs that are missing from `logsBloom`; 0 = none do."""
    endpoints: tuple[str, ...] = ()
    venues: tuple[VenueDeclaration, ...] = ()
    factories: tuple[Factory, ...] = ()
    kinds: tuple[str, ...] = ()
    """Files of pool kinds that this package does not have, relative to the chain file.  They are code and run as
    whoever loads the chain."""

    def __post_init__(self) -> None:
        if self.source not in Source.__members__:
            raise ValueError(f"expected one of {', '.join(Source.__members__)} as source, found {self.source!r}")
        try:
            for venue in self.venues:
                VENUES.add(venue.code, venue.name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        for factory in self.factories:
            _ = factory.venue_code

    @cached_property
    def source_code(self) -> Source:
        """The source's number on the wire."""
        return Source[self.source]

    def bloom_proves(self, number: int) -> bool:
        """Whether the bloom filter of this block speaks for all of its logs."""
        return not (self.unbloomed_every and number % self.unbloomed_every == 0)


class _KindFiles(msgspec.Struct):
    """What of a chain file must be known before its factories can be judged."""

    kinds: tuple[str, ...] = ()


BUNDLED = ("polygon", "ethereum")


def load_chain(name_or_path: str) -> ChainConfig:
    """The configuration of a bundled chain, or of any TOML file.

    Raises:
        UsageError: no such chain or file, or a value that cannot be; the message names its key.
    """
    if name_or_path in BUNDLED:
        text = resources.files("producers.chains").joinpath(f"{name_or_path}.toml").read_bytes()
    else:
        path = Path(name_or_path)
        if path.suffix != ".toml" or not path.is_file():
            raise UsageError(f"expected one of {', '.join(BUNDLED)} or a .toml file as chain, found {name_or_path!r}")
        text = path.read_bytes()
    try:
        for name in msgspec.toml.decode(text, type=_KindFiles).kinds:
            load_kind_file(Path(name_or_path).parent / name)
        return msgspec.toml.decode(text, type=ChainConfig)
    except msgspec.DecodeError as error:
        raise UsageError(f"chain {name_or_path}: {error}") from None
