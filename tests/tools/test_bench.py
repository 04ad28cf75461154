"""The bench command: every reading stands beside a baseline, in JSON and as a table, and targets are bounds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import pytest

from tests.own_mounts import OWN_MOUNTS
from tools.bench.command import BENCHMARKS
from tools.bench.loop import Stopwatch, run_watched
from tools.bench.obs import paired
from tools.bench.result import BenchResult
from tools.bench.ring.life import interval_of_median

LEFT = "left in /dev/shm:"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a /dev/shm of its own, which must be empty when it has ended."""
    command = [sys.executable, "-m", "tools.command.main", "bench", *arguments]
    script = f'mount -t tmpfs none /dev/shm && "$@"; status=$?; echo {LEFT} $(ls /dev/shm) >&2; exit $status'
    ended = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.stderr.endswith(f"{LEFT}\n")
    return ended


def reading(value: float, unit: str, target: float | None) -> BenchResult:
    return BenchResult("name", value, unit, "baseline", 1.0, 1.0, target)


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (10.0, "M frames/s", 8.0, True),
        (7.9, "M frames/s", 8.0, False),
        (900.0, "ns", 1000.0, True),
        (1100.0, "ns", 1000.0, False),
        (0.0, "M frames/s", None, True),
    ],
)
def test_bench_target_is_a_lower_bound_of_rates_and_an_upper_one_of_times(
    value: float, unit: str, target: float | None, expected: bool
) -> None:
    assert reading(value, unit, target).meets_target is expected


