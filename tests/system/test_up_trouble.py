"""What can go wrong with an `alphapulse up`: it is told, it is bounded, and nothing else falls."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringbuf import Writer
from tests.own_mounts import OWN_MOUNTS
from tests.system.up_rig import ALPHAPULSE, PATIENCE_S, UpRig, alive, kill, wait_for

TWO = """
[up]
settle = 1
[node.a]
port = {port}
[node.b]
"""


@pytest.fixture
def new_rig() -> Iterator[Callable[[str], UpRig]]:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        made = []

        def make(text: str) -> UpRig:
            made.append(UpRig(Path(folder), text))
            return made[-1]

        yield make
        for rig in made:
            rig.end()


DOOMED = """
[up]
settle = 30
restarts = 0
[node.taken]
port = {port}
[node.fine]
[recorder]
ring = "{name}.market"
out = "journal"
"""


def test_up_of_processes_that_die_at_once_gives_them_up_with_their_last_lines(new_rig: Callable[[str], UpRig]) -> None:
    rig = new_rig(DOOMED)
    with (
        socket.create_server(("127.0.0.1", rig.port)),
        Writer.create(f"{rig.name}.market", capacity=1 << 16, layout_digest=1) as writer,
    ):
        process = rig.begin()
        assert process.stdout is not None
        failed = {}
        for line in process.stdout:
            one = json.loads(line)
            if one["state"] == "failed":
                failed[one["name"]] = one
            if len(failed) == 2:
                break
        assert "address already in use" in failed["node.taken"]["last_lines"][-1]
        assert "layout digest" in failed["recorder"]["last_lines"][-1]
        assert {one["last_end"] for one in failed.values()} == {"exit status 1"}
        up = rig.status()["up"][0]
        assert not up["healthy"]
        assert {one["name"]: one["state"] for one in up["processes"]}["node.fine"] == "starting"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 1
        writer.close(unlink=True)
    assert rig.left_running() == []


def two_that_serve(rig: UpRig, times: int = 1) -> dict[str, int]:
    """The nodes' processes, once they have said all that they ever say: a broken pipe would end them too."""

    def said(name: str) -> bool:
        return sum("serve recording" in line for line in rig.log(name)) == times

    wait_for(lambda: said("node.a") and said("node.b"), "two nodes")
    return rig.pids()


def test_up_whose_supervisor_is_killed_ends_its_processes_and_says_so(new_rig: Callable[[str], UpRig]) -> None:
    rig = new_rig(TWO)
    supervisor = rig.up()["supervisor"]
    pids = two_that_serve(rig)
    kill(supervisor)
    wait_for(lambda: not any(map(alive, pids.values())), "the processes to end")
    (up,) = rig.status()["up"]
    assert (up["healthy"], up["processes"]) == (False, [])
    assert f"its supervisor (pid {supervisor}) was killed" in up["problem"]
    again = rig.begin()  # in the foreground; it takes the place of the one that was killed
    pids = two_that_serve(rig, times=2)
    again.kill()
    again.communicate(timeout=60)
    wait_for(lambda: not any(map(alive, pids.values())) and rig.left_running() == [], "everything to end")
    assert rig.run("down", "--purge").returncode == 0
    assert list((rig.folder / "x" / "alphapulse").iterdir()) == []


def test_up_ends_on_request_although_its_directory_was_removed(new_rig: Callable[[str], UpRig]) -> None:
    """As the run-time directory of a login is with its last session."""
    rig = new_rig(TWO)
    up = rig.begin()
    pids = two_that_serve(rig)
    shutil.rmtree(rig.directory.directory)
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=PATIENCE_S)
    assert up.returncode == 0
    assert not any(map(alive, pids.values())) and rig.left_running() == []


@pytest.mark.soak
def test_down_of_a_supervisor_that_does_not_answer_ends_it_all_the_same(new_rig: Callable[[str], UpRig]) -> None:
    rig = new_rig(TWO)
    supervisor = rig.up()["supervisor"]
    pids = two_that_serve(rig)
    os.kill(supervisor, signal.SIGSTOP)
    assert rig.run("down").returncode == 0
    wait_for(lambda: not any(map(alive, [supervisor, *pids.values()])), "everything to end")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[collecter]\n", "collecter: unknown section; did you mean collector?"),
        ('[node]\nport = "a"\n', "node.port: Expected int, got str"),
        ("[up]\n", "it names no process"),
    ],
)
def test_up_of_a_wrong_configuration_starts_nothing(new_rig: Callable[[str], UpRig], text: str, expected: str) -> None:
    rig = new_rig(text)
    ended = rig.run("up")
    assert ended.returncode == 2
    assert expected in ended.stderr
    assert list((rig.folder / "x").glob("alphapulse/up-*")) == []


