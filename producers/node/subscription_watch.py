"""Whether a subscription is dead on a connection that lives (web3.py#3689).

Owns the evidence.  It must never subscribe: `producers.feed` does.  Times come as arguments.

    logs are dead     `BLOCKS` blocks whose bloom filter shows logs of ours were announced, and `DEAD_NS` have passed,
                      since a log was last pushed
    heads are dead    logs of a block above the newest one that was adopted are pushed, or the node says that its newest
                      block is above that, and no head for `DEAD_NS`

A chain without logs, or an idle one, shows neither.  After a renewal the evidence begins anew, with twice the patience.
"""

from __future__ import annotations

from enum import StrEnum

from tlv.units import NS

BLOCKS = 3
DEAD_NS = 5 * NS
LONGEST_NS = 160 * NS


class Subscribed(StrEnum):
    """What an eth_subscribe is for."""

    LOGS = "logs"
    HEADS = "newHeads"


class SubscriptionWatch:
    """The signs of life of both subscriptions of one connection."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, now_ns: int) -> None:
        """A connection begins."""
        self._patience_ns = dict.fromkeys(Subscribed, DEAD_NS)
        self._log_ns = now_ns
        self._silent_blocks = 0
        self._behind_ns: int | None = None

    def head_pushed(self, *, has_logs: bool) -> None:
        """A head came; `has_logs` if its bloom filter shows logs that are subscribed to."""
        self._behind_ns = None
        self._silent_blocks += has_logs

    def log_pushed(self, number: int, adopted: int, now_ns: int) -> None:
        """A log of this block came, of several at once the last will do; `adopted`: the newest block that we follow, -1
        for none.  What a head says of its own number proves nothing."""
        self._log_ns, self._silent_blocks = now_ns, 0
        self.known(number, adopted, now_ns)

    def known(self, number: int, adopted: int, now_ns: int) -> None:
        """The node has a block of this number."""
        if 0 <= adopted < number and self._behind_ns is None:
            self._behind_ns = now_ns

    def dead(self, now_ns: int) -> Subscribed | None:
        """The subscription to renew now, if there is one."""
        if self._silent_blocks >= BLOCKS and now_ns - self._log_ns > self._patience_ns[Subscribed.LOGS]:
            return Subscribed.LOGS
        if self._behind_ns is not None and now_ns - self._behind_ns > self._patience_ns[Subscribed.HEADS]:
            return Subscribed.HEADS
        return None

    def renewed(self, which: Subscribed, now_ns: int) -> None:
        """It was subscribed to anew."""
        self._patience_ns[which] = min(2 * self._patience_ns[which], LONGEST_NS)
        if which is Subscribed.LOGS:
            self._log_ns, self._silent_blocks = now_ns, 0
        else:
            self._behind_ns = None
