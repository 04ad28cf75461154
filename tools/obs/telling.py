"""One receiver of messages, its queue and its thread: whatever the receiver does, nobody else waits for it.

Owns what waits to be told, when it is tried, and what became of it.  It must never know how a message is sent, nor
what stands in a receiver's URL.

    empty --notice--> gathering --GATHER_S--> sending --taken--> empty
                         ^                       |
                         +------- back-off <-----+ refused, away: everything that waits goes into one message then
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.obs.messages import NoticeMessage, ToldLine, message_of

log = logging.getLogger("alphapulse.obs")

GATHER_S = 2.0
"""What falls together is told together."""
BURST, BURST_S = 5, 60.0
"""So many messages within so many seconds, and no more: then what comes waits for one message."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""After a failure; doubled with each more."""
MOST_WAITING = 512
"""Notices.  Of more the oldest are dropped, counted, and told as a number."""
HANGS_S = 60.0
"""A receiver that has had a message for so long and neither took nor refused it."""


@dataclass(frozen=True)
class ReceiverStat:
    """One receiver at one moment."""

    receiver: str
    """Its number in the file, and its service."""
    problem: str
    """Why it takes nothing; empty if it does, or nothing was sent yet."""
    waiting: int
    """Notices that are to be delivered."""
    delivered: int
    dropped: int
    """Notices given up since too many waited."""
    messages: int
    failures: int
    """Attempts that delivered nothing."""


class ReceiverLine:
    """Tells one receiver.

    Args:
        name: what the receiver is called in logs, metrics and answers.
        send: delivers a message; the reason if it could not, else an empty text.  May take any time.
        host: what messages call this machine.
    """

    def __init__(self, name: str, send: Callable[[NoticeMessage], str], host: str) -> None:
        self.name = name
        self._send = send
        self._host = host
        self._changed = threading.Condition()
        self._waiting: deque[ToldLine] = deque()
        self._sending: list[ToldLine] = []
        self._sending_since: float | None = None
        self._dropped_untold = 0
        self._delivered = self._dropped = self._messages = self._failures = 0
        self._failed_in_a_row = 0
        self._problem = ""
        self._closing = False
        self._sent_at: deque[float] = deque(maxlen=BURST)
        # A daemon: what hangs in a receiver must not keep the process.
        self._thread = threading.Thread(target=self._run, name=f"notify-{name}", daemon=True)
        self._thread.start()

    def put(self, lines: Sequence[ToldLine]) -> None:
        """Tell this as soon as the receiver takes it.  Waits for nothing."""
        with self._changed:
            self._waiting.extend(lines)
            self._drop_the_oldest()
            self._changed.notify()

    def stat(self) -> ReceiverStat:
        """How it stands."""
        with self._changed:
            problem = self._problem
            since = self._sending_since
            if since is not None and (lasts_s := time.monotonic() - since) > HANGS_S:
                problem = f"has had a message for {lasts_s:.0f} s and neither took nor refused it"
            return ReceiverStat(
                receiver=self.name,
                problem=problem,
                waiting=len(self._waiting) + len(self._sending),
                delivered=self._delivered,
                dropped=self._dropped,
                messages=self._messages,
                failures=self._failures,
            )

    def close(self) -> None:
        """Try once more what waits, at once, and end; `join` waits for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting)
                self._changed.wait_for(lambda: self._closing, self._pause_s())
                closing = self._closing
                if not self._waiting:
                    continue
                self._sending, dropped = list(self._waiting), self._dropped_untold
                self._waiting.clear()
                self._sending_since = time.monotonic()
            problem = self._send(message_of(self._sending, self._host, dropped))
            with self._changed:
                self._settle(problem, dropped)

    def _pause_s(self) -> float:
        """How long to gather, or to leave the receiver alone, before the next attempt."""
        if self._failed_in_a_row:
            return min(FIRST_PAUSE_S * 2.0 ** min(self._failed_in_a_row - 1, 16), LONGEST_PAUSE_S)
        if len(self._sent_at) < BURST:
            return GATHER_S
        return max(GATHER_S, self._sent_at[0] + BURST_S - time.monotonic())

    def _settle(self, problem: str, dropped: int) -> None:
        lines, self._sending, self._sending_since = self._sending, [], None
        if not problem:
            self._messages += 1
            self._delivered += len(lines)
            self._dropped_untold -= dropped
            self._failed_in_a_row = 0
            self._sent_at.append(time.monotonic())
            if self._problem:
                log.warning("receiver %s takes messages again", self.name)
        else:
            self._failures += 1
            self._failed_in_a_row += 1
            self._waiting.extendleft(reversed(lines))
            self._drop_the_oldest()
            if problem != self._problem:
                log.warning(
                    "receiver %s: %s; %d notices wait, and are tried again", self.name, problem, len(self._waiting)
                )
        self._problem = problem

    def _drop_the_oldest(self) -> None:
        surplus = len(self._waiting) + len(self._sending) - MOST_WAITING
        for _ in range(min(surplus, len(self._waiting))):
            self._waiting.popleft()
            self._dropped += 1
            self._dropped_untold += 1
