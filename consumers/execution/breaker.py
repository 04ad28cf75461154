"""The circuit breaker: after too many failures, or too much loss, nothing is attempted for a while.

    CLOSED --failures, loss or shortfall--> OPEN --cool-down is over--> HALF_OPEN --one attempt: filled--> CLOSED
                                             ^                              |
                                             +------------- failed ---------+

Owns the transitions.  Its state is what the executor's own messages say (`took` an attempt, `went` to a state), so that
a restart restores it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from consumers.execution.config import ExecutionConfig
from tlv.codes import BreakerState, OrderReason
from tlv.layout import CircuitBreaker

JUDGED_FILLS = 10
"""So many fills are judged together for what they fell short of."""
KEPT_ATTEMPTS = 100_000


class Attempt(NamedTuple):
    """What an attempt did, in wei of the chain's coin."""

    block_number: int
    filled: bool
    net_wei: int
    expected_gross_wei: int
    """0 if its strategy stated none."""
    gross_wei: int


class Breaker:
    """State, and what it follows from."""

    def __init__(self, config: ExecutionConfig) -> None:
        self._config = config
        self.state = BreakerState.CLOSED
        self.until_block = 0
        self.failures = 0
        """Attempts that failed since the last that was filled, or since it closed."""
        self._attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        """Since it closed."""

    def took(self, attempt: Attempt) -> None:
        """An attempt was made."""
        self._attempts.append(attempt)
        self.failures = 0 if attempt.filled else self.failures + 1

    def went(self, record: CircuitBreaker) -> None:
        """It was published that it went to a state."""
        self.state, self.until_block = BreakerState(record.state), record.until_block
        self._attempts.clear()
        if self.state is not BreakerState.HALF_OPEN:
            self.failures = 0

    def loss_at(self, block_number: int) -> int:
        """Net loss of the attempts within the last `breaker_blocks`; 0 if they earned."""
        since = block_number - self._config.breaker_blocks
        return max(-sum(one.net_wei for one in self._attempts if one.block_number > since), 0)

    def due(self, block_number: int) -> CircuitBreaker | None:
        """The transition that is due at the end of this block, if any."""
        match self.state:
            case BreakerState.CLOSED:
                reason = self._fault(block_number)
                return self._record(block_number, BreakerState.OPEN, reason) if reason else None
            case BreakerState.OPEN:
                over = block_number > self.until_block
                return self._record(block_number, BreakerState.HALF_OPEN, OrderReason.COOLED_DOWN) if over else None
            case BreakerState.HALF_OPEN:
                if not self._attempts:
                    return None
                if self._attempts[-1].filled:
                    return self._record(block_number, BreakerState.CLOSED, OrderReason.NONE)
                return self._record(block_number, BreakerState.OPEN, OrderReason.FAILURES)

    def _fault(self, block_number: int) -> OrderReason:
        if self.failures >= self._config.breaker_failures:
            return OrderReason.FAILURES
        if (loss := self.loss_at(block_number)) and loss >= self._config.breaker_loss_wei:
            return OrderReason.LOSS
        stated = [one for one in self._attempts if one.filled and one.expected_gross_wei > 0][-JUDGED_FILLS:]
        expected = sum(one.expected_gross_wei for one in stated)
        short = expected - sum(one.gross_wei for one in stated)
        if len(stated) == JUDGED_FILLS and short * 100 > expected * self._config.breaker_shortfall_percent:
            return OrderReason.PREDICTION
        return OrderReason.NONE

    def _record(self, block_number: int, state: BreakerState, reason: OrderReason) -> CircuitBreaker:
        until = block_number + self._config.cool_down_blocks if state is BreakerState.OPEN else 0
        return CircuitBreaker(block_number, until, self.loss_at(block_number), self.failures, state, reason)
