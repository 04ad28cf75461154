"""The two subscriptions of one connection: all logs that are wanted, and new heads.

Owns their names, what is pushed before a name is known, and the renewal of one that is dead while the node lives
(`producers.node.subscription_watch` has the evidence).  What a notice means is `producers.feed`'s business.

    open --eth_subscribe twice--> both answered: `confirmed` is called          refused, or no name: `refused` says why
    judge: dead, and the node lives --eth_subscribe--> answered: `confirmed` is called again

A head counts as live, that is, its logs are trusted to be pushed, only if the log subscription was confirmed before it
came, and never the first one of a connection: heads and logs of one block arrive in either order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.node.hex import read_optional_quantity
from producers.node.jsonrpc import DISCONNECTED, TEXT, UNREADABLE, Failure, JsonRpc, Notice
from producers.node.subscription_watch import Subscribed, SubscriptionWatch

MAX_EARLY_SIZE = 16 << 20
"""Bytes kept of notifications that came before the answer to their eth_subscribe, and `EARLY_OVERHEAD` for each."""
EARLY_OVERHEAD = 1 << 9
MOST_RETIRED = 64


class Subscriptions:
    """Of one endpoint after the other; `open` begins anew."""

    def __init__(
        self,
        rpc: JsonRpc,
        log_filter: dict[str, object],
        confirmed: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self._rpc, self._filter, self._confirmed, self._refused = rpc, log_filter, confirmed, refused
        self.logs: str | None = None
        """Name of the log subscription; None while it is unknown."""
        self.heads: str | None = None
        """Name of the head subscription; None while it is unknown."""
        self._retired: set[str] = set()
        """Names that were replaced: what they still push is used by the new one too."""
        self._early: list[Notice] = []
        self._early_size = 0
        self._watch = SubscriptionWatch()
        self.heads_follow = False
        """A head came since the log subscription was confirmed: the logs of the next one are pushed whole."""
        self.renewed = 0

    def open(self) -> None:
        """A connection is open."""
        self.logs = self.heads = None
        self._retired.clear()
        self._early.clear()
        self._early_size = 0
        self._watch.restart(self._rpc.clock.now_ns)
        self.heads_follow = False
        for which in Subscribed:
            self._subscribe(which)

    def keep(self, notice: Notice) -> bool:
        """Keep a notice whose name is not known yet, for `take_kept`; False if there is no room."""
        if self._early_size + len(notice.result) > MAX_EARLY_SIZE:
            return False
        self._early.append(notice)
        self._early_size += len(notice.result) + EARLY_OVERHEAD
        return True

    def take_kept(self) -> list[Notice]:
        """What was kept, in order."""
        kept, self._early = self._early, []
        return kept

    def is_retired(self, name: str) -> bool:
        """Whether a subscription of this name was replaced."""
        return name in self._retired

    def head_is_live(self) -> bool:
        """A head was pushed: are its logs pushed whole?"""
        live = self.logs is not None and self.heads_follow
        self.heads_follow = self.heads_follow or self.logs is not None
        return live

    def head_pushed(self, *, has_logs: bool) -> None:
        """A head came; `has_logs` if its bloom filter shows logs that are subscribed to."""
        self._watch.head_pushed(has_logs=has_logs)

    def judge(self, last_pushed: str | None, adopted: int, said: int) -> None:
        """Subscribe anew to what is pushed no more, while the node lives.

        `last_pushed` is the block number of the newest log that was pushed since the last call, None if none was;
        `adopted` that of the newest block that we follow; `said` that of the node's newest as it last said, -1 before.
        """
        if self.logs is None or self.heads is None:
            return
        now_ns = self._rpc.clock.now_ns
        if last_pushed is not None:
            self._watch.log_pushed(read_optional_quantity(last_pushed), adopted, now_ns)
        self._watch.known(said, adopted, now_ns)
        dead = self._watch.dead(now_ns)
        if dead is not None:
            self._watch.renewed(dead, now_ns)
            self._renew(dead)

    def _renew(self, which: Subscribed) -> None:
        self.renewed += 1
        self._rpc.remark(f"dead {which}", f"the {which} subscription is dead: subscribed anew")
        old = self.logs if which is Subscribed.LOGS else self.heads
        if len(self._retired) < MOST_RETIRED and old is not None:
            self._retired.add(old)
        self._name(which, None)
        if which is Subscribed.LOGS:
            self.heads_follow = False
        self._subscribe(which)
        self._rpc.ask("eth_unsubscribe", [old], lambda result, failure: None, quiet=True)

    def _subscribe(self, which: Subscribed) -> None:
        parameters = [which, self._filter] if which is Subscribed.LOGS else [which]
        self._rpc.ask("eth_subscribe", parameters, partial(self._on_name, which))

    def _on_name(self, which: Subscribed, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._name(which, None)
        if failure is DISCONNECTED:
            return
        if failure is not None:
            self._refused(f"eth_subscribe was refused: {failure.message[:200]}")
            return
        try:
            self._name(which, TEXT.decode(result or b""))
        except UNREADABLE:
            self._refused("eth_subscribe was answered without an id")
            return
        if self.logs and self.heads:
            self._confirmed()

    def _name(self, which: Subscribed, name: str | None) -> None:
        if which is Subscribed.LOGS:
            self.logs = name
        else:
            self.heads = name
