"""The chains a collector can serve.  A chain is configuration: one TOML file beside this one, or anywhere else.

Owns what is fixed about a chain: ids, endpoints, factories, and the few numbers that the block lifecycle needs.  It
knows nothing of connections; nothing here changes while a collector runs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from producers.chains.chain_keys import CHAIN
from producers.chains.create2 import create2_address
from producers.chains.keys import Mistake, read_table, shown
from producers.kinds.kind import Fee, PoolKind
from producers.kinds.loading import load_kind_file
from producers.kinds.pair_proof import prove_pair
from producers.kinds.registry import all_kinds, kind_named
from tlv.codes import Source
from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tlv.venues import VENUES

HexAddress = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{40}$")]
HexHash = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
LARGEST_NUMBER = (1 << 63) - 1
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
    init_code_hash: HexHash | None = None
    """What CREATE2 hashes; None = its pools are proven by its `lookup`, or by the kind's own way."""
    fee_pips: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)] = 0
    """In hundredths of a basis point; 0 = the pool has its own (`fee()`, or Algebra's dynamic one)."""
    deployer: HexAddress | None = None
    """Who calls CREATE2, where that is not the factory itself."""
    lookup: str | None = None
    """The view function from tokens to pool, where it is not the kind's own."""
    fee_call: str | None = None
    """The view function of the factory that says the fee of a pool."""
    custom_deployers: tuple[HexAddress, ...] = ()
    """Whose pools count besides the factory's own (Algebra Integral)."""
    positions: HexAddress | None = None
    """The contract that knows the keys of a V4 manager's pools (PositionManager)."""

    @cached_property
    def venue_code(self) -> int:
        """The venue's number on the wire."""
        code = VENUES.code_of(self.venue)
        assert code is not None, "checked when it was read"
        return code

    @cached_property
    def kind(self) -> PoolKind:
        """What its pools are."""
        kind = kind_named(self.protocol)
        assert kind is not None, "checked when it was read"
        return kind

    @property
    def protocol_code(self) -> int:
        """The protocol's number on the wire."""
        return self.kind.code

    @property
    def lookup_function(self) -> str:
        """What it is asked for a pool of two tokens; "" = nothing."""
        return self.lookup or self.kind.proof.lookup

    def pool_address(self, token0: bytes, token1: bytes, *words: int) -> bytes:
        """Where this factory's pool for these tokens must be; `words` answer its kind's `proof.functions`.  Only of one
        with an init code hash."""
        assert self.kind.proof.salt is not None and self.init_code_hash is not None
        salt = self.kind.proof.salt(token0, token1, words)
        deployer = self.deployer or self.address
        return create2_address(bytes.fromhex(deployer[2:]), salt, bytes.fromhex(self.init_code_hash[2:]))


class EarlyBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A block that every node of the chain has, by which it is told from another chain of the same id."""

    hash: HexHash
    number: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)] = 0


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
    identity: EarlyBlock | None = None
    """Genesis, or an early block where nodes have pruned genesis; None = learned from the node at first contact."""
    unbloomed_every: int = 0
    """Blocks divisible by this may carry logs that are missing from `logsBloom`; 0 = none do."""
    block_time_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """The usual time between two blocks; 0 = they come when there is something to say, as on a development chain."""
    endpoints: tuple[str, ...] = ()
    explorer: str | None = None
    """A block explorer's URL, in front of `/block/` (EIP-3091)."""
    venues: tuple[VenueDeclaration, ...] = ()
    factories: tuple[Factory, ...] = ()
    kinds: tuple[str, ...] = ()
    """Files of pool kinds that this package does not have, relative to the chain file.  They are code and run as
    whoever loads the chain."""
    native_symbol: str = ""
    """What the chain's own coin is called."""

    @cached_property
    def genesis(self) -> bytes:
        """Hash of the early block that names the chain; zeros where the file does not say."""
        return bytes.fromhex(self.identity.hash[2:]) if self.identity is not None else bytes(32)

    @cached_property
    def source_code(self) -> Source:
        """The source's number on the wire."""
        return Source[self.source]

    @cached_property
    def factories_with_fee_call(self) -> dict[bytes, Factory]:
        """Those that are asked what a pool charges, by address."""
        return {bytes.fromhex(one.address[2:]): one for one in self.factories if one.fee_call is not None}

    def bloom_proves(self, number: int) -> bool:
        """Whether the bloom filter of this block speaks for all of its logs."""
        return not (self.unbloomed_every and number % self.unbloomed_every == 0)


BUNDLED = ("polygon", "ethereum", "base")


def load_chain(name_or_path: str) -> ChainConfig:
    """The configuration of a bundled chain, or of any TOML file.

    Raises:
        UsageError: no such chain or file, or values that cannot be; the message names every one by its key.
    """
    if name_or_path in BUNDLED:
        text = resources.files("producers.chains").joinpath(f"{name_or_path}.toml").read_bytes()
    else:
        path = Path(name_or_path)
        if path.suffix != ".toml" or not path.is_file():
            expected = f"expected one of {', '.join(BUNDLED)} or a .toml file as chain"
            raise UsageError(f"{expected}, found {name_or_path!r}{did_you_mean(name_or_path, BUNDLED)}")
        text = path.read_bytes()
    chain, mistakes = read_chain(text, Path(name_or_path).parent)
    if chain is None:
        raise UsageError(f"chain {name_or_path}: {'; '.join(map(str, mistakes))}")
    return chain


