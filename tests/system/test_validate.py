"""`alphapulse validate` from outside: a real node that reorgs and breaks connections, and the recorded sessions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import World

VALIDATE = [sys.executable, "-m", "tools.command.main", "validate"]
KEY = "0123456789abcdef"
SHARED_MEMORY = Path("/dev/shm")


def left_over(pid: int) -> list[Path]:
    return list(SHARED_MEMORY.glob(f"alphapulse-{os.getuid()}-validate.{pid}*"))


class Market:
    """A local node on which something happens; an async context."""

    def __init__(self, folder: Path, *, reorgs: bool = False) -> None:
        self.toml = folder / "chain.toml"
        self._reorgs = reorgs

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Node]:
        with Node() as node:
            world = await asyncio.to_thread(World.build, node.rpc)
            world.hold_mining(True)
            self.toml.write_text(chain_toml(world))
            done = asyncio.Event()
            trading = asyncio.create_task(self._trade(world, done))
            try:
                yield node
            finally:
                done.set()
                await trading

    async def _trade(self, world: World, done: asyncio.Event) -> None:
        count = 0
        while not done.is_set():
            count += 1
            await asyncio.to_thread(self._make_block, world, count)
            await asyncio.sleep(0.1)

    def _make_block(self, world: World, count: int) -> None:
        world.v2_swap(count % 2, world.weth, 10**15 + count)
        world.v3_swap(world.usdc, 10**6 + count)
        world.mine()
        if self._reorgs and count % 15 == 0:
            world.reorg(2)


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*VALIDATE, *arguments, stdout=-1, stderr=-1)


async def ended(process: asyncio.subprocess.Process) -> tuple[list[dict[str, Any]], str]:
    """The JSON lines it printed, and its stderr."""
    async with asyncio.timeout(100):
        out, log = await process.communicate()
    return [json.loads(line) for line in out.splitlines()], log.decode()


def test_validate_through_reorgs_and_disconnects_finds_nothing_wrong(tmp_path: Path) -> None:
    market = Market(tmp_path, reorgs=True)

    async def run() -> tuple[dict[str, Any], str, int | None]:
        async with market.open() as node, WsRelay(node.url) as relay:
            options = ("--pool-cache", "none", "--duration", "6", "--max-latency-ms", "5000", "--min-rate", "1")
            process = await start("--url", relay.url, "--chain", str(market.toml), *options, "--json")
            while relay.open_connections == 0:
                await asyncio.sleep(0.05)
            for code in (1001, 1011):
                await asyncio.sleep(1.2)
                await relay.close_all(code)
            (report,), log = await ended(process)
            assert left_over(process.pid) == []
            return report, log, process.returncode

    report, log, code = asyncio.run(run())
    assert code == 0, (report, log)
    assert report["healthy"]
    assert report["events"]["expected"] > 0
    assert report["events"]["missing"] == report["events"]["extra"] == report["events"]["different"] == 0
    assert report["collector"]["reconnects"] >= 1
    assert report["reorgs"]
    assert report["emitters"] == {"confirmed": 3}
    assert sum(report["blocks_by_verdict"].values()) == report["blocks"]["count"] > 10
    assert 0 < report["latency_ms"]["socket_to_reader"]["p50"] <= report["latency_ms"]["socket_to_reader"]["max"]
    assert "reading the range again" in log


def test_validate_continuously_reports_ranges_that_join_and_fails_below_a_threshold(tmp_path: Path) -> None:
    market = Market(tmp_path)

    async def run() -> tuple[list[dict[str, Any]], str, int | None]:
        async with market.open() as node:
            options = ("--pool-cache", "none", "--continuous", "--every", "2", "--min-rate", "1e6")
            process = await start("--url", node.url, "--chain", str(market.toml), *options, "--json")
            assert process.stdout is not None
            async with asyncio.timeout(100):
                first = [json.loads(await process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            rest, log = await ended(process)
            assert left_over(process.pid) == []
            return first + rest, log, process.returncode

    reports, log, code = asyncio.run(run())
    assert code == 1, log
    assert "Traceback" not in log
    ranges = [(report["blocks"]["first"], report["blocks"]["last"]) for report in reports]
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
    for report in reports:
        assert report["events"]["missing"] == report["events"]["extra"] == report["events"]["different"] == 0
        assert [criterion["name"] for criterion in report["criteria"] if not criterion["passed"]] == ["rate"]
    assert all(report["events"]["expected"] > 0 for report in reports[:2])


def test_validate_of_the_recording_confirms_the_canonical_events() -> None:
    node = subprocess.Popen(
        [sys.executable, "-m", "tools.command.main", "node", "--speed", "max", "--json"], stdout=subprocess.PIPE
    )
    try:
        assert node.stdout is not None
        url = json.loads(node.stdout.readline())["ws"]
        command = [*VALIDATE, "--url", url, "--pool-cache", "none", "--duration", "8"]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=100)
    finally:
        node.terminate()
        node.wait(60)
        if node.stdout is not None:
            node.stdout.close()
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["events"]["expected"] == 369
    assert report["events"]["missing"] == report["events"]["extra"] == report["events"]["different"] == 0
    assert report["reorgs"] == [1, 1, 2]
    assert [(gap["first"], gap["last"]) for gap in report["gaps"]] == [(13522170, 13522174), (13522231, 13522238)]


def test_validate_of_a_node_that_is_not_there_exits_1_without_the_key() -> None:
    command = [*VALIDATE, "--url", f"ws://127.0.0.1:1/v2/{KEY}", "--duration", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "FAILED  blocks: expected at least 1, found 0" in done.stdout
    assert "cannot connect to 127.0.0.1" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_validate_of_a_node_of_another_chain_exits_1_and_says_so() -> None:
    with Node(chain_id=1) as node:
        command = [*VALIDATE, "--url", f"{node.url}/", "--pool-cache", "none", "--duration", "5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "expected chain 137 (polygon), found 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_keeps_the_endpoint_out_of_the_collectors_command_line(tmp_path: Path) -> None:
    async def run() -> str:
        process = await start("--url", f"ws://127.0.0.1:1/v2/{KEY}", "--duration", "30")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        line = b""
        async with asyncio.timeout(60):
            while b"collect" not in line:
                await asyncio.sleep(0.02)
                for child in children.read_text().split():
                    with contextlib.suppress(FileNotFoundError):  # some are gone as soon as they came
                        line = Path(f"/proc/{child}/cmdline").read_bytes()
        process.send_signal(signal.SIGTERM)
        await ended_in_any_way(process)
        return line.replace(b"\0", b" ").decode()

    line = asyncio.run(run())
    assert "collect" in line
    assert KEY not in line


async def ended_in_any_way(process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(100):
        await process.communicate()
    assert left_over(process.pid) == []


def test_validate_with_a_wrong_command_line_exits_2() -> None:
    for arguments in (["--duration", "0"], ["--url", f"http://{KEY}.example"], ["--chain", "nowhere"]):
        done = subprocess.run([*VALIDATE, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert KEY not in done.stderr
