"""What a user may set for the flash-arbitrage strategy, with defaults and their reasons.

Owns the shape of the configuration and its check.  Reads no file itself: `read_config` takes the text of a TOML file.

    [arbitrage]
    min_net_wei = 0
    [arbitrage.gas]
    tip_wei = 30_000_000_000
    [arbitrage.gas.swap_units_by_venue]
    quickswap_v2 = 60_000
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from tlv.addresses import read_address
from tlv.codes import Protocol, Venue
from tlv.errors import UsageError
from tlv.filter import address
from tlv.nearest import did_you_mean, there_are

NotNegative = Annotated[int, msgspec.Meta(ge=0)]
AddressText = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{40}$")]

WMATIC = "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"


class GasConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much gas a round trip takes, and what a unit of gas costs."""

    overhead_units: NotNegative = 80_000
    """Everything but the swaps.  Transactions of the bundled recording whose fee shows their gas (those at exactly
    1 gwei) took 181-201 k for two V2 swaps and 228-237 k for three: 60 k a swap on top of 80 k bounds both."""
    v2_swap_units: NotNegative = 60_000
    v3_swap_units: NotNegative = 115_000
    """One V3 swap that moves the tick and crosses none, as QuoterV2 measures it."""
    v3_tick_units: NotNegative = 50_000
    """Each initialised tick that it crosses.  The first time ever it fills two empty words of storage, which this
    bounds; later it takes about half.  A test holds it against receipts."""
    swap_units_by_venue: dict[str, NotNegative] = {}
    """Overrides by venue name (`quickswap_v2`, `uniswap_v3_polygon`, ...)."""
    base_fee_rise_percent: NotNegative = 5
    """How much a producer may raise the base fee over the parent's (Polygon since the Lisovo fork)."""
    tip_wei: NotNegative = 30_000_000_000
    """Above the 25 gwei below which Polygon nodes drop a transaction."""
    legacy_price_wei: NotNegative = 1_000_000_000
    """Price of a unit of gas in blocks without a base fee: what most transactions of the recording paid (1 gwei;
    the arbitrageurs among them up to 66)."""

    def __post_init__(self) -> None:
        """Refuse a venue that does not exist: its override would silently do nothing."""
        known = [venue.name.lower() for venue in Venue]
        for name in self.swap_units_by_venue:
            if name not in known:
                meant = did_you_mean(name, known)
                raise ValueError(f"swap_units_by_venue.{name}: there is no such venue{meant} {there_are(known)}")

    def units(self, protocol: int, venue: int) -> int:
        """Gas of one swap."""
        by_protocol = self.v2_swap_units if protocol == Protocol.UNISWAP_V2 else self.v3_swap_units
        if not self.swap_units_by_venue:
            return by_protocol
        try:
            name = Venue(venue).name.lower()
        except ValueError:
            return by_protocol
        return self.swap_units_by_venue.get(name, by_protocol)

    def price(self, base_fee: int) -> int:
        """Upper bound of the price of a unit of gas in the next block, in wei, from the last block's base fee."""
        if base_fee == 0:
            return self.legacy_price_wei
        return -(-base_fee * (100 + self.base_fee_rise_percent) // 100) + self.tip_wei


class ArbitrageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `FlashArbitrage`."""

    wrapped_native: AddressText = WMATIC
    """The token that is worth one coin of the chain: gas is priced through its pools."""
    min_net_wei: int = 0
    """Least profit after gas, in wei of the chain's coin, for a signal."""
    gross: bool = False
    """Signal every cycle that earns before gas, whatever is left after it."""
    early: bool = True
    """Signal on every event, when its block may still change the pools again; such signals are SPECULATIVE."""
    signal_blocks: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 2
    """For how many blocks behind that of its state a signal holds."""
    max_cycles: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    """Cycles through two and three pools that are kept; those that appear later are left out, and counted.  Each takes
    80 bytes, and is screened both ways round when one of its pools moves."""
    max_solved: Annotated[int, msgspec.Meta(ge=1, le=400)] = 200
    """Cycles that are solved exactly at most for one pool that moved, those first that may earn most."""
    max_state_age_blocks: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """How old a pool's last state may be.  With a complete feed a state of any age is right; this bounds how long an
    error that the feed did not notice has effect (half an hour at 2 s a block)."""
    fee_on_transfer_tokens: tuple[AddressText, ...] = ()
    """Tokens that keep a part of each transfer: their pools pay less than the formula says."""
    gas: GasConfig = GasConfig()

    def __post_init__(self) -> None:
        check_addresses(wrapped_native=[self.wrapped_native], fee_on_transfer_tokens=self.fee_on_transfer_tokens)

    @property
    def native_address(self) -> bytes:
        """`wrapped_native` as 20 bytes."""
        return address(self.wrapped_native)

    @property
    def untouchable_tokens(self) -> frozenset[bytes]:
        """`fee_on_transfer_tokens` as bytes."""
        return frozenset(map(address, self.fee_on_transfer_tokens))


def check_addresses(**named: Iterable[str]) -> None:
    """Refuse addresses of parameters, by the parameter's name.

    Raises:
        UsageError: a checksum is wrong.
    """
    for name, texts in named.items():
        for text in texts:
            try:
                read_address(text)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None


def read_config(text: str, where: str) -> ArbitrageConfig:
    """The `[arbitrage]` table of a TOML text; `where` names the text in errors.

    Raises:
        UsageError: no TOML, an unknown key, or a value of the wrong kind; the message names the key's path.
    """
    try:
        table = tomllib.loads(text).get("arbitrage", {})
        return msgspec.convert(table, ArbitrageConfig)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: {error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {str(error).replace('`$', '`arbitrage')}") from None
