"""Counts that should stand still, as the alert rules have them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ringbuf.counters import names_of
from tools.obs.look import Look
from tools.obs.metrics import RING_COUNTERS
from tools.obs.processes import ROLES, Processes, ProcessStat
from tools.obs.rises import RISES, Rising

ALERTS = Path(__file__).parents[3] / "tools" / "obs" / "alerts.yml"
INCREASE = re.compile(r"increase\((?:\{__name__=~\"([^\"]+)\"\}|(\w+))\[(\d+)m\]\) > (\d+)")


def recorder(lost: int, pid: int = 7) -> ProcessStat:
    return ProcessStat("market-recorder", "recorder", "market", pid, True, 1.0, 0.1, {"lost": lost}, {}, "")


def look_at(*stats: ProcessStat, wanted: tuple[str, ...] = ()) -> Look:
    return Look(wanted, [], {}, [], [], Processes(list(stats), {}, {}), [], 0.0)


def test_rises_are_those_of_the_alert_rules() -> None:
    every = {
        f"alphapulse_{role}_{count}_total": f"{role}.{count}" for role in ROLES for count in names_of(ROLES[role], int)
    }
    every |= {f"alphapulse_ring_{count}_total": f"ring.{count}" for count in RING_COUNTERS}
    ruled = set()
    for pattern, name, minutes, most in INCREASE.findall(ALERTS.read_text()):
        counts = {every[one] for one in every if (re.fullmatch(pattern, one) if pattern else one == name)}
        ruled |= {(count, int(minutes) * 60.0, int(most)) for count in counts}
    assert {(count, rise.window_s, rise.most) for rise in RISES.values() for count in rise.counts} == ruled
    assert len(ruled) > 10


def test_rise_is_unmet_for_its_window_and_met_again_after() -> None:
    rising = Rising()
    assert [one.ok for one in rising.advance(look_at(recorder(3)), 0.0)] == [True], "it rose before"
    (found,) = rising.advance(look_at(recorder(5)), 1.0)
    assert (found.name, found.subject, found.ok, found.value) == ("frames_lost", "market-recorder", False, 2.0)
    assert found.text == "lost: 2 more within 5 minutes"
    assert not rising.advance(look_at(recorder(5)), 301.0)[0].ok
    assert rising.advance(look_at(recorder(5)), 301.1)[0].ok


def test_rise_of_a_process_that_is_new_or_another_counts_from_0() -> None:
    rising = Rising()
    rising.advance(look_at(), 0.0)
    assert rising.advance(look_at(recorder(2)), 1.0)[0].value == 2
    assert rising.advance(look_at(recorder(5, pid=8)), 2.0)[0].value == 7
    assert rising.advance(look_at(recorder(5, pid=8)), 3.0)[0].value == 7


def test_rise_of_a_ring_that_is_not_wanted_is_not_judged() -> None:
    rising = Rising()
    assert rising.advance(look_at(recorder(2), wanted=("signal",)), 0.0) == []


def test_rise_that_may_be_some_is_met_up_to_it() -> None:
    rising = Rising()
    counts = dict.fromkeys(names_of(ROLES["collector"], int), 0)
    stat = replace(recorder(0), role="collector", counts=counts)
    rising.advance(look_at(stat), 0.0)
    for reconnects, ok in ((5, True), (6, False)):
        now = replace(stat, counts=counts | {"reconnects": reconnects})
        assert {one.name: one.ok for one in rising.advance(look_at(now), 1.0)}["reconnects"] is ok
