"""The time line: order and pace of a recording."""

from __future__ import annotations

from tlv.units import NS
from tools.recording.timeline import Moment, Seen, spread, steps_of_headers, steps_of_sessions


def test_spread_calls_of_one_second_share_it_evenly() -> None:
    assert spread([7, 7, 7, 7, 9]) == [
        7 * NS,
        7 * NS + 250_000_000,
        7 * NS + 500_000_000,
        7 * NS + 750_000_000,
        9 * NS,
    ]


def test_steps_of_sessions_polls_without_a_block_pass_time_but_are_no_steps() -> None:
    session = [Seen(100, head="a"), Seen(100), Seen(101, logs_of="a")]
    assert steps_of_sessions([session], 0) == [
        Moment(0, adopts="a", announces="a"),
        Moment(NS, logs_of="a"),
    ]


def test_steps_of_sessions_hole_between_sessions_lasts_the_pause_at_most() -> None:
    sessions = [[Seen(100, head="a")], [Seen(160, head="b")]]
    assert [step.due_ns for step in steps_of_sessions(sessions, 2 * NS)] == [0, 2 * NS]
    assert [step.due_ns for step in steps_of_sessions(sessions, 90 * NS)] == [0, 60 * NS]


def test_steps_of_headers_blocks_come_at_their_own_timestamps() -> None:
    assert steps_of_headers([(1_000, "a"), (1_012, "b")]) == [
        Moment(0, adopts="a", announces="a"),
        Moment(0, logs_of="a"),
        Moment(12 * NS, adopts="b", announces="b"),
        Moment(12 * NS, logs_of="b"),
    ]