def test_up_without_a_configuration_says_how_to_get_one(tmp_path: Path) -> None:
    ended = subprocess.run([*ALPHAPULSE, "up"], cwd=tmp_path, capture_output=True, text=True, env=sources())
    assert ended.returncode == 2
    assert "no alphapulse.toml here: give a configuration with -c FILE, or write one: alphapulse init" in ended.stderr


def test_up_without_the_supervisor_package_says_which_extra_has_it(new_rig: Callable[[str], UpRig]) -> None:
    rig = new_rig(TWO)
    (rig.folder / "without").mkdir()
    (rig.folder / "without" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'supervisor':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    path = os.pathsep.join([str(rig.folder / "without"), rig.environment["PYTHONPATH"]])
    ended = rig.run("up", PYTHONPATH=path)
    assert ended.returncode == 2
    assert "pip install 'alphapulse[up]'" in ended.stderr


def test_up_in_a_directory_that_others_may_write_is_refused(new_rig: Callable[[str], UpRig]) -> None:
    rig = new_rig(TWO)
    (rig.folder / "x" / "alphapulse").mkdir()
    (rig.folder / "x" / "alphapulse").chmod(0o777)
    ended = rig.run("up")
    assert ended.returncode == 2
    assert "run-time directory" in ended.stderr
    assert "expected mode 0700, found 0777" in ended.stderr


FULL_DISK = """
import os, sys
from pathlib import Path
from supervisor import loggers
from tools.up import careful_log

careful_log.use()
log, ballast = Path("disk/one.log"), Path("disk/ballast")
logger = loggers.getLogger()
loggers.handle_file(logger, str(log), "%(message)s", rotating=True, maxbytes=4_000, backups=1)
fill = lambda: ballast.write_bytes(b"x" * (1 << 20))
try:
    fill()
except OSError:
    pass
for number in range(2000):
    logger.info(f"lost {number} " + "x" * 50 + "\\n")
ballast.unlink()
for number in range(200):
    logger.info(f"kept {number} " + "x" * 50 + "\\n")
logger.info("last\\n")
logger.close()
assert log.stat().st_size < 4_200 and log.with_suffix(".log.1").stat().st_size < 4_200
print(repr(log.read_text()[-29:]))
"""


def test_log_on_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "full.py").write_text(FULL_DISK)
    mount = f"mount -t tmpfs -o size=64k none disk && {sys.executable} full.py"
    ended = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mount], cwd=tmp_path, capture_output=True, text=True, env=sources()
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("last\\n'\n")


CHATTY = """
[up]
settle = 2
[node]
port = {port}
speed = 20
at_end = "loop"
[collector]
url = "ws://127.0.0.1:{port}"
ring = "{name}.market"
pool_cache = "none"
"""
IN_A_SMALL_PLACE = """
import os, sys
from pathlib import Path
from tests.system.up_rig import UpRig, kill, wait_for
from ringbuf import RingInfo, list_rings

rig = UpRig(Path("place").absolute(), sys.argv[1])
rig.environment["ALPHAPULSE_LOG_LEVEL"] = "debug"
os.system(f"mount -t tmpfs -o size=1m none place/x && chmod 700 place/x")
frames = lambda: RingInfo.read(f"{rig.name}.market").next_sequence
try:
    rig.up()
    rig.wait_until_healthy()
    wait_for(lambda: f"{rig.name}.market" in list_rings(), "the ring")
    ballast = Path("place/x/ballast")
    try:
        ballast.write_bytes(bytes(1 << 20))
    except OSError as error:
        print(error.strerror)
    before, pids = frames(), rig.pids()
    wait_for(lambda: frames() > before + 500, "frames on a full disk")
    assert rig.pids() == pids
    kill(pids["collector"])
    wait_for(lambda: rig.pids()["collector"] not in (0, pids["collector"]), "another collector")
    rig.wait_until_healthy()
    before = frames()
    wait_for(lambda: frames() > before + 100, "frames of another collector")
    ballast.unlink()
    print("done")
finally:
    rig.run("down", "--purge")
    os.system("umount place/x")
"""


@pytest.mark.soak
def test_up_on_a_full_disk_goes_on() -> None:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        (Path(folder) / "place").mkdir()
        command = [*OWN_MOUNTS, sys.executable, "-c", IN_A_SMALL_PLACE, CHATTY]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=sources())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split("\n")[:2] == ["No space left on device", "done"]


def sources() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
