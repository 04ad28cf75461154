"""A receiver's line, over apprise and real HTTP servers that take, refuse, hang, are away and come back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tools.obs.http_receiver import HttpReceiver, receivers_file, wait_until
from tools.obs import telling
from tools.obs.messages import ToldLine
from tools.obs.noticing import NoticeKind
from tools.obs.receivers import read_receivers
from tools.obs.telling import MOST_WAITING, ReceiverLine

CANARY = "canary41d7aa09"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_S", "FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(telling, name, 0.05)
    monkeypatch.setattr(telling, "BURST_S", 0.2)


@contextmanager
def line_to(folder: Path, receiver: HttpReceiver) -> Iterator[ReceiverLine]:
    (found,) = read_receivers(receivers_file(folder, receiver.url(CANARY)))
    line = ReceiverLine(found.name, found.send, "host7")
    try:
        yield line
    finally:
        line.close()
        receiver.hangs.clear()
        line.join(60.0)
        assert not line._thread.is_alive()


def notices(*texts: str) -> list[ToldLine]:
    return [ToldLine(NoticeKind.BEGUN, text) for text in texts]


def test_line_tells_what_falls_together_in_one_message(tmp_path: Path) -> None:
    with HttpReceiver() as receiver, line_to(tmp_path, receiver) as line:
        line.put(notices("one", "two"))
        wait_until(lambda: line.stat().delivered == 2)
        (message,) = receiver.messages
        assert (message["title"], message["message"]) == ("AlphaPulse on host7: 2 begun", "one\ntwo")
        assert message["type"] == "warning"
        stat = line.stat()
        assert (stat.problem, stat.waiting, stat.messages, stat.failures) == ("", 0, 1, 0)


def test_line_whose_receiver_refuses_counts_says_so_once_and_delivers_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), HttpReceiver(status=503) as receiver, line_to(tmp_path, receiver) as line:
        line.put(notices("one"))
        wait_until(lambda: line.stat().failures >= 3)
        stat = line.stat()
        assert (stat.problem, stat.waiting, stat.delivered) == ("refused it with status 503", 1, 0)
        line.put(notices("two"))
        receiver.status = 200
        wait_until(lambda: line.stat().delivered == 2)
        assert [message["message"] for message in receiver.messages] == ["one\ntwo"]
        assert line.stat().problem == ""
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "receiver 1 (JSON): refused it with status 503; 1 notices wait, and are tried again",
        "receiver 1 (JSON) takes messages again",
    ]


def test_line_whose_receiver_is_away_delivers_when_it_is_back(tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        port = receiver.port
    with line_to(tmp_path, receiver) as line:
        line.put(notices("one"))
        wait_until(lambda: line.stat().problem == "cannot be reached, or does not answer")
        with HttpReceiver(port=port) as back:
            wait_until(lambda: line.stat().delivered == 1)
            assert "one" in back.text


def test_line_whose_receiver_hangs_keeps_nobody_and_its_queue_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "HANGS_S", 0.0)
    with HttpReceiver() as receiver, line_to(tmp_path, receiver) as line:
        receiver.hangs.set()
        line.put(notices("one"))
        wait_until(lambda: receiver.asked)
        line.put(notices(*map(str, range(MOST_WAITING + 10))))
        stat = line.stat()
        assert stat.waiting == MOST_WAITING and stat.dropped >= 11
        assert "neither took nor refused" in stat.problem
        receiver.hangs.clear()
        wait_until(lambda: line.stat().waiting == 0)
        assert "notices before these could not be delivered and were dropped" in receiver.text
        stat = line.stat()
        assert stat.delivered + stat.dropped == MOST_WAITING + 11


def test_line_that_is_closed_tries_once_more_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "GATHER_S", 3600.0)
    with HttpReceiver() as receiver:
        with line_to(tmp_path, receiver) as line:
            line.put(notices("one"))
        assert line.stat().delivered == 1
        receiver.status = 401
        with line_to(tmp_path, receiver) as line:
            line.put(notices("two"))
        stat = line.stat()
        assert (stat.waiting, stat.problem) == (1, "refused it with status 401")


def test_line_tells_no_more_than_a_burst_of_messages_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "BURST_S", 3600.0)
    with HttpReceiver() as receiver:
        with line_to(tmp_path, receiver) as line:
            for number in range(telling.BURST):
                line.put(notices(str(number)))
                wait_until(lambda expected=number + 1: line.stat().messages == expected)
            line.put(notices("later"))
            line.put(notices("and later"))
            assert line._pause_s() > 3000.0
        assert receiver.messages[-1]["message"] == "later\nand later"
        assert len(receiver.messages) == telling.BURST + 1