def test_bench_ring_measures_every_topology_and_leaves_no_ring() -> None:
    ended = bench("--only", "ring", "--seconds", "0.05", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"]: result for result in json.loads(ended.stdout)["results"]}
    assert {name.split(".")[1] for name in results} == {
        *("one_to_one", "alone", "ping_pong", "one_to_three", "python"),
        *("attach", "restart", "wake", "idle_readers"),
    }
    assert {name.split(".")[2] for name in results if "idle_readers" in name} == {"1", "4", "16"}
    for result in results.values():
        assert result["value"] > 0
        assert result["baseline_value"] > 0
        assert result["ratio"] > 0
        assert result["baseline_name"]


def test_bench_bridge_measures_both_directions_and_leaves_no_ring() -> None:
    ended = bench("--only", "bridge", "--seconds", "0.2", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"]: result for result in json.loads(ended.stdout)["results"]}
    assert results.keys() == {"ring to stream", "stream to ring"}
    assert all(result["value"] > 0 and result["baseline_value"] > 0 for result in results.values())


def test_bench_hand_over_measures_both_ends_of_a_writer_and_leaves_no_ring() -> None:
    ended = bench("--only", "hand_over", "--seconds", "0.02", "--json")
    assert ended.returncode == 0, ended.stderr
    results = json.loads(ended.stdout)["results"]
    assert [result["name"].partition("writer ")[2].split()[0] for result in results] == ["ended", "killed"]
    assert all(result["value"] > 0 and result["baseline_value"] > 0 for result in results)


def test_bench_collector_measures_rate_delay_loop_backfill_and_memory_and_leaves_no_ring() -> None:
    ended = bench("--only", "collector", "--seconds", "0.05", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"].removeprefix("collector, "): result for result in json.loads(ended.stdout)["results"]}
    bursts = {name: 0.9 * results[name]["baseline_value"] for name in results if name.endswith("socket to ring")}
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "as recorded: socket to ring": ("logs/s", bursts["as recorded: socket to ring"]),
        "as recorded: loop blocked in the burst": ("ms", 20),
        "pool events only: socket to ring": ("logs/s", bursts["pool events only: socket to ring"]),
        "pool events only: loop blocked in the burst": ("ms", 20),
        "paced at 1000 logs/s: receive to ring p99": ("us", 150),
        "paced at 1000 logs/s: loop blocked": ("ms", 20),
        "backfill of 10000 logs: connected to published": ("s", 1),
        "backfill of 10000 logs: loop blocked": ("ms", 20),
        "cold start with 75 unknown pools: connected to all published": ("s", 3),
        "one step: an answer of 23000 logs": ("ms", None),
        "one step: adoption of 4000 blocks": ("ms", None),
        "one step: reorg of 64 blocks with 12800 events": ("ms", None),
        "5000 known pools: RSS": ("MB", 300),
        "5000 known pools: RSS growth once all have spoken": ("MB", 10),
        "5000 known pools: start": ("s", None),
    }
    for name, result in results.items():
        assert result["ratio"] > 0
        assert result["baseline_name"]
        if "growth" not in name:
            assert result["value"] > 0
            assert result["baseline_value"] > 0
    assert "10000 events" in results["5000 known pools: RSS"]["note"]


@pytest.mark.parametrize(
    ("ratios", "sure"),
    [
        ([0.99] * 20, True),
        ([0.90] * 20, True),
        ([0.98, 0.999] * 10, True),  # narrower than what may be missing
        ([0.95, 0.96] * 10, True),  # wholly below
        ([0.99, 1.04] * 10, True),  # wholly above
        ([0.95, 1.04] * 10, False),
    ],
)
def test_bench_of_paired_rounds_has_a_target_only_if_they_can_tell(ratios: list[float], sure: bool) -> None:
    result = paired("name", ratios, 98.0, "baseline", 1.0, "")
    assert result.target == (98.0 if sure else None)
    assert ("too disturbed to tell" in result.note) is not sure


@pytest.mark.soak
def test_bench_obs_measures_what_looking_and_counting_cost_and_leaves_no_ring() -> None:
    ended = bench("--only", "obs", "--seconds", "0.05", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"].removeprefix("obs: "): result for result in json.loads(ended.stdout)["results"]}
    wanted = {
        "ring writer that is looked at": ("%", 98),
        "collector that is looked at, p99": ("%", 90),
        "collector that counts": ("%", 98),
        "at 5000 events/s, scraped each second": ("ms", 100),
        "20 pages at 5000 events/s": ("% of a core", 15),
    }
    assert results.keys() == wanted.keys()
    for name, (unit, target) in wanted.items():
        disturbed = results[name]["note"].endswith(f": too disturbed to tell from {target}")
        assert (results[name]["unit"], results[name]["target"]) == (unit, None if disturbed else target)
    assert all(result["value"] > 0 and result["baseline_value"] > 0 for result in results.values())


@pytest.mark.soak
def test_bench_time_travel_measures_seek_and_index_and_leaves_no_ring() -> None:
    ended = bench("--only", "time_travel", "--seconds", "0.01", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"]: result for result in json.loads(ended.stdout)["results"]}
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "obs: seek in 500 blocks, p95": ("ms", 200),
        "obs: index of a journal": ("blocks/s", None),
    }
    assert all(result["value"] > 0 and result["ratio"] > 0 for result in results.values())


def test_bench_start_measures_the_commands_that_look_and_leaves_no_ring() -> None:
    ended = bench("--only", "start", "--seconds", "0.01", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"].removeprefix("start: "): result for result in json.loads(ended.stdout)["results"]}
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "alphapulse --help": ("s", 0.3),
        "ringstat --once": ("s", 0.5),
        "alphapulse status": ("s", 0.5),
        "alphapulse status, 8 processes up": ("s", 0.5),
    }
    for result in results.values():
        assert result["baseline_name"] == "python -c pass"
        assert result["value"] > 0 and result["baseline_value"] > 0 and result["ratio"] > 0
        assert result["note"].startswith("best of 5: ")


def test_bench_live_view_measures_both_pictures_and_leaves_no_ring() -> None:
    ended = bench("--only", "live_view", "--seconds", "0.01", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"]: result for result in json.loads(ended.stdout)["results"]}
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "live view: demo": ("ms", 30),
        "live view: ringstat --watch": ("ms", 30),
    }
    assert all(result["value"] >= 0 and result["ratio"] > 0 for result in results.values())


@pytest.mark.parametrize("seconds", [0.01, 0.05])
def test_stopwatch_sees_a_callback_that_keeps_the_loop_away(seconds: float) -> None:
    async def work(stopwatch: Stopwatch) -> None:
        await asyncio.sleep(4 * seconds)
        stopwatch.start()
        await asyncio.sleep(0)
        time.sleep(seconds)
        await asyncio.sleep(0)

    _, stopwatch = run_watched(work)
    assert stopwatch.longest_s >= seconds
    assert stopwatch.longest_cpu_s < stopwatch.longest_s, "asleep, not busy"


def test_bench_interval_of_a_median_holds_it_and_narrows_with_more_values() -> None:
    few, many = [float(i) for i in range(1, 22)], [i / 10 for i in range(10, 211)]
    for values in (few, many):
        low, high = interval_of_median(values)
        assert low < 11.0 < high
    assert interval_of_median(few) == (6.0, 16.0)  # binomial: 6 to 15 heads in 21 tosses, 97 %
    assert interval_of_median(many) == (9.5, 12.5)
    assert interval_of_median([1.0, 2.0]) == (1.0, 2.0)


def test_bench_prints_a_table_for_people() -> None:
    ended = bench("--only", "tlv", "--seconds", "0.02")
    assert ended.returncode == 0, ended.stderr
    assert "x baseline" in ended.stdout
    assert "cores" in ended.stdout


def test_bench_of_an_unknown_part_is_a_usage_error() -> None:
    ended = bench("--only", "nothing")
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in list(BENCHMARKS)[:3])


@pytest.mark.soak
def test_bench_endpoints_measures_a_cold_start_at_a_real_node_and_the_way_to_the_fallback() -> None:
    ended = bench("--only", "endpoints", "--seconds", "0.1", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"].removeprefix("collector, "): result for result in json.loads(ended.stdout)["results"]}
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "cold start with 150 unknown pools of a real node: connected to all published": ("s", 3),
        "endpoint falls silent: last block of it to the first of the fallback": ("s", 2),
    }
    assert all(result["meets_target"] for result in results.values()), results


@pytest.mark.soak
def test_bench_browser_measures_paint_frames_memory_and_obs_and_leaves_no_ring() -> None:
    ended = bench("--only", "browser", "--seconds", "0.2", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"].removeprefix("browser: "): result for result in json.loads(ended.stdout)["results"]}
    passing = "while 1,000 events/s pass"
    assert {name: (result["unit"], result["target"]) for name, result in results.items()} == {
        "first paint": ("ms", 1000),
        f"frames {passing}": ("1/s", 59),
        f"memory {passing}": ("MB", 60),
        f"JavaScript heap {passing}": ("MB", 60),
        "obs with 20 pages at 5,000 events/s": ("ms", 150),
    }
    assert all(result["value"] > 0 and result["baseline_value"] > 0 for result in results.values())
