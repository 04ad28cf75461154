"""Alerts without Prometheus: looks at the pipeline, and tells the receivers of a file what a person should know.

Owns the clocks, and what begins and ends.  What is worth telling is decided in `tools.obs.noticing`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Sequence

from tools.command.say import say
from tools.obs.conditions import Condition, judge
from tools.obs.lasting import judge_anomalies
from tools.obs.look import Looking
from tools.obs.messages import NoticeMessage, line_of, utc
from tools.obs.noticing import Noticing
from tools.obs.receivers import Receiver
from tools.obs.rises import Rising
from tools.obs.telling import ReceiverLine, ReceiverStat

log = logging.getLogger("alphapulse.obs")

LOOK_EVERY_S = 1.0
CLOSING_S = 3.0
"""For the last attempt, of all receivers at once."""
TEST_S = 30.0
"""For a receiver's answer to a test message."""


class Notifying:
    """Tells `receivers` of conditions that are unmet, or met again, for `after_s`."""

    def __init__(self, looking: Looking, receivers: Sequence[Receiver], after_s: float) -> None:
        host = socket.gethostname()
        self._looking = looking
        self._noticing, self._rising = Noticing(after_s), Rising()
        self._lines = [ReceiverLine(receiver.name, receiver.send, host) for receiver in receivers]

    async def watch(self) -> None:
        """Look, and tell, until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Look once, and tell what is to be told."""
        look, now_s = self._looking.look(), time.monotonic()
        conditions = [*judge(look), *self._rising.advance(look, now_s), *judge_anomalies(look)]
        conditions += map(of_receiver, self.stats())
        notices = self._noticing.advance(conditions, now_s)
        if notices:
            offset_s = time.time() - now_s
            told = [line_of(notice, offset_s) for notice in notices]
            for line in self._lines:
                line.put(told)

    def stats(self) -> list[ReceiverStat]:
        """How each receiver stands."""
        return [line.stat() for line in self._lines]

    def close(self) -> None:
        """Try once more what waits, and say what could not be delivered."""
        deadline = time.monotonic() + CLOSING_S
        for line in self._lines:
            line.close()
        for line in self._lines:
            line.join(max(deadline - time.monotonic(), 0.0))
        for stat in self.stats():
            if stat.waiting or stat.dropped:
                log.warning(
                    "receiver %s: %d notices were not delivered, %d were dropped before: %s",
                    *(stat.receiver, stat.waiting, stat.dropped, stat.problem or "it did not answer in time"),
                )


def of_receiver(stat: ReceiverStat) -> Condition:
    """Whether a receiver takes messages: the others are told, and it itself when it is back."""
    text = stat.problem or "takes messages"
    return Condition("receiver", stat.receiver, not stat.problem, text, "takes messages", text)


def send_test(receivers: Sequence[Receiver], as_json: bool) -> int:
    """Send one message through every receiver, and say what became of it; 1 if one did not take it."""
    told = NoticeMessage(
        f"AlphaPulse on {socket.gethostname()}: test",
        f"{utc(time.time())} Sent by alphapulse obs --notify-test. Nothing is wrong.",
        good=True,
    )
    problems = dict.fromkeys(
        (receiver.name for receiver in receivers), f"neither took nor refused it within {TEST_S:.0f} s"
    )

    def send(receiver: Receiver) -> None:
        problems[receiver.name] = receiver.send(told)

    threads = [threading.Thread(target=send, args=(receiver,), daemon=True) for receiver in receivers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TEST_S
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    found = dict(problems)
    for name, problem in found.items():
        say(
            {"receiver": name, "ok": not problem, "problem": problem},
            f"receiver {name}: {problem or 'took the test message'}",
            as_json,
        )
    return int(any(found.values()))
