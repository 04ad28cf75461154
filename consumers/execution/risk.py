"""The limits that an order must keep, and the first that it breaks.

Owns the order of the checks and the unit of each number.  An approved decision states the value of what goes in as
`found`, and the exposure limit as `limit`.
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.execution.config import ExecutionConfig
from consumers.execution.ledger import Ledger
from consumers.execution.orders import Order
from tlv.codes import BreakerState, OrderReason

MOST_STATED = (1 << 255) - 1
"""What an I256 of a RiskDecision can hold; more is stated as this."""


class RiskVerdict(NamedTuple):
    """What was found against which limit; `reason` is NONE if the order may be attempted."""

    reason: OrderReason
    found: int = 0
    limit: int = 0

    @property
    def approved(self) -> bool:
        """Whether it may be attempted."""
        return self.reason is OrderReason.NONE


def weigh(
    order: Order, block_number: int, value_wei: int, held_wei: int, ledger: Ledger, config: ExecutionConfig
) -> RiskVerdict:
    """Whether an order may be attempted in a block.

    Args:
        value_wei: what goes in is worth.
        held_wei: what is held already of the token that comes out is worth.
    """
    if ledger.breaker.state is BreakerState.OPEN:
        return RiskVerdict(OrderReason.BREAKER_OPEN, block_number, ledger.breaker.until_block)
    lost = -ledger.total.net
    if lost > config.max_loss_wei:
        return RiskVerdict(OrderReason.LOSS, lost, config.max_loss_wei)
    attempts = ledger.attempts_in(block_number) + 1
    if attempts > config.max_orders_per_block:
        return RiskVerdict(OrderReason.RATE, attempts, config.max_orders_per_block)
    exposure = ledger.exposure_in(block_number) + value_wei
    if exposure > config.max_exposure_wei:
        return RiskVerdict(OrderReason.EXPOSURE, min(exposure, MOST_STATED), config.max_exposure_wei)
    position = held_wei + value_wei
    if not order.is_round_trip and position > config.max_position_wei:
        return RiskVerdict(OrderReason.POSITION, min(position, MOST_STATED), config.max_position_wei)
    return RiskVerdict(OrderReason.NONE, min(value_wei, MOST_STATED), min(config.max_exposure_wei, MOST_STATED))
