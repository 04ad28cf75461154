"""A second copy that is started by mistake: it is refused with who is there, and the first goes on unharmed.

The tests are steps of one story and run in their order.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringbuf import RingInfo
from tests.system.up_rig import ALPHAPULSE, UpRig, free_port, wait_for

# Absolute paths: a copy of the file in another folder means the same journal and the same socket.
COPIED = """
[up]
settle = 2
[node]
port = {port}
speed = 20
at_end = "loop"
[recorder]
ring = "{name}.market"
out = "HOME/journal"
[relay]
ring = ["{name}.market"]
socket = "HOME/run/market.sock"
cursors = "HOME/cursors"
[strategy]
ring = "{name}.market"
signals = "{name}.signal"
[obs]
port = OBS
ring = ["{name}.market"]
[collector]
url = "ws://127.0.0.1:{port}"
ring = "{name}.market"
pool_cache = "none"
state = "HOME/state.json"
"""
NAMES = ("node", "recorder", "relay", "strategy", "obs", "collector")


@pytest.fixture(scope="module")
def first() -> Iterator[UpRig]:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        rig = UpRig(Path(folder), COPIED.replace("HOME", folder).replace("OBS", str(free_port())))
        rig.environment["TZ"] = "Asia/Kolkata"
        rig.up()
        wait_for(lambda: rig.status()["healthy"], "a healthy pipeline")
        wait_for(lambda: f"{rig.name}.signal" in "".join(rig.segments()), "the signals' ring")
        yield rig
        rig.end()


@pytest.fixture(scope="module")
def copy(first: UpRig) -> Path:
    other = first.folder / "copy"
    other.mkdir()
    return Path(shutil.copy(first.file, other))


@pytest.fixture(autouse=True)
def unharmed(first: UpRig) -> Iterator[None]:
    """Whatever a second copy does, the first keeps its processes, and its ring goes on."""
    before = first.pids()
    yield
    seen = RingInfo.read(f"{first.name}.market").next_sequence
    wait_for(lambda: RingInfo.read(f"{first.name}.market").next_sequence > seen, "more frames")
    assert first.pids() == before
    assert {one.restarts for one in first.processes().values()} == {0}


def run(first: UpRig, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ALPHAPULSE, *arguments], capture_output=True, text=True, env=first.environment)


def test_up_of_a_copy_is_refused_with_whose_everything_is(first: UpRig, copy: Path) -> None:
    ended = run(first, "up", "-c", str(copy), "--detach")
    assert (ended.returncode, ended.stdout) == (1, "")
    who = rf"{re.escape(str(first.file))}, which is up: supervisor pid \d+, since \d{{4}}-\S+ \S+\+05:30"
    for name, what in (
        ("collector", f"ring {first.name}.market"),
        ("collector", f"state file {first.folder}/state.json"),
        ("strategy", f"ring {first.name}.signal"),
        ("recorder", f"journal {first.folder}/journal"),
        ("relay", f"socket {first.folder}/run/market.sock"),
        ("node", f"port 127.0.0.1:{first.port}"),
        ("obs", "port 127.0.0.1:"),
    ):
        assert re.search(rf"{name}: {re.escape(what)}.* is that of {name} of {who}", ended.stderr), ended.stderr
    assert run(first, "status", "-c", str(copy)).stdout.strip().endswith("it is not up: `alphapulse up` starts it")


def test_second_process_of_each_kind_is_refused_with_who_is_there(first: UpRig, copy: Path) -> None:
    pids = first.pids()
    started = {
        name: subprocess.Popen(
            [*ALPHAPULSE, "run", name, "-c", str(copy)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=first.environment,
        )
        for name in NAMES
    }
    said = {name: one.communicate()[1] for name, one in started.items()}
    assert {name: one.returncode for name, one in started.items()} == dict.fromkeys(NAMES, 1) | {"obs": 2}
    for name in ("collector", "recorder", "relay", "strategy"):
        assert re.search(rf"process {pids[name]}\b", said[name]), said[name]
    for name in ("node", "obs"):
        assert "address already in use" in said[name].lower()
    assert not any("Traceback" in text for text in said.values())


def test_purge_of_a_copy_removes_nothing_of_the_first(first: UpRig, copy: Path) -> None:
    ended = run(first, "down", "-c", str(copy), "--purge", "--journals", "--yes", "--json")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["was_up"], found["removed"]) == (1, False, [])
    stays = [line.partition(" stays: it is that of ")[0] for line in found["problems"]]
    places = [f"journal {first.folder}/journal", f"socket {first.folder}/run/market.sock"]
    assert sorted(stays) == sorted([f"ring {first.name}.market", f"ring {first.name}.signal", *places])


def test_purge_leaves_a_journal_that_somebody_records_and_what_is_none(first: UpRig, tmp_path: Path) -> None:
    """Of a recorder that no `up` started; and a folder that holds more than its journal."""
    file = tmp_path / "alphapulse.toml"
    file.write_text(f'[recorder]\nring = "{first.name}.market"\nout = "."\n')
    down = ("down", "-c", str(file), "--purge", "--journals", "--yes", "--json")
    command = [sys.executable, "-m", "tools.command.main", "run", "recorder", "-c", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=first.environment) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline().startswith("recording ")
        ended = run(first, *down)
        assert f"journal.lock is locked by process {recorder.pid}" in json.loads(ended.stdout)["problems"][0]
        assert list(tmp_path.glob("segment-*"))
        recorder.terminate()
    ended = run(first, *down)
    expected = f"journal {tmp_path}: its files were removed; the folder stays, it holds alphapulse.toml"
    assert json.loads(ended.stdout)["problems"] == [expected]
    assert list(tmp_path.iterdir()) == [file]
