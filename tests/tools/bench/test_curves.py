"""The cost curves measure what they say: real rings, relays, journals and books, small here."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.journal import JournalReader
from consumers.journal.segment import list_segments
from ringbuf import Status
from tools.bench.curves import all as every
from tools.bench.curves import clients, journal, pools, ring
from tools.bench.journal import FRAMES
from tools.bench.result import BenchResult

REAL = 500_000


def named(results: list[BenchResult]) -> dict[str, tuple[float, ...]]:
    """The x of each curve, by name."""
    return {result.name: tuple(x for x, _ in result.points) for result in results}


def test_curves_over_readers_and_payloads_have_a_point_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "READERS", (0, 1, 3))
    monkeypatch.setattr(ring, "PAYLOADS", (64, 4096))
    found = {result.name: result for result in ring.run(0.02)}
    assert named(list(found.values())) == {
        "readers: publish": (0, 1, 3),
        "readers: read, all together": (1, 3),
        "payload: publish": (64, 4096),
        "payload: read": (64, 4096),
    }
    assert all(result.rises for result in found.values())
    # What readers get within a moment is up to the scheduler.
    alone = [y for name, result in found.items() if "readers" not in name for _, y in result.points]
    assert min(alone) > 0


def test_curve_over_clients_has_all_messages_arrive_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "CLIENTS", (1, 3))
    found = list(clients.run(0.01))
    assert named(found) == {"clients: relay and clients": (1, 3), "clients: relay's own time": (1, 3)}
    assert not any(result.rises for result in found)
    assert all(y > 0 for result in found for _, y in result.points)


def test_curves_over_pools_find_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SIZES", (100, 300, 0))  # the last is left out of a short run
    monkeypatch.setattr(pools, "EVENTS", 1 << 10)
    assert named(list(pools.run(0.01))) == {
        "pools: native book": (100, 300),
        "pools: collector": (100, 300),
        "pools: book in Python": (100, 300),
    }
    assert len({bytes(address) for address in pools.addresses(5000)}) == 5000


def test_curve_over_a_journal_seeks_to_real_records_in_the_middle_of_a_simulated_one(tmp_path: Path) -> None:
    real, simulated = tmp_path / "real", tmp_path / "simulated"
    journal.write(real, 1, REAL)
    journal.simulate(real, simulated, 10**7)
    segments = list_segments(simulated)
    each = journal.first_of(list_segments(real)[1]).first_sequence - 1
    assert len(segments) == -(-(10**7) // each)
    assert [journal.first_of(segment).first_sequence for segment in segments] == [
        1 + number * each for number in range(len(segments))
    ]
    middle = journal.first_of(segments[len(segments) // 2]).first_sequence
    with JournalReader(simulated) as reader:
        reader.seek_sequence(middle + FRAMES)
        assert next(iter(reader.poll())).sequence == middle + FRAMES
        reader.seek_block(journal.BLOCK)
        frames = 0
        while frames < each - FRAMES:  # the recorder begins a segment with a batch
            poll = reader.poll()
            assert poll.status is Status.OK and poll.loss is None
            assert next(iter(poll)).sequence == middle + frames
            frames += len(poll)
    assert sum(segment.path.stat().st_blocks for segment in segments) * 512 < 2 * segments[0].path.stat().st_size
    assert set(journal.timed(simulated, 0.01)) == {
        *("open", "seek sequence", "seek block", "scan of 1,000"),
    }


def test_curve_that_the_machine_has_no_room_for_says_so_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(seconds: float) -> list[BenchResult]:
        raise OSError(28, "No space left on device")

    for axis in (ring, clients, pools):
        monkeypatch.setattr(axis, "run", lambda seconds: [])
    monkeypatch.setattr(journal, "run", full)
    (found,) = every.run(0.01)
    assert found.missing == "OSError: [Errno 28] No space left on device" and not found.meets_target
