"""The systemd units: systemd itself reads them without a word, and gives them a low exposure."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.system.up_rig import PIPELINE, UpRig

MOST_EXPOSED = 2.5
USER = "daemon"
"""Of Debian's base; `nobody` is warned of."""


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the units of a pipeline."""
    place = tmp_path_factory.mktemp("up")
    rig, folder = UpRig(place, PIPELINE), place / "units"
    folder.mkdir()
    ended = rig.run("units", "--to", str(folder), "--user", USER)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_units_are_read_by_systemd_without_a_word(units: Path) -> None:
    wanted = re.search(r"^Wants=(.*)$", (units / "alphapulse.target").read_text(), re.MULTILINE)
    assert wanted is not None
    assert set(wanted[1].split()) == {
        f"alphapulse@{name}.service"
        for name in (
            "node",
            "collector",
            "strategy",
            "execute",
            "anomalies",
            "recorder",
            "relay.market",
            "relay.signal",
        )
    }
    names = [str(units / name) for name in ("alphapulse.target", "alphapulse@relay.signal.service")]
    judged = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True)
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "", "")


def test_unit_is_little_exposed(units: Path) -> None:
    instance = units / "alphapulse@collector.service"
    instance.write_text((units / "alphapulse@.service").read_text())
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(instance)], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert found is not None, judged.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_unit_leaves_what_rings_need(units: Path) -> None:
    """Each of these makes a start fail, or the rings of its processes go with them."""
    text = (units / "alphapulse@.service").read_text()
    taken = {line.partition("=")[0]: line.partition("=")[2] for line in text.splitlines() if "=" in line}
    assert not {"ProcSubset", "MemoryDenyWriteExecute", "DynamicUser", "PrivateIPC", "RootDirectory"} & set(taken)
    assert taken["RemoveIPC"] == "no"


def test_unit_may_write_journals_and_sockets_of_the_configuration(units: Path) -> None:
    text = (units / "alphapulse@.service").read_text()
    written = re.findall(r"^ReadWritePaths=-(.*)$", text, re.MULTILINE)
    assert written == [str(units.parent / "journal"), str(units.parent / "run")]
