"""The eth_getLogs questions for a block or a range: in one piece, or in parts that this endpoint answers.

Owns the form of the questions, and what is learnt from refusals.  It must never decide what follows from the logs, nor
when to ask again: `producers.blocks.backfill` does.

    PLAIN      everything that is subscribed to                  while nothing is known against it
    TOPICS     only our events, all in one question              the answer was too large: most logs are others'
    EACH       our events, a question for each topic             so was that
    POOLS      our events of known pools, some pools a question  so was that, or addresses are required
               and of whoever emitted what came of the block

TOPICS and EACH give every event, POOLS those of known pools only (`of_known`); none of them shows the log indices of
other logs, so their lists are not `whole`.  An endpoint that needs addresses is asked without them again after
`AGAIN_NS`: it may be another backend, or another day.  How a block must be asked is remembered over connections: an
answer that is too large ends one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial
from typing import Any

import msgspec

from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.kinds.emitter_key import address_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import DISCONNECTED, LOGS, TOO_LARGE, UNREADABLE, Failure, Rejection
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
from tlv.units import NS

AGAIN_NS = 60 * NS
POOLS_AT_ONCE = 200
"""Addresses of one question: providers allow 1,000 to 10,000, and 200 are 9 kB."""
MOST_REMEMBERED = 1024
"""Blocks whose form is remembered."""
UNREAD = Failure(None, "the list of logs cannot be read")
NOBODY_TO_ASK = Failure(-32701, "addresses are required, and no pool is known yet")


class Form(IntEnum):
    """How the logs of a block are asked for; each later form asks for less at once."""

    PLAIN = 0
    TOPICS = 1
    EACH = 2
    POOLS = 3


class Listed:
    """What came of one question, or of all its parts."""

    def __init__(self, parts: int, *, whole: bool, of_known: bool = False) -> None:
        self.logs: list[Log] = []
        self.failure: Failure | None = None
        self.whole = whole
        """It would hold every log that is subscribed to, so that a hole in the indices shows a loss."""
        self.of_known = of_known
        """It has nothing of pools that are neither known nor named with the question."""
        self.awaited = parts


Then = Callable[[Listed], None]
"""Called once, with all logs or with a failure."""


class LogQueries:
    """Asks one endpoint after the other for logs."""

    def __init__(self, context: Context, table: PoolTable) -> None:
        self._rpc, self._capabilities, self._filter = context.rpc, context.capabilities, context.log_filter
        self._table, self._clock = table, context.clock
        self._needed_ns = -AGAIN_NS
        """When addresses were last found not to be needed, or it was last tried."""
        self._forms: dict[str, Form] = {}

    def ask_block(self, block_hash: str, number: int, then: Then, emitters: Iterable[str] = ()) -> None:
        """Every log of a block; logs of another block may be among them where hashes are not understood.

        Where addresses are required, `emitters` are named beside the known pools."""
        form = self._form_of(block_hash)
        by_hash = self._capabilities.logs_by_hash
        place: dict[str, object] = (
            {"blockHash": block_hash} if by_hash else {"fromBlock": hex(number), "toBlock": hex(number)}
        )
        self._ask(place, form, partial(self._on_block, block_hash, number, form, then, emitters), emitters)

    def ask_range(self, first: int, last: int, then: Then, emitters: Iterable[str] = ()) -> None:
        """Every log of the blocks of these numbers."""
        place: dict[str, object] = {"fromBlock": hex(first), "toBlock": hex(last)}
        form = self._least_form()
        self._ask(place, form, partial(self._on_range, first, last, form, then, emitters), emitters)

    def forget(self, block_hash: str) -> None:
        """The block need not be asked for any more."""
        self._forms.pop(block_hash, None)

    def _least_form(self) -> Form:
        if "address" in self._filter:
            return Form.PLAIN
        now_ns = self._clock.now_ns
        if not self._capabilities.logs_without_address and now_ns - self._needed_ns < AGAIN_NS:
            return Form.POOLS
        self._needed_ns = now_ns
        return Form.PLAIN

    def _form_of(self, block_hash: str) -> Form:
        return max(self._forms.get(block_hash, Form.PLAIN), self._least_form())

    def _ask(self, place: dict[str, object], form: Form, then: Then, emitters: Iterable[str]) -> None:
        filters = self._filters(form, emitters)
        of_known = form is Form.POOLS and "address" not in self._filter
        listed = Listed(len(filters), whole=form is Form.PLAIN, of_known=of_known)
        if not filters:
            listed.failure = NOBODY_TO_ASK
            then(listed)
        for members in filters:
            self._rpc.ask("eth_getLogs", [{**place, **members}], partial(self._take, listed, then))

    def _filters(self, form: Form, emitters: Iterable[str]) -> list[dict[str, Any]]:
        """The members that make the parts; those of the subscription's own filter stay."""
        topics = self._topics()
        if form is Form.PLAIN:
            return [self._filter]
        if form is Form.TOPICS:
            return [{**self._filter, "topics": [topics]}]
        if form is Form.EACH:
            return [{**self._filter, "topics": [[topic]]} for topic in topics]
        known = dict.fromkeys(map(address_of, self._table.row_of)) | dict.fromkeys(emitters)
        pools = self._filter.get("address") or list(known)
        assert isinstance(pools, list)
        step = POOLS_AT_ONCE
        return [{"address": pools[at : at + step], "topics": [topics]} for at in range(0, len(pools), step)]

    def _topics(self) -> list[str]:
        return sorted(EVENT_OF_TOPIC)

    def _take(self, listed: Listed, then: Then, result: msgspec.Raw | None, failure: Failure | None) -> None:
        """One part."""
        listed.awaited -= 1
        if result is not None:
            try:
                listed.logs += LOGS.decode(result)
            except UNREADABLE as error:
                self._rpc.reject(Rejection.BAD_LOG, error)
                failure = UNREAD
        if failure is not None and listed.failure is not TOO_LARGE:
            listed.failure = failure
        if not listed.awaited:
            then(listed)

    def _on_block(
        self, block_hash: str, number: int, form: Form, then: Then, emitters: Iterable[str], listed: Listed
    ) -> None:
        failure = listed.failure
        if failure is None or failure is DISCONNECTED or failure is NOBODY_TO_ASK:
            self._note_success(form, failure)
            then(listed)
        elif failure.meaning is Meaning.SIZE and form is not Form.POOLS:
            self._remember(block_hash, Form(form + 1))
            if failure is TOO_LARGE:
                listed.failure = DISCONNECTED
                then(listed)  # the next connection asks in the next form
            else:
                self.ask_block(block_hash, number, then, emitters)
        elif self._learn(failure, form):
            self.ask_block(block_hash, number, then, emitters)
        else:
            then(listed)

    def _on_range(self, first: int, last: int, form: Form, then: Then, emitters: Iterable[str], listed: Listed) -> None:
        if listed.failure is not None and self._learn(listed.failure, form):
            self.ask_range(first, last, then, emitters)
        else:
            self._note_success(form, listed.failure)
            then(listed)

    def _note_success(self, form: Form, failure: Failure | None) -> None:
        if failure is None and form is not Form.POOLS:
            self._capabilities.logs_without_address = True

    def _learn(self, failure: Failure, form: Form) -> bool:
        """Whether the refusal shows that another form must be used, which is known from now on."""
        known, meaning = self._capabilities, failure.meaning
        if meaning is Meaning.POLICY and form is not Form.POOLS and "address" not in self._filter:
            known.logs_without_address = False
        elif meaning is Meaning.UNSUPPORTED and known.logs_by_hash and not failure.ranged:
            known.logs_by_hash = False
        else:
            return False
        for words in known.shortcomings:
            self._rpc.remark(words, words)
        return True

    def _remember(self, block_hash: str, form: Form) -> None:
        while len(self._forms) >= MOST_REMEMBERED:
            del self._forms[next(iter(self._forms))]
        self._forms[block_hash] = form
        self._rpc.remark(
            f"form {form}", f"the logs of a block are too many for one answer: asked in parts ({form.name})"
        )
