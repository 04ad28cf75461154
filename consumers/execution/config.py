"""What a user may set for the paper executor, with defaults and their reasons."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from consumers.arbitrage.config import WMATIC, AddressText, GasConfig, NotNegative, check_addresses
from tlv.filter import address

Positive = Annotated[int, msgspec.Meta(ge=1)]
Blocks = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
"""More is a mistake: sixty years of them, at two seconds each."""
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
COIN = 10**18


class ExecutionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `PaperExecutor`.  Limits in wei are of the chain's coin."""

    delay_blocks: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    """An order that was decided on the state of block N is attempted in block N + this."""
    share_percent: Percent = 100
    """How much of that block's own swaps of a pool stand in front of the order: 0 = it is the first of its block,
    100 = it is the last.  What others do in the same block is thereby never an advantage."""
    inclusion_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 100.0
    """Probability that an attempt gets into its block; only `expected_net` knows it."""
    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=3_600_000)] | None = None
    """From the receive time of the event behind an order to the order; none = as recorded."""
    clock_limit_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    """A recorded latency below 0 or above this is none that counts: a clock jumped, or the strategy was not running
    when the event came.  On a replay's frames no recorded latency is one."""
    clock: Literal["refuse", "unknown"] = "refuse"
    """What becomes of an order with such a latency, unless `latency_ms` takes its place: it is refused, or its block
    number alone decides."""
    min_gross_percent: Percent = 0
    """Share of an ArbitrageSignal's expected gross that must be left, or the attempt reverts."""
    wrapped_native: AddressText = WMATIC
    """The token that is worth one coin of the chain."""
    max_order_age_blocks: Blocks = 16
    """From the block of an order's state to that of its attempt."""
    max_state_age_blocks: Blocks = 1_000
    """How old a pool's last state may be (as the flash-arbitrage strategy's)."""
    max_exposure_wei: NotNegative = 100_000 * COIN
    """Value of what the orders of one block put in, together."""
    max_position_wei: NotNegative = 100_000 * COIN
    """Value of what is held of one token through orders that are no round trips."""
    max_loss_wei: NotNegative = 1_000 * COIN
    """Net loss since the beginning after which nothing is attempted any more."""
    max_orders_per_block: Positive = 20
    breaker_failures: Positive = 10
    """Attempts that may fail one after the other before the circuit breaker opens."""
    breaker_loss_wei: NotNegative = 100 * COIN
    """Net loss within `breaker_blocks` at which it opens."""
    breaker_blocks: Blocks = 100
    breaker_shortfall_percent: Annotated[int, msgspec.Meta(ge=0)] = 1_000
    """It opens when the last ten fills brought less than was expected of them by more than this share of the gross that
    was expected.  A signal's fill cannot fall short by more than 100 percent, so the default never opens it."""
    cool_down_blocks: Blocks = 20
    """How long it stays open before one order is tried."""
    fee_on_transfer_tokens: tuple[AddressText, ...] = ()
    """Tokens that keep a part of each transfer: no amount that is computed for them is right."""
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

    @property
    def inclusion_ppm(self) -> int:
        """`inclusion_percent` in a million."""
        return round(self.inclusion_percent * 10_000)
