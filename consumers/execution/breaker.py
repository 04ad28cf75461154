"""The circuit breaker: after too many failures, or too much loss, nothing is attempted for a while.

    CLOSED --failures, loss or shortfall--> OPEN --cool-down is over--> HALF_OPEN --one attempt: filled--> CLOSED
                                             ^                              |
                                             +------------- failed ---------+

Owns the transitions.  Its state is what the executor's own messages say (`took` an attempt, `went` to a state), so that
a restart restores it.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import NamedTuple

from consumers.execution.config import ExecutionConfig
from tlv.codes import BreakerState, OrderReason
from tlv.layout import CircuitBreaker

JUDGED_FILLS = 10
"""So many fills are judged together for what they fell short of."""


class AttemptOutcome(NamedTuple):
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
        self._last: AttemptOutcome | None = None
        self._window: deque[AttemptOutcome] = deque()
        """The last `breaker_blocks` of blocks, since it went to its state."""
        self._net_wei = 0
        """Of the window."""
        self._stated: deque[AttemptOutcome] = deque(maxlen=JUDGED_FILLS)
        """The last fills of which something was expected."""

    def took(self, attempt: AttemptOutcome) -> None:
        """An attempt was made."""
        self._last = attempt
        self.failures = 0 if attempt.filled else self.failures + 1
        self._window.append(attempt)
        self._net_wei += attempt.net_wei
        while self._window[0].block_number <= attempt.block_number - self._config.breaker_blocks:
            self._net_wei -= self._window.popleft().net_wei
        if attempt.filled and attempt.expected_gross_wei > 0:
            self._stated.append(attempt)

    def went(self, record: CircuitBreaker) -> None:
        """It was published that it went to a state."""
        self.state, self.until_block = BreakerState(record.state), record.until_block
        self._last, self._net_wei = None, 0
        self._window.clear()
        self._stated.clear()
        if self.state is not BreakerState.HALF_OPEN:
            self.failures = 0

    def loss_at(self, block_number: int) -> int:
        """Net loss of the attempts within the last `breaker_blocks`; 0 if they earned."""
        since = block_number - self._config.breaker_blocks
        before = sum(one.net_wei for one in takewhile(lambda one: one.block_number <= since, self._window))
        return max(before - self._net_wei, 0)

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
                if self._last is None:
                    return None
                if self._last.filled:
                    return self._record(block_number, BreakerState.CLOSED, OrderReason.NONE)
                return self._record(block_number, BreakerState.OPEN, OrderReason.FAILURES)

    def _fault(self, block_number: int) -> OrderReason:
        if self.failures >= self._config.breaker_failures:
            return OrderReason.FAILURES
        if (loss := self.loss_at(block_number)) and loss >= self._config.breaker_loss_wei:
            return OrderReason.LOSS
        expected = sum(one.expected_gross_wei for one in self._stated)
        short = expected - sum(one.gross_wei for one in self._stated)
        if len(self._stated) == JUDGED_FILLS and short * 100 > expected * self._config.breaker_shortfall_percent:
            return OrderReason.PREDICTION
        return OrderReason.NONE

    def _record(self, block_number: int, state: BreakerState, reason: OrderReason) -> CircuitBreaker:
        until = block_number + self._config.cool_down_blocks if state is BreakerState.OPEN else 0
        return CircuitBreaker(block_number, until, self.loss_at(block_number), self.failures, state, reason)
