"""The command line as a user meets it: help, exit codes, one line for a mistake, and a fast start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from consumers.execution.counts import ExecutionCounts
from ringbuf import SharedCounters, Writer
from tlv.codes import Domain, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build
from tools.command.main import COMMANDS

TREE = [sys.executable, "-m", "tools.command.main"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TREE, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_cli_help_lists_every_command() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    listed = [line.split()[0] for line in ended.stdout.partition("Commands:")[2].splitlines() if line.strip()]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


INTERRUPTED_AT = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
if not {module!r}:
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv[1:] = ["layout", "--json"]
from tools.command.entry import main
main()
"""


@pytest.mark.parametrize("module", ["click", "tools.layout", ""], ids=["start", "command", "end"])
def test_cli_interrupted_before_or_after_its_command_ends_without_a_traceback(module: str) -> None:
    script = INTERRUPTED_AT.format(module=module)
    ended = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


HEAVY = ("numba", "llvmlite", "numpy", "asyncio", "rich", "structlog", "websockets")


@pytest.mark.parametrize(
    ("module", "arguments", "needed"),
    [
        ("tools.command.main", ["--help"], set()),
        ("tools.command.main", ["status", "--help"], set()),
        ("tools.command.main", ["status", "--json"], {"numpy"}),
        ("tools.command.main", ["status"], {"numpy"}),
        ("tools.ringstat", ["--once", "--json"], {"numpy"}),
        ("tools.ringstat", ["--once"], {"numpy", "rich"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_cli_command_that_looks_imports_no_compiler(
    module: str, arguments: list[str], needed: set[str], new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    """`status` without an `alphapulse up`, whose socket is asked with the supervisor package."""
    script = f"import sys; sys.argv[1:] = {arguments}; from {module} import main\n"
    script += "try: main()\nexcept SystemExit: pass\n"
    script += f"print(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)"
    with Writer.create(new_ring_name(), capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Heartbeat(*range(9))], sequence=1))
        with closing(SharedCounters.create(ExecutionCounts, writer.name, "executor")):
            ended = subprocess.run(
                [sys.executable, "-c", script],
                env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
                capture_output=True,
                text=True,
                check=True,
            )
        assert "--help" in arguments or writer.name in ended.stdout
    assert set(ended.stderr.splitlines()[-1].split()) == needed


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["demo", "--speed", "fast"], ["dump"], ["bench", "--seconds", "x"]]
)
def test_cli_wrong_command_line_exits_2_without_traceback(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr


def test_cli_known_error_is_one_line_and_exit_1() -> None:
    ended = run("dump", "no.such.ring")
    assert ended.returncode in {1, 2}
    assert ended.stderr.startswith("alphapulse: error: ")
    assert ended.stderr.count("\n") == 1
    assert "no.such.ring" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "event"),
    [
        (["nonsense"], 2, "No such command 'nonsense'."),
        (["demo", "--speed", "fast"], 2, "Invalid value for '--speed'"),
        (["dump", "no.such.ring"], 1, "no ring 'no.such.ring'"),
        (["-c", "/no/such.toml", "status"], 2, "/no/such.toml"),
    ],
)
def test_cli_error_is_a_line_of_json_where_the_log_is(arguments: list[str], code: int, event: str) -> None:
    ended = run("--log-format", "json", *arguments)
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert ended.returncode == code and event in line["event"] and line["level"] == "error"


def test_cli_log_format_that_is_none_is_refused_by_name() -> None:
    ended = run("--log-format", "xml", "status")
    assert ended.returncode == 2 and "'--log-format'" in ended.stderr and "'text', 'json'" in ended.stderr


def test_cli_that_complains_to_a_closed_pipe_ends_as_it_should() -> None:
    """It is not its own output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        ended = subprocess.run([*TREE, "dump", "no.such.ring"], stdout=subprocess.PIPE, stderr=broken, timeout=120)
    assert (ended.returncode, ended.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "meant"), [(["dmp"], "dump"), (["statuss"], "status"), (["journal", "verfy"], "verify")]
)
def test_cli_misspelt_command_is_told_which_may_be_meant(arguments: list[str], meant: str) -> None:
    ended = run(*arguments)
    assert (ended.returncode, f"did you mean {meant}?" in ended.stderr) == (2, True), ended.stderr


def test_cli_command_that_is_like_none_is_told_none() -> None:
    assert "did you mean" not in run("nonsense").stderr


def test_cli_ring_that_is_not_there_is_told_with_those_that_are(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16):
        ended = run("dump", f"{ring_name}.other")
    assert ended.returncode == 1
    there = ended.stderr.partition("(there: ")[2]
    assert ring_name in there or " more)" in there


@pytest.mark.parametrize("program", ["alphapulse", "ringstat"])
def test_cli_says_its_version(program: str) -> None:
    module = "tools.command.main" if program == "alphapulse" else "tools.ringstat"
    ended = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, f"{program}, version {version('alphapulse')}\n")


def completed(line: str, **environment: str) -> list[str]:
    """What a shell is told for a line that ends at the cursor."""
    asked = {"_ALPHAPULSE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    ended = subprocess.run(
        [*TREE], capture_output=True, text=True, timeout=120, env=os.environ | asked | environment, check=True
    )
    return [answer.partition(",")[2] for answer in ended.stdout.splitlines()]


def test_cli_completes_commands_options_choices_and_rings(ring_name: str) -> None:
    assert completed("alphapulse du") == ["dump"]
    assert completed("alphapulse journal ver") == ["verify"]
    assert "--until-closed" in completed("alphapulse record --unt")
    assert completed("alphapulse completion z") == ["zsh"]
    with Writer.create(ring_name, capacity=1 << 16):
        assert completed(f"alphapulse dump {ring_name[:-2]}") == [ring_name]
        assert completed(f"alphapulse record --ring {ring_name}") == [ring_name]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_cli_prints_what_a_shell_reads_to_complete(shell: str) -> None:
    ended = run("completion", shell)
    assert ended.returncode == 0
    assert all(
        f"_{program.upper()}_COMPLETE={shell}_complete" in ended.stdout for program in ("alphapulse", "ringstat")
    )


def test_cli_completion_is_read_by_bash() -> None:
    script = run("completion", "bash").stdout + "complete -p alphapulse ringstat\n"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == [
        "complete -o nosort -F _alphapulse_completion alphapulse",
        "complete -o nosort -F _ringstat_completion ringstat",
    ]


def test_cli_output_into_a_closed_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([*TREE, "layout"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 0


def test_cli_interrupted_exits_130_or_0_without_traceback() -> None:
    process = subprocess.Popen([*TREE, "node", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in {0, 130}
    assert b"Traceback" not in errors
