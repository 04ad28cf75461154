"""Notices in words."""

from __future__ import annotations

from tools.obs.messages import FIRST, LAST, LONGEST_LINE, ToldLine, line_of, message_of
from tools.obs.noticing import ConditionNotice, NoticeKind

BEGUN = ConditionNotice(NoticeKind.BEGUN, "endpoint", "market.polygon", "feed is\nunreachable", 10.0, 10.0)


def test_message_line_says_when_what_of_which_and_why() -> None:
    line = line_of(BEGUN, 1_700_000_000.0)
    assert line.text == "2023-11-14 22:13:30Z endpoint of market.polygon begun: feed is unreachable"
    ended = ConditionNotice(NoticeKind.ENDED, "ring", "", "there", 70.0, 10.0)
    assert line_of(ended, 1_700_000_000.0).text == (
        "2023-11-14 22:14:30Z ring ended, unmet since 2023-11-14 22:13:30Z: there"
    )


def test_message_line_is_short_and_holds_no_url() -> None:
    notice = ConditionNotice(NoticeKind.STILL, "endpoint", "a", f"wss://node.example/v2/key {'x' * 999}", 0.0, 0.0)
    text = line_of(notice, 0.0).text
    assert "wss://node.example xxx" in text and "key" not in text
    assert len(text) == LONGEST_LINE


def test_message_of_a_storm_has_its_first_and_last_and_counts_the_rest() -> None:
    lines = [ToldLine(NoticeKind.BEGUN, f"line {number}") for number in range(100)]
    told = message_of([*lines, ToldLine(NoticeKind.ENDED, "end")], "host7")
    assert told.title == "AlphaPulse on host7: 100 begun, 1 ended"
    body = told.body.splitlines()
    assert body[:FIRST] == [f"line {number}" for number in range(FIRST)]
    assert body[FIRST] == f"... {101 - FIRST - LAST} more: {101 - FIRST - LAST} begun ..."
    assert body[FIRST + 1 :] == [*(f"line {number}" for number in range(95, 100)), "end"]
    assert not told.good


def test_message_of_ends_only_is_good_and_says_what_was_dropped() -> None:
    told = message_of([ToldLine(NoticeKind.ENDED, "end")], "host7", dropped=3)
    assert told.good
    assert told.body == "3 notices before these could not be delivered and were dropped\nend"
