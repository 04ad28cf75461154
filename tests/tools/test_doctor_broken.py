"""The doctor on broken set-ups: each fault is named with its remedy, in words that docs/doctor.md has too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.own_mounts import OWN_MOUNTS
from tests.tools.broken_setups import BROKEN, Broken, SetUp, real_node, stop_node
from tlv.errors import UsageError
from tools.command.main import group
from tools.doctor.finding import CheckResult

DOCUMENT = Path(__file__).parents[2] / "docs" / "doctor.md"
KEYS = {"name", "verdict", "found", "advice", "measured", "expected", "where"}


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    yield
    stop_node()


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_ring_name: Callable[[], str]) -> Iterator[SetUp]:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "CREDENTIALS_DIRECTORY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", os.environ.get("NUMBA_DISABLE_JIT", "0"))  # the command sets it
    with ExitStack() as stack:
        yield SetUp(tmp_path, monkeypatch, stack, new_ring_name())


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row.fault.replace(" ", "-"))
def test_doctor_names_fault_and_remedy_of_a_broken_setup(row: Broken, setup: SetUp) -> None:
    says = row.says.replace("{ring}", setup.ring)
    found = list(row.make(setup))
    told = [one for one in found if one.name.startswith(row.check) and one.verdict == row.verdict]
    assert any(says in all_of(one) and row.remedy in one.advice for one in told), "\n".join(one.line for one in found)


def all_of(finding: CheckResult) -> str:
    """What a person reads of a finding, but its remedy."""
    expected = f", expected {finding.expected}" if finding.expected else ""
    return f"{finding.found}{expected} [{finding.where}]"


def test_doctor_document_has_every_broken_setup_with_what_is_said() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("## Faults")[2]
    rows = [f"| {row.fault} | {row.verdict} | {row.check} | {cell(row.says)} | {cell(row.remedy)} |" for row in BROKEN]
    assert [line for line in table.splitlines() if line.startswith("| ")][1:] == rows


def cell(text: str) -> str:
    """A fragment as the document has it."""
    return text.replace("|", "\\|")


def test_doctor_of_a_configuration_says_it_in_json_and_by_exit_code(setup: SetUp) -> None:
    text = f'[collector]\nurl = "wss://node.example/v2/YOUR-API-KEY"\nring = "{setup.ring}"\n'
    path = setup.file("alphapulse.toml", text)
    ended = CliRunner().invoke(group, ["doctor", "-c", str(path), "--json"], standalone_mode=False)
    report = json.loads(ended.stdout)
    assert ended.return_value == 1 and report["healthy"] is False
    assert set(report) == {"healthy", "checks", "endpoints"}
    assert all(set(check) == KEYS for check in report["checks"])
    assert report["endpoints"] == [], "a URL that is none is not asked"
    (wrong,) = [check for check in report["checks"] if check["verdict"] == "fail" and check["name"] == "configuration"]
    assert "collector.url" in wrong["found"] and wrong["where"] == str(path)


def test_doctor_of_a_sound_configuration_asks_its_endpoints_and_changes_nothing(setup: SetUp) -> None:
    url = real_node().url  # its program is found in the cache directory, which is another one below
    runtime = setup.open_folder()
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        setup.environment.setenv(name, str(runtime))
    path = setup.file("alphapulse.toml", f'[collector]\nurl = "{url}"\nring = "{setup.ring}"\n')
    before = sorted(runtime.rglob("*")) + sorted(setup.folder.rglob("*"))
    asked = CliRunner().invoke(group, ["doctor", "-c", str(path), "--wait", "0.5", "--json"], standalone_mode=False)
    assert [one["host"] for one in json.loads(asked.stdout)["endpoints"]] == ["127.0.0.1"]
    unasked = CliRunner().invoke(group, ["doctor", "-c", str(path), "--no-ask", "--json"], standalone_mode=False)
    report = json.loads(unasked.stdout)
    assert report["endpoints"] == []
    assert [check for check in report["checks"] if check["verdict"] == "fail"] == []
    assert unasked.return_value == 0
    assert sorted(runtime.rglob("*")) + sorted(setup.folder.rglob("*")) == before


def test_doctor_on_a_machine_without_room_fails_and_says_where() -> None:
    """The command itself, in a /dev/shm of its own."""
    script = 'mount -t tmpfs -o size=8m none /dev/shm && exec "$@"'
    command = [*OWN_MOUNTS, "sh", "-c", script, "sh", sys.executable, "-m", "tools.command.main", "doctor"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1, ended.stderr
    assert (
        "fail  shared memory: 8 MiB free, expected 64 MiB [/dev/shm]  (mount -o remount,size=256m /dev/shm"
        in ended.stdout
    )
    assert "1 failed" in ended.stderr


@pytest.mark.parametrize("arguments", [["--no-ask"], ["--url", "https://node.example"]])
def test_doctor_refuses_a_command_line_before_it_looks(arguments: list[str]) -> None:
    ended = CliRunner().invoke(group, ["doctor", *arguments])
    assert isinstance(ended.exception, UsageError) and not ended.stdout
