"""A life of many blocks in the simulated world: it passes, and what grows in it is found."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from producers.blocks.chain import MAX_LOOSE
from producers.feed import Feed
from tools.prove.feed.command import command
from tools.prove.world.endurance import CACHES_BYTES, Holdings, endure, grown


def looks(entries: list[int], resident: list[int]) -> list[Holdings]:
    pairs = enumerate(zip(entries, resident, strict=True), start=1)
    return [Holdings(100 * at, Counter({"Chain.blocks": held}), size) for at, (held, size) in pairs]


@pytest.mark.parametrize("blocks", [700, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_feed_that_lives_for_long_lacks_nothing_and_holds_no_more_than_before(blocks: int) -> None:
    life = endure(7, blocks)
    assert life.passed, life.summary
    assert life.blocks >= blocks and life.reorgs and len(life.looks) > 5
    assert all(look.tables["Chain.blocks"] for look in life.looks)


def test_feed_that_keeps_something_of_every_tick_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    tick = Feed.tick

    def leaking(self: Feed, *, now_ns: int, wall_ns: int) -> None:
        kept.extend([now_ns] * 20)
        self.ticks = kept  # type: ignore[attr-defined]
        tick(self, now_ns=now_ns, wall_ns=wall_ns)

    monkeypatch.setattr(Feed, "tick", leaking)
    life = endure(7, 700)
    assert [fault.kind for fault in life.faults] == ["memory"]
    assert life.faults[0].words.startswith("Feed.ticks holds")


def test_growth_is_what_the_last_tenth_holds_beyond_the_first_half() -> None:
    size = 100 << 20
    flat = [size] * 10
    assert grown(looks([10 * MAX_LOOSE] * 10, flat)) == []
    assert grown(looks([*[10] * 9, MAX_LOOSE], flat)) == [], "a table may take until now to be full"
    [found] = grown(looks([*[10] * 9, MAX_LOOSE + 1], flat))
    assert found.words == f"Chain.blocks holds {MAX_LOOSE + 1}, and no more than 10 in the first half"
    assert grown(looks([10] * 10, [*flat[:9], int(1.1 * size) + CACHES_BYTES])) == []
    [found] = grown(looks([10] * 10, [*flat[:9], int(1.1 * size) + CACHES_BYTES + 1]))
    assert found.words == "174 MiB resident, and 100 in the first half"


def test_endurance_command_tells_each_count_as_json() -> None:
    done = CliRunner().invoke(command, ["--endurance", "130", "--json"], standalone_mode=False)
    said = json.loads(done.stdout)
    assert done.return_value == 0 and said["passed"] and said["blocks"] >= 130 and said["faults"] == []
    assert said["looks"][-1]["blocks"] == said["blocks"]
    assert said["looks"][-1]["entries"] == sum(said["looks"][-1]["tables"].values()) > 1000