def read_chain(text: bytes, folder: Path) -> tuple[ChainConfig | None, list[Mistake]]:
    """A chain file's content, or everything that is wrong with it; kind files are sought in `folder`.

    Kinds come first, since factories name them, and venues before factories for the same reason.
    """
    try:
        found = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # an integer of 4,301 digits, brackets in a thousand brackets
        return None, [Mistake("the file", f"Invalid TOML: {error}")]
    mistakes = list(_load_kinds(found.get("kinds"), folder))
    values = read_table(found, CHAIN, mistakes)
    codes: set[int] = set()
    for place, venue in enumerate(values.get("venues", ())):
        if venue.get("code") in codes:
            mistakes.append(Mistake(f"venues[{place}].code", f"expected each code once, found {venue['code']} again"))
        codes.add(venue.get("code", 0))
        try:
            VENUES.add(venue["code"], venue["name"])
        except UsageError as error:
            mistakes.append(Mistake(f"venues[{place}]", str(error)))
        except KeyError:
            continue  # named already
    for place, factory in enumerate(values.get("factories", ())):
        mistakes += _judge_factory(f"factories[{place}]", factory, values)
    if mistakes:
        return None, mistakes
    return msgspec.convert(values, ChainConfig), []


def _load_kinds(names: object, folder: Path) -> Iterator[Mistake]:
    for place, name in enumerate(names if isinstance(names, list) else ()):
        try:
            load_kind_file(folder / str(name))
        except UsageError as error:
            yield Mistake(f"kinds[{place}]", str(error))


def _judge_factory(key: str, factory: dict[str, Any], chain: dict[str, Any]) -> Iterator[Mistake]:
    """What its fields say together, and of other tables."""
    venue, protocol = factory.get("venue"), factory.get("protocol")
    if venue is not None and VENUES.code_of(venue) is None:
        known = ", ".join(VENUES.names())
        found = f"{shown(venue)}{did_you_mean(venue, VENUES.names())}"
        yield Mistake(f"{key}.venue", f"expected a venue of [[venues]] or one of {known}, found {found}")
    kind = kind_named(protocol) if protocol is not None else None
    if protocol is not None and kind is None:
        names = [kind.name for kind in all_kinds()]
        found = f"{shown(protocol)}{did_you_mean(protocol, names)}"
        yield Mistake(f"{key}.protocol", f"expected one of {', '.join(names)} (or of a file of `kinds`), found {found}")
    if kind is not None:
        for name, fault in _judge_keys(factory, kind):
            yield Mistake(f"{key}.{name}", fault)
    if factory.get("init_code_hash") is not None and factory.get("lookup") is not None:
        found = f"found {factory['lookup']!r}"
        yield Mistake(f"{key}.lookup", f"expected none beside init_code_hash, which proves its pools, {found}")
    if factory.get("deployer") is not None and "init_code_hash" not in factory:
        yield Mistake(f"{key}.deployer", "expected an init_code_hash beside it: nothing else follows from a deployer")
    same = [other for other in chain["factories"] if other.get("address") == factory.get("address")]
    if factory.get("address") is not None and factory is not same[0]:
        yield Mistake(f"{key}.address", f"expected each factory once, found {factory['address']} again")


def _judge_keys(factory: dict[str, Any], kind: PoolKind) -> Iterator[tuple[str, str]]:
    """The keys that its kind does not read, or cannot do without."""
    hashed, lookup = factory.get("init_code_hash") is not None, factory.get("lookup")
    if hashed and kind.proof.salt is None:
        yield "init_code_hash", f"expected none, no {kind.name} pool is found by one"
    if not hashed and not (lookup or kind.proof.lookup or kind.prove is not prove_pair):
        yield "init_code_hash", "expected one, or a lookup by which the factory knows its pools"
    looked_up = bool(kind.proof.lookup) or kind.prove is prove_pair or "lookup" in kind.factory_keys
    if lookup is not None and not looked_up:
        yield "lookup", f"expected none, no {kind.name} pool is looked up by two tokens, found {lookup!r}"
    elif lookup is not None and lookup.count(",") != 1 + len(kind.proof.functions):
        arguments = ", ".join(("two addresses", *kind.proof.functions))
        yield "lookup", f"expected the arguments of a {kind.name} pool ({arguments}), found {lookup!r}"
    for name in ("positions", "custom_deployers"):
        if name in factory and name not in kind.factory_keys:
            yield name, f"expected none, no {kind.name} pool is proven by it"
    for name in ("fee_pips", "fee_call"):
        if factory.get(name) and kind.fee is not Fee.FACTORY:
            says = "each pool says its own" if kind.fee is Fee.OWN else "it moves, or nothing says it"
            yield name, f"expected none, no {kind.name} pool has a fee of its factory: {says}"
    if factory.get("fee_pips") and factory.get("fee_call"):
        yield "fee_pips", "expected none beside fee_call, which says it of each pool"
