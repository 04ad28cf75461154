"""One validation over time: reading the ring, and now and then holding it against the node.

Owns the clock and the two threads.  What messages mean is the ledger's business, what is true the witness's, who runs
that of `processes`.

    main thread     ring --> ledger, all the time, so that latencies are those of a reader that does nothing else
    second thread   witness: asks the node again, decodes with eth-abi
    child process   alphapulse collect --> ring             (see `processes`)

The node and the ring move on while they are compared: the collector gets time to reach the newest block that the node
has at the report, and blocks that differ are read again, one by one, until they agree or patience ends.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ringbuf import Reader, Status
from tlv.codes import Completeness
from tlv.errors import FeedError, SegmentError
from tools.command.supervisor import Child, Supervisor
from tools.validate.judgement import Judgement, judge
from tools.validate.ledger import NEVER, RingLedger
from tools.validate.owed import Owed
from tools.validate.report import Report, most_still_s
from tools.validate.witness import NodeWitness, Testimony

WAIT_S = 0.05
CHECK_S = 0.2
FRAMES = 4096
"""Read at once, at most."""
DOUBT_S = 30.0
"""How long ring and node may differ over a block before it counts."""
DOUBT_PAUSE_S = 1.0
COUNTED = ("reconnects", "backfills", "refetches", "repairs", "duplicates", "lookalikes", "quarantined_logs", "pools")
"""Counters of the collector that a report shows."""

Answer = TypeVar("Answer")
Progress = Callable[["ValidationRun"], None]


class ValidationRun:
    """A running validation; made by `processes.running`."""

    def __init__(
        self, witness: NodeWitness, supervisor: Supervisor, collector: Child, reader: Reader, stats: Path
    ) -> None:
        self.ledger = RingLedger(idles=not witness.chain.block_time_s)
        self._owed = Owed()
        self.interrupted = supervisor.interrupted
        self._witness, self._supervisor, self._collector = witness, supervisor, collector
        self._reader, self._stats = reader, stats
        self._worker = ThreadPoolExecutor(1)
        self._began = time.monotonic()
        self._before: Counter[str] = Counter()

    def watch(self, seconds: float, progress: Progress) -> None:
        """Read the ring for so long, or until the user asks to stop."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.interrupted():
            self._read_for(min(CHECK_S, max(deadline - time.monotonic(), 0)))
            progress(self)

    def report(self) -> Report:
        """Judge every block that was closed and not judged before, and forget it.

        A node that cannot be asked again fails the report, not the run: every block is unread then.
        """
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        most_s = most_still_s(self._witness.chain.block_time_s)
        newest = self._catch_up(most_s)
        window = self.ledger.turn()
        first, last = self.ledger.first, self.ledger.closed
        self.ledger.measuring = False
        testimony, judgement = self._compare(first, last) if last >= first >= 0 else (Testimony(), Judgement())
        self.ledger.measuring = True
        healed = self._owed.healed
        self._owed.settle(self.ledger, judgement)
        self._owed.add(judgement)
        for name in NEVER:
            window.counts[name] += self.ledger.window.counts.pop(name, 0)
        window.complaints += self.ledger.window.complaints
        self.ledger.window.complaints = []
        collected, in_ring = self._collected()
        report = Report(
            seconds=seconds,
            first=first,
            last=last,
            window=window,
            judgement=judgement,
            behind=max(newest - self.ledger.passed, 0) if self.ledger.passed >= 0 else 0,
            held_back=len(self._owed),
            healed=self._owed.healed - healed,
            unread=len(testimony.unread),
            unreadable_logs=testimony.unreadable_logs,
            emitters=self._witness.emitters.counts(),
            verdicts=self._verdicts(first, last),
            receive_to_ring=in_ring,
            collected=collected,
            most_still_s=most_s,
        )
        if last >= first >= 0:
            self.ledger.forget(last)
        return report

    def last_words(self) -> str:
        """What the collector said on stderr in the end."""
        return self._collector.last_words()

    def close(self) -> None:
        """Detach from the ring; the processes are the supervisor's."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._reader.close()

    def _catch_up(self, patience_s: float) -> int:
        """The node's newest block, which the collector gets some time to reach; -1 if the node does not say."""
        newest = self._beside(self._witness.newest)
        deadline = time.monotonic() + patience_s
        while -1 < self.ledger.passed < newest and time.monotonic() < deadline:
            self._read_for(WAIT_S)
        return newest

    def _compare(self, first: int, last: int) -> tuple[Testimony, Judgement]:
        """Ring against node, until they agree or patience ends."""
        testimony = self._read_again(range(first, last + 1), singly=False)
        patience = time.monotonic() + DOUBT_S
        while True:
            judgement = judge(self.ledger, testimony)
            doubtful = judgement.doubtful | testimony.unread
            if not (doubtful or judgement.held_back) or time.monotonic() > patience:
                return testimony, judgement
            self._read_for(DOUBT_PAUSE_S)
            if doubtful:
                testimony.correct(self._read_again(doubtful, singly=True))

    def _read_again(self, numbers: Iterable[int], *, singly: bool) -> Testimony:
        """The witness's word, while this thread goes on reading the ring.  Without one, no block was read."""
        pools = dict(self.ledger.pools)
        try:
            return self._beside(partial(self._witness.read, numbers, pools, singly=singly))
        except FeedError as error:
            self.ledger.complain(str(error))
            return Testimony(unread=set(numbers))

    def _beside(self, ask: Callable[[], Answer]) -> Answer:
        """What the other thread finds out, while this one reads the ring."""
        work = self._worker.submit(ask)
        while not work.done():
            self._read_for(WAIT_S)
        return work.result()

    def _read_for(self, seconds: float) -> None:
        """Everything that the ring brings within so many seconds.

        Raises:
            ChildFailed: the collector ended.
            SegmentError: the ring is damaged.
        """
        self._supervisor.check()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            status = self._reader.wait(min(left, WAIT_S))
            poll = self._reader.poll(FRAMES)
            if poll.loss is not None:
                self.ledger.lose(poll.loss.first, poll.loss.last)
            self.ledger.take(poll)
            if poll.status is Status.CORRUPT:
                raise SegmentError(f"ring {self._reader.name}: no frame after sequence {self._reader.sequence - 1}")
            if status not in (Status.OK, Status.EMPTY):
                time.sleep(WAIT_S)  # closed, dead or stale: the supervisor finds out why

    def _verdicts(self, first: int, last: int) -> Counter[str]:
        ends = (self.ledger.ends.get(self.ledger.blocks.get(number, b"")) for number in range(first, last + 1))
        return Counter(Completeness(end.verdict).name.lower() for end in ends if end is not None)

    def _collected(self) -> tuple[Counter[str], dict[str, int] | None]:
        """What the collector counted since the last report, and its latency; it rewrites its file every second."""
        try:
            values: dict[str, Any] = json.loads(self._stats.read_text())
        except FileNotFoundError:
            return Counter(), None
        now = Counter({name: values[name] for name in COUNTED})
        since = Counter({name: now[name] - self._before[name] for name in COUNTED})
        self._before = now
        return since, values["latency_ns"]["receive_to_ring"] if values["events_published"] else None
