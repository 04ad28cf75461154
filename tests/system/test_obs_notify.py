"""`alphapulse obs --notify-file` as a process: a feed that dies and comes back, over receivers that take, refuse, are
away and hang; and what is told of it, and of a secret.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ringbuf import Writer
from tests.system.test_obs import PATIENCE_S, Asking, running
from tests.tools.obs.http_receiver import HttpReceiver, receivers_file, wait_until
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST

CANARY = "canaryb4410e6f"


@contextmanager
def observed(place: Path, ring: str, *urls: str, after: str = "1") -> Iterator[tuple[subprocess.Popen[str], Asking]]:
    """An obs that tells these receivers, at debug."""
    options = ("--notify-file", str(receivers_file(place, *urls)), "--notify-after", after)
    arguments = ("--log-level", "debug", "obs", "--port", "0", "--ring", ring, *options, "--json")
    with running(place, *arguments) as (process, ready):
        yield process, Asking(ready["url"])


def stat_of(asking: Asking, number: int = 0) -> dict[str, Any]:
    """How a receiver stands."""
    found: dict[str, Any] = json.loads(asking.get("/api/notify")[1])["receivers"][number]
    return found


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed on stderr until it ended well."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and "Traceback" not in err, err
    return out + err


class Feed:
    """A collector's heartbeats in its ring, several a second; `reason` is what they say."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.reason = FeedReason.OK

    def _run(self) -> None:
        while not self._ends.wait(0.2):
            publish(self._writer, beat(self.reason, held_back=0))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()


def test_obs_tells_of_a_dead_feed_and_its_end_once_each_though_another_receiver_refuses(
    ring_name: str, tmp_path: Path
) -> None:
    begun, over = f"endpoint of {ring_name} begun: feed is unreachable", f"endpoint of {ring_name} ended"
    with (
        HttpReceiver() as well,
        HttpReceiver(status=401) as refusing,
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        Feed(writer) as feed,
    ):
        urls = (f"ops={well.url(CANARY)}", refusing.url(f"{CANARY}?+Authorization={CANARY}"))
        with observed(tmp_path, ring_name, *urls) as (process, asking):
            assert CANARY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            asking.until("/readyz", lambda status, _: status == 200)
            feed.reason = FeedReason.UNREACHABLE
            wait_until(lambda: begun in well.text)
            refused = asking.until("/api/notify", lambda _, body: body["receivers"][1]["failures"])["receivers"]
            assert [stat["problem"] for stat in refused] == ["", "refused it with status 401"]
            assert refused[1]["waiting"] >= 1 and refused[1]["delivered"] == 0
            wait_until(lambda: "receiver of 2 (JSON) begun: refused it with status 401" in well.text)
            metrics = asking.get("/metrics")[1]
            assert 'alphapulse_notify_up{receiver="2 (JSON)"} 0.0' in metrics
            assert re.search(r'alphapulse_notify_failures_total\{receiver="2 \(JSON\)"\} [1-9]', metrics)
            feed.reason = FeedReason.OK
            wait_until(lambda: over in well.text)
            refusing.status = 200
            wait_until(lambda: over in refusing.text and "receiver of 2 (JSON) ended" in well.text)
            for receiver in (well, refusing):
                assert (receiver.text.count(begun), receiver.text.count(over)) == (1, 1)
            answers = metrics + asking.get("/metrics")[1] + asking.get("/api/notify")[1] + asking.get("/readyz")[1]
            said = ended(process)
    assert said.count("receiver 2 (JSON): refused it with status 401") == 1
    assert said.count("receiver 2 (JSON) takes messages again") == 1
    assert "not delivered" not in said
    assert CANARY not in answers + said + well.text + refusing.text


def test_obs_with_a_receiver_that_hangs_answers_ends_and_says_what_it_could_not_tell(
    ring_name: str, tmp_path: Path
) -> None:
    """It finds the ring missing as it begins, as after a restart while a trouble lasts."""
    with HttpReceiver() as hanging:
        hanging.hangs.set()
        with observed(tmp_path, ring_name, hanging.url(f"{CANARY}?rto=3600"), after="0") as (process, asking):
            wait_until(lambda: hanging.asked)
            assert "alphapulse_notify_waiting" in asking.get("/metrics")[1]
            assert stat_of(asking)["waiting"] == 1
            said = ended(process)
        assert "receiver 1 (JSON): 1 notices were not delivered, 0 were dropped before" in said
        assert CANARY not in said
        hanging.hangs.clear()
        wait_until(lambda: f"ring of {ring_name} found unmet as obs began" in hanging.text)
