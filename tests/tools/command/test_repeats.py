"""Repeats in a log: which are passed on, and that none is left out uncounted; in virtual time."""

from __future__ import annotations

import logging
import random
from collections import Counter

from tlv.units import NS
from tools.command.repeats import INTERVAL_NS, MOST, MOST_KINDS, Repeats, kind_of


def line(message: str, *arguments: object, level: int = logging.WARNING, name: str = "a") -> logging.LogRecord:
    return logging.LogRecord(name, level, "f", 1, message, arguments, None)


def counted(records: list[logging.LogRecord]) -> int:
    """How many lines these stand for."""
    return sum(1 + getattr(one, "repeats", 0) for one in records)


def test_repeats_count_every_line_whatever_comes_when() -> None:
    draw = random.Random(20261129)
    for _ in range(20):
        repeats, now_ns, told = Repeats(), 0, 0
        shown: list[logging.LogRecord] = []
        for _ in range(3000):
            now_ns += draw.choice((0, 1000, NS // 10, NS, 30 * NS))
            one = line(f"kind {chr(97 + draw.randrange(8))} {draw.randrange(99)}")
            shown += repeats.pass_on(one, now_ns)
            told += 1
        shown += repeats.end(now_ns)
        assert counted(shown) == told
        assert not repeats.left_out


def test_storm_that_goes_on_is_one_line_an_interval_behind_the_first() -> None:
    repeats = Repeats()
    shown = [one for second in range(600) for one in repeats.pass_on(line("full %d", second), second * NS)]
    assert len(shown) == MOST + 600 * NS // INTERVAL_NS - 1
    assert vars(shown[-1])["repeats"] == INTERVAL_NS // NS - 1
    assert vars(shown[-1])["repeats_s"] == INTERVAL_NS // NS


def test_line_of_another_kind_passes_whatever_storm_there_is() -> None:
    repeats = Repeats()
    for _ in range(1000):
        repeats.pass_on(line("the disk is full"), 0)
    for other in (
        line("the disk is full", level=logging.ERROR),
        line("the disk is full", name="b"),
        line("another disk is full"),
        line("the disk %s", "is full"),
    ):
        assert repeats.pass_on(other, 0) == [other]


def test_numbers_in_a_ready_text_make_no_kind_and_an_argument_none() -> None:
    assert kind_of(line("block 17 of 0xAB12ef")) == kind_of(line("block 4 of 0x99"))
    assert kind_of(line("block %s", "a")) == kind_of(line("block %s", "b"))
    assert kind_of(line("block %s", "a")) != kind_of(line("blocks %s", "a"))
    assert kind_of(line("%s: %s", "a", 1)) != kind_of(line("%s: %s", "b", 1))
    assert kind_of(line("%s: %s", "a", 1)) == kind_of(line("%s: %s", "a", 2))


def test_more_kinds_than_are_told_apart_all_pass_and_take_no_more_memory() -> None:
    repeats = Repeats()
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(2 * MOST_KINDS)]
    shown = [one for word in words for _ in range(MOST + 1) for one in repeats.pass_on(line(f"kind {word}"), 0)]
    passed = Counter(one.msg for one in shown)
    assert set(passed) == {f"kind {word}" for word in words}
    assert sorted(set(passed.values())) == [MOST, MOST + 1]
    assert len(repeats.end(0)) == MOST_KINDS


def test_line_that_waits_keeps_no_object_of_the_program() -> None:
    class Large:
        def __str__(self) -> str:
            return "large"

    repeats = Repeats()
    for _ in range(MOST):
        repeats.pass_on(line("%(what)s is %(count)d", {"what": "x", "count": 1}), 0)
    repeats.pass_on(line("%(what)s is %(count)d", {"what": Large(), "count": 7}), 0)
    (last,) = repeats.end(0)
    assert last.getMessage() == "large is 7" and last.args == {"what": "large", "count": 7}
    assert not hasattr(last, "repeats")
