"""The supervisor with real processes: readiness, a crash told with its last words, and nothing left behind.

The children are commands of the project; none of them is a stand-in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tools.command.supervisor import ChildFailed, Interrupted, Supervisor, child_environment

NODE = ["node", "--port", "0", "--json"]


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_supervisor_start_returns_when_the_child_has_said_its_first_line(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        node = supervisor.start("node", NODE)
        assert node.state == "running"
        assert "ws://127.0.0.1:" in node.lines()[0]
        pid = node.process.pid
        supervisor.end("node", timeout_s=60)
        assert node.state == "done"
    assert not alive(pid)


def test_supervisor_start_of_a_command_that_fails_tells_its_last_words(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor, pytest.raises(ChildFailed) as caught:
        supervisor.start("node", ["node", str(tmp_path / "no-such-recording")])
    assert "node ended before it was ready (exit" in str(caught.value)
    assert "no-such-recording" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_supervisor_pause_tells_of_a_child_that_was_killed(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        node = supervisor.start("node", NODE)
        os.kill(node.process.pid, signal.SIGKILL)
        node.process.wait()
        with pytest.raises(ChildFailed, match="node ended by itself \\(signal SIGKILL\\)"):
            supervisor.pause()


def test_supervisor_interrupted_while_starting_stops_what_it_started(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    with pytest.raises(Interrupted), supervisor:
        supervisor.start("node", NODE)
        supervisor.interrupted = lambda: True
        supervisor.start("second", NODE)
    assert [child.process.poll() is not None for child in supervisor.children.values()] == [True, True]


def test_supervisor_end_of_a_stopped_child_lets_it_end_cleanly(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    node = supervisor.start("node", NODE)
    os.kill(node.process.pid, signal.SIGSTOP)
    supervisor.end("node", timeout_s=60)
    assert node.state == "done"


def test_supervisor_stop_of_a_child_that_does_not_end_kills_it(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    node = supervisor.start("node", NODE)

    def hold_back() -> None:
        while node.process.poll() is None:
            with suppress(ProcessLookupError):  # it may end between the two
                os.kill(node.process.pid, signal.SIGSTOP)
            time.sleep(0.001)

    holding = threading.Thread(target=hold_back)
    holding.start()
    supervisor.stop()
    holding.join()
    assert node.state == "signal SIGKILL"


def test_child_of_a_killed_supervisor_ends(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tools.command.supervisor import Supervisor\n"
        f"print(Supervisor(Path({str(tmp_path)!r})).start('node', {NODE!r}).process.pid, flush=True); time.sleep(60)\n"
    )
    environment = child_environment({})
    del environment["ALPHAPULSE_PARENT_PID"]
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    assert gone_within(pid, 2.0)


def test_child_whose_supervisor_is_another_process_does_not_begin(tmp_path: Path) -> None:
    environment = child_environment({"ALPHAPULSE_PARENT_PID": "1" if os.getpid() != 1 else "2"})
    ended = subprocess.run(
        [sys.executable, "-m", "tools.command.main", *NODE],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"")
