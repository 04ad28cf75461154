"""The file of receivers: what is refused, without repeating what it holds; and what a receiver's failure is called."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.tools.obs.http_receiver import HttpReceiver, receivers_file
from tlv.errors import UsageError
from tools.obs.messages import NoticeMessage
from tools.obs.notify import send_test
from tools.obs.receivers import read_receivers

CANARY = "canary9c02be17"
TOLD = NoticeMessage("title", "body", good=True)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "expected 1 to 16 URLs, found 0"),
        (("# nothing", "; yet", ""), "expected 1 to 16 URLs, found 0"),
        (("ops = team",), "expected 1 to 16 URLs, found 0"),
        ((f"nosuch://{CANARY}/abc",), "line 1: expected [TAGS=]URL of a service that apprise knows"),
        (("# first", f"json://127.0.0.1/{CANARY}", f"tgram://{CANARY}"), "line 3: expected"),
        (("json://127.0.0.1/", f"my token is {CANARY}://"), "line 2: expected"),
        (("urls:", f"  - json://{CANARY}"), "line 1: expected"),
        ((f"json://{{{{{CANARY}}}}}/",), "line 1: expected"),
        (("json://127.0.0.1/", f"include /{CANARY}"), "expected URLs, found `include`"),
        (("json://127.0.0.1/",) * 17, "expected 1 to 16 URLs, found 17"),
        ((f"#{CANARY}" * 8000,), "expected at most 65,536 characters, found more"),
    ],
)
def test_receivers_file_that_cannot_be_used_is_refused_without_its_content(
    tmp_path: Path, lines: tuple[str, ...], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(UsageError) as refused:
        read_receivers(receivers_file(tmp_path, *lines))
    assert words in str(refused.value) and str(refused.value).startswith("--notify-file ")
    assert CANARY not in str(refused.value) + caplog.text
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_receivers_file_that_others_may_read_or_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected mode 0600, found 0640"):
        read_receivers(receivers_file(tmp_path, "json://127.0.0.1/", mode=0o640))
    with pytest.raises(UsageError, match="No such file"):
        read_receivers(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(UsageError, match="none that is regular"):
        read_receivers(tmp_path / "fifo")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bytes").chmod(0o600)
    with pytest.raises(UsageError, match="not UTF-8"):
        read_receivers(tmp_path / "bytes")


def test_receivers_are_called_by_their_place_and_service_and_never_by_their_url(tmp_path: Path) -> None:
    lines = ("# mine", f"ops=json://user:{CANARY}@127.0.0.1/{CANARY}", "", f"xmls://{CANARY}.example?+token={CANARY}")
    receivers = read_receivers(receivers_file(tmp_path, *lines))
    assert [receiver.name for receiver in receivers] == ["1 (JSON)", "2 (XML)"]
    assert CANARY not in repr(receivers)


def test_receiver_that_may_fail_has_not_taken_what_it_refused(tmp_path: Path) -> None:
    with HttpReceiver(status=404) as server:
        (receiver,) = read_receivers(receivers_file(tmp_path, server.url(f"{CANARY}?optional=yes")))
        assert receiver.send(TOLD) == "refused it with status 404"


def test_receivers_test_message_reaches_those_that_work_and_says_which_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with HttpReceiver() as well, HttpReceiver(status=401) as refusing:
        path = receivers_file(tmp_path, refusing.url(CANARY), well.url(CANARY), f"json://127.0.0.1:1/{CANARY}")
        assert send_test(read_receivers(path), as_json=False) == 1
        assert capsys.readouterr().out.splitlines() == [
            "receiver 1 (JSON): refused it with status 401",
            "receiver 2 (JSON): took the test message",
            "receiver 3 (JSON): cannot be reached, or does not answer",
        ]
        assert "Nothing is wrong" in well.text
        refusing.status = 200
        path = receivers_file(tmp_path, refusing.url(CANARY), well.url(CANARY))
        assert send_test(read_receivers(path), as_json=True) == 0
        assert '{"receiver":"2 (JSON)","ok":true,"problem":""}' in capsys.readouterr().out
