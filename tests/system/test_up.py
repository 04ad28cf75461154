"""`alphapulse up` as an operator uses it: real processes on the recorded blocks, in one pipeline from start to purge.

The tests of this file are steps of one story and run in their order.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumers.journal import JournalReader
from ringbuf import Frame, RingInfo, list_rings
from tests.system.up_rig import ALPHAPULSE, PIPELINE, UpRig, alive, free_port, kill, wait_for

NAMES = {"node", "collector", "strategy", "execute", "anomalies", "recorder", "relay.market", "relay.signal"}
QUICK_KILLS = ("collector", "recorder")


@pytest.fixture(scope="module")
def rig() -> Iterator[UpRig]:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        rig = UpRig(Path(folder), PIPELINE)
        rig.environment |= {"ALPHAPULSE_LOG_FORMAT": "json", "ALPHAPULSE_LOG_LEVEL": "info"}
        yield rig
        rig.end()


def frames(rig: UpRig) -> int:
    return RingInfo.read(f"{rig.name}.market").next_sequence - 1


def recorded(rig: UpRig) -> list[int]:
    return [item.sequence for item in JournalReader(rig.folder / "journal") if isinstance(item, Frame)]


def test_up_runs_whatever_the_configuration_names_in_any_order(rig: UpRig) -> None:
    line = rig.up()
    assert set(line["processes"]) == NAMES
    rig.wait_until_healthy()
    wait_for(
        lambda: {f"{rig.name}.{one}" for one in ("market", "signal", "system")} <= set(list_rings()), "three rings"
    )
    found = wait_for(lambda: (now := rig.status())["healthy"] and now, "a healthy feed")
    assert {one["name"] for one in found["up"][0]["processes"]} == NAMES
    assert {Path(one["path"]).name: one["answers"] for one in found["relays"]} == {
        "market.sock": True,
        "signal.sock": True,
    }
    assert Path(line["directory"]).stat().st_mode & 0o777 == 0o700
    wait_for(lambda: frames(rig) > 100, "events in the ring")


def test_up_of_a_configuration_that_is_up_is_refused_with_who_is_there(rig: UpRig) -> None:
    before = rig.pids()
    ended = rig.run("up")
    assert ended.returncode == 1
    assert re.search(rf"{rig.file} is up already: supervisor pid \d+, since \d{{4}}-", ended.stderr), ended.stderr
    assert rig.pids() == before


def test_up_keeps_every_process_but_the_killed_one_and_status_says_so_meanwhile(rig: UpRig) -> None:
    kill_at_random(rig, list(QUICK_KILLS))


def kill_at_random(rig: UpRig, victims: list[str]) -> None:
    for victim in victims:
        before = rig.pids()
        kill(before[victim])
        away = wait_for(lambda name=victim: not (one := rig.processes()[name]).healthy and one, f"{victim} to be away")
        assert away.state in {"starting", "backing off", "ended"}
        rig.wait_until_healthy()
        after = rig.processes()
        assert after[victim].last_end == "terminated by SIGKILL"
        assert {name for name in NAMES if after[name].pid != before[name]} == {victim}
    wait_for(lambda: rig.status()["healthy"], "all to be well")


def test_restart_starts_one_process_anew_with_the_file_as_it_is_now(rig: UpRig) -> None:
    before, text = rig.pids(), rig.file.read_text()
    rig.file.write_text(text.replace('"run/signal.sock"', '"run/other.sock"'))
    assert rig.run("restart", "relay.signal").returncode == 0
    wait_for((rig.folder / "run/other.sock").is_socket, "the new socket")
    after = rig.pids()
    assert {name for name in NAMES if before[name] != after[name]} == {"relay.signal"}
    rig.file.write_text(text.replace("20", '"soon"'))
    ended = rig.run("restart", "node")
    assert (ended.returncode, rig.pids()) == (2, after)
    rig.file.write_text(text)
    ended = rig.run("restart", "colector")
    assert ended.returncode == 2
    assert "did you mean collector?" in ended.stderr


def test_logs_show_what_a_process_printed_and_who_was_killed(rig: UpRig) -> None:
    assert f"recording {rig.name}.market into {rig.folder}/journal" in rig.run("logs", "recorder").stdout
    supervised = rig.run("logs", "supervisord", "-n", "1000").stdout
    assert "exited: collector (terminated by SIGKILL" in supervised
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z [A-Z]+ ", line) for line in supervised.splitlines())
    unnamed = rig.run("logs", "--no-names", "-n", "1000").stdout.splitlines()
    logged = [line for line in map(json.loads, (one for one in unnamed if one.startswith("{"))) if "level" in line]
    assert {"collector"} <= {line["process"] for line in logged} <= NAMES
    assert any(line["event"].startswith("connected to ") and line["host"] == "127.0.0.1" for line in logged)
    command = [*ALPHAPULSE, "logs", "-f", "relay.market", "-c", str(rig.file)]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=rig.environment)
    assert following.stdout is not None
    assert following.stdout.readline().startswith("serving ")
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=60)
    assert following.returncode == 0
    everything = rig.run("logs", "-n", "1000").stdout
    assert {line.partition(" ")[0] for line in everything.splitlines()} >= NAMES


def test_down_ends_everything_and_the_journal_has_all_that_was_published(
    rig: UpRig, tell: Callable[[str], None]
) -> None:
    pids = rig.pids()
    begin = time.monotonic()
    ended = rig.run("down")
    took_s = time.monotonic() - begin
    assert ended.returncode == 0, ended.stderr
    assert rig.left_running() == []
    assert not any(map(alive, pids.values()))
    assert [RingInfo.read(f"{rig.name}.{ring}").closed for ring in ("market", "signal")] == [True, True]
    tell(f"`alphapulse down` took {took_s:.2f} s")
    assert recorded(rig) == list(range(1, frames(rig) + 1))
    status = rig.run("status")
    assert status.returncode == 1
    assert "it is not up" in status.stdout
    assert rig.run("down").returncode == 0


def test_down_with_purge_leaves_journals_and_nothing_else(rig: UpRig) -> None:
    ended = rig.run("down", "--purge", "--journals")
    assert ended.returncode == 2
    assert "nobody is there to be asked" in ended.stderr
    assert rig.segments()
    assert rig.run("down", "--purge").returncode == 0
    assert rig.segments() == []
    assert list((rig.folder / "x" / "alphapulse").iterdir()) == []
    assert list((rig.folder / "run").iterdir()) == []
    assert list((rig.folder / "journal").iterdir())
    assert rig.run("down", "--purge", "--journals", "--yes").returncode == 0
    assert not (rig.folder / "journal").exists()


OBS = """
[obs]
port = {obs_port}
ring = ["{name}.market"]
"""


def readyz(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.soak
def test_readyz_of_an_obs_under_up_says_so_while_the_collector_is_away() -> None:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        port = free_port()
        rig = UpRig(Path(folder), PIPELINE + OBS.replace("{obs_port}", str(port)))
        rig.up()
        try:
            wait_for(lambda: readyz(port) == 200, "a pipeline that is ready")
            kill(rig.pids()["collector"])
            wait_for(lambda: readyz(port) == 503, "one that says that it is not")
            wait_for(lambda: readyz(port) == 200, "one that is ready again")
            assert rig.run("down", "--purge").returncode == 0
            assert rig.segments() == []
        finally:
            rig.end()


@pytest.mark.soak
def test_up_under_load_survives_fifty_kills_at_random() -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    draw = random.Random(seed)
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
    try:
        with tempfile.TemporaryDirectory(prefix="ap") as folder:
            rig = UpRig(Path(folder), PIPELINE)
            rig.up()
            rig.wait_until_healthy()
            kill_at_random(rig, [draw.choice(sorted(NAMES)) for _ in range(50)])
            for _ in range(2):
                assert rig.run("down").returncode == 0
                assert recorded(rig) == list(range(1, frames(rig) + 1))
                before = frames(rig)
                rig.up()
                wait_for(lambda before=before: frames(rig) > before, "more events")
            assert rig.run("down", "--purge").returncode == 0
            assert rig.segments() == []
    finally:
        for one in load:
            one.kill()
            one.wait()
