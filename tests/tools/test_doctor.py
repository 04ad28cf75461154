"""The doctor on real nodes: one that lives, one that stands still, one of another chain, one behind a range limit."""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consumers.journal.segment import list_segments
from consumers.relay.cursors import encode
from producers.chains.configuration import load_chain
from ringbuf import Writer
from tests.consumers.journal_frames import append, open_writer
from tests.tools.rig.limited_node import RangeLimitRelay
from tlv.layout import LAYOUT_DIGEST
from tools.command.endpoint_options import http_url_of
from tools.doctor import delivery, machine, storage
from tools.doctor.finding import CheckResult, Verdict, healthy
from tools.doctor.node import examine
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import RemovedFlagRelay
from tools.rig.evm.node import Node, Rpc
from tools.rig.evm.world import World

KEY = "0123456789abcdef"
NAMES = [
    *(
        "connection",
        "chain",
        "early block",
        "software",
        "sync",
        "newest block",
        "latency",
        "contract calls",
        "calls by hash",
        "logs of a block",
        "log range",
    ),
    *("subscription", "pushed logs", "head lag of HTTP", "block age", "clock skew", "removed logs"),
]


class LiveChain:
    """A local node with contracts; while it is `alive`, a block with a swap comes every 0.2 s."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.world = World.build(node.rpc)
        self.world.hold_mining(True)
        self.toml = folder / "chain.toml"
        self.toml.write_text(chain_toml(self.world))

    @contextmanager
    def alive(self, *, reorgs: bool = False) -> Iterator[None]:
        done = threading.Event()
        self.world.rpc = Rpc(self.node.port)

        def mine() -> None:
            while not done.wait(0.2):
                self.world.v2_swap(0, self.world.weth, 10**15)
                self.world.mine()
                if reorgs:
                    self.world.reorg(1)

        thread = threading.Thread(target=mine)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveChain]:
    with Node() as node:
        yield LiveChain(node, tmp_path_factory.mktemp("chain"))


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.command.main", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def examined(url: str, toml: Path, wait_s: float, http_url: str | None = None) -> dict[str, CheckResult]:
    told: list[str] = []
    findings = asyncio.run(examine(url, http_url or http_url_of(url), load_chain(str(toml)), wait_s, told.append))
    return {finding.name: finding for finding in findings}


def test_doctor_without_url_checks_the_machine_only() -> None:
    ended = doctor("--json")
    report = json.loads(ended.stdout)
    assert report["endpoints"] == []
    assert {"python", "platform", "shared memory", "kernel cache"} <= {check["name"] for check in report["checks"]}
    assert ended.returncode == (0 if report["healthy"] else 1)


def test_doctor_of_a_living_node_finds_it_well(chain: LiveChain) -> None:
    with chain.alive():
        ended = doctor("--url", chain.node.url, "--chain", str(chain.toml), "--wait", "10", "--json")
    assert ended.returncode == 0, ended.stderr
    (node,) = json.loads(ended.stdout)["endpoints"]
    checks: dict[str, dict[str, Any]] = {check["name"]: check for check in node["checks"]}
    assert node["host"] == "127.0.0.1"
    assert list(checks) == NAMES
    assert {name for name, check in checks.items() if check["verdict"] == "fail"} == set()
    assert checks["chain"]["measured"] == {"chain_id": 137}
    pushed = checks["pushed logs"]["measured"]
    assert pushed["pushed"] == pushed["listed"] > 0
    assert checks["head lag of HTTP"]["measured"]["median_ms"] > 0
    assert abs(checks["clock skew"]["measured"]["seconds"]) < 2
    assert checks["removed logs"]["verdict"] == "?"
    assert "watching 127.0.0.1" in ended.stderr


def test_doctor_of_a_node_that_stands_still_fails_the_subscription(chain: LiveChain) -> None:
    found = examined(chain.node.url, chain.toml, 0.5)
    assert found["subscription"].verdict is Verdict.FAIL
    assert found["block age"].verdict is Verdict.UNKNOWN
    assert found["latency"].verdict is Verdict.OK


def test_doctor_of_a_node_of_another_chain_names_both(tmp_path: Path) -> None:
    with Node(chain_id=1) as node:
        ended = doctor("--url", node.url, "--wait", "0.5")
    assert ended.returncode == 1
    assert "fail  chain: expected 137 (polygon), found 1" in ended.stdout


def test_doctor_behind_a_range_limit_says_where_it_lies(chain: LiveChain) -> None:
    chain.world.mine(300)

    async def look() -> dict[str, CheckResult]:
        async with RangeLimitRelay(chain.node.url, most=100) as relay:
            http_url = http_url_of(chain.node.url)
            config = load_chain(str(chain.toml))
            findings = await examine(relay.url, http_url, config, 0.5, lambda line: None)
            return {finding.name: finding for finding in findings}

    found = asyncio.run(look())["log range"]
    assert found.verdict is Verdict.WARN
    assert found.measured == {"blocks": 64}
    assert "256 refused: eth_getLogs: exceed maximum block range: 100" in found.found


def test_doctor_of_a_node_that_announces_removed_logs_says_so_derived(chain: LiveChain) -> None:
    async def look() -> dict[str, CheckResult]:
        async with RemovedFlagRelay(chain.node.url) as relay:
            http_url = http_url_of(chain.node.url)
            config = load_chain(str(chain.toml))
            findings = await examine(relay.url, http_url, config, 10, lambda line: None)
            return {finding.name: finding for finding in findings}

    with chain.alive(reorgs=True):
        found = asyncio.run(look())["removed logs"]
    assert found.verdict is Verdict.OK
    assert "announced with `removed: true`" in found.found


def test_doctor_without_http_warns_and_measures_the_rest(chain: LiveChain) -> None:
    with chain.alive():
        found = examined(chain.node.url, chain.toml, 10, http_url="http://127.0.0.1:1")
    assert found["head lag of HTTP"].verdict is Verdict.WARN
    assert "Connection refused" in found["head lag of HTTP"].found
    assert found["pushed logs"].verdict is Verdict.OK
    assert healthy(found.values())


@pytest.mark.parametrize("url", [f"ws://127.0.0.1:1/v2/{KEY}", f"ws://me:{KEY}@127.0.0.1:1"])
def test_doctor_of_a_node_that_is_not_there_says_so_without_the_key(url: str) -> None:
    ended = doctor("--url", url)
    assert ended.returncode == 1
    assert "fail  connection: cannot connect to 127.0.0.1" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_doctor_with_a_url_that_is_none_exits_2() -> None:
    ended = doctor("--url", f"http://{KEY}.example")
    assert ended.returncode == 2
    assert KEY not in ended.stderr


def test_doctor_names_what_of_the_delivery_side_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_ring_name: Callable[[], str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="ap") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        sockets, cursors = Path(runtime, "alphapulse"), tmp_path / "state" / "alphapulse" / "cursors"
        sockets.mkdir(mode=0o700)
        cursors.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(sockets / "signal.sock"))
        (cursors / "desk.json").write_bytes(b"{}")
        (cursors / "sound.json").write_bytes(encode({"00" * 16: 5}))
        journals = journals_of_every_kind(tmp_path)
        with Writer.create(new_ring_name(), capacity=1 << 16, layout_digest=7) as writer:
            ended = doctor("--json", *(f"--journal={path}" for path in journals))
    checks = json.loads(ended.stdout)["checks"]
    found = {check["name"]: check for check in checks}
    assert any(f"ring {writer.name} has layout 0x7, this version" in check["found"] for check in checks)
    assert found["relay sockets"]["found"] == f"{sockets / 'signal.sock'} does not answer"
    assert found["cursors"]["found"] == f"{cursors / 'desk.json'} is damaged, or of another version"
    for path, (verdict, text) in journals.items():
        assert found[f"journal {path}"]["verdict"] == verdict and text in found[f"journal {path}"]["found"]
    assert ended.returncode == 1, "a journal of another layout"


def journals_of_every_kind(folder: Path) -> dict[Path, tuple[str, str]]:
    """Journals, and what a check finds: sound, of another layout, damaged in each form, none, a file."""
    wanted = {
        "sound": ("ok", "1 segments of market.test"),
        "foreign": ("fail", "expected layout digest"),
        "raw": ("warn", "no segment header"),
        "packed": ("warn", "a damaged trailer"),
        "empty": ("warn", "no segment"),
        "missing": ("warn", "is no journal"),
    }
    for name in ("sound", "foreign", "raw", "packed"):
        digest = 7 if name == "foreign" else LAYOUT_DIGEST
        with open_writer(folder / name, pack=name != "raw", layout_digest=digest) as writer:
            append(writer, [b"frame"] * 100, 1)
    for name, at in (("raw", 0), ("packed", -3)):
        path = list_segments(folder / name)[0].path
        data = bytearray(path.read_bytes())
        data[at] ^= 0xFF
        data[at + 1] ^= 0xFF
        path.write_bytes(data)
    (folder / "empty").mkdir()
    return {folder / name: found for name, found in wanted.items()}


def test_doctor_says_of_what_it_may_not_read_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> CheckResult:
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/systemd/logind.conf")

    monkeypatch.setenv("NUMBA_DISABLE_JIT", os.environ.get("NUMBA_DISABLE_JIT", "0"))  # the command sets it
    monkeypatch.setattr(machine, "CHECKS", (("RemoveIPC", refused),))
    monkeypatch.setattr(storage, "CHECKS", ())
    monkeypatch.setattr(delivery, "foreign_rings", refused)
    ended = CliRunner().invoke(importlib.import_module("tools.doctor.command").command, [])
    assert ended.exit_code == 0, "what nobody knows is no failure"
    said = "could not be checked: Permission denied [/etc/systemd/logind.conf]  (look as its owner)"
    assert f"?     RemoveIPC: {said}" in ended.output and f"?     rings: {said}" in ended.output
