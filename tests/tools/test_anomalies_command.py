"""`alphapulse anomalies` on the bundled recording: the same on its journal and on its ring, told once, with links."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from consumers.journal import Fsync, JournalWriter
from consumers.recorder import Recorder
from producers.chains.configuration import load_chain
from ringbuf import Reader, Writer
from ringbuf.layout import TIME_ROW
from tests.consumers.journal_frames import layout
from tlv.codes import AnomalyKind, AnomalyState
from tlv.layout import LAYOUT_DIGEST, SystemHealth
from tlv.message import parse
from tools.anomalies import command
from tools.anomaly_text import Explorers, anomaly_to_dict
from tools.prove.anomalies.recorded import RING, recorded

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
GAPS = [("gap", "once", 5, 13522170), ("gap", "once", 8, 13522231)]
"""What nobody recorded; the only anomalies of the recording that need no time to pass."""


def record(directory: Path) -> None:
    """A journal of the recording, as a recorder that was there would have left it."""
    frames = recorded("polygon")
    buffer, table, count = layout([frame.payload for frame in frames], 1)
    table[TIME_ROW] = np.array([frame.time_ns for frame in frames])
    with JournalWriter(directory, ring_name="market.test", ring_uuid=RING, fsync=Fsync.NEVER) as journal:
        journal.append(buffer, table, count)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def seen(line: dict[str, Any]) -> tuple[str, str, int, int | None]:
    return line["kind"], line["state"], line["value"], line["block"]


def test_anomalies_of_a_journal_are_printed_with_threshold_evidence_and_link(tmp_path: Path) -> None:
    record(tmp_path)
    ended = CliRunner().invoke(command, [str(tmp_path), "--json"], standalone_mode=False)
    assert ended.exception is None, ended.output
    *lines, summary = lines_of(ended.stdout)
    silence = ("silence", "begun", 30_750, 13522230), ("silence", "ended", 38_250, 13522239)
    assert [seen(line) for line in lines] == [GAPS[0], silence[0], GAPS[1], silence[1]]
    assert (summary["frames"], summary["lost"], summary["poisoned"]) == (len(recorded("polygon")), 0, 0)
    assert (summary["anomalies"]["gap"], summary["anomalies"]["silence"], summary["lasting"]) == (2, 1, 0)
    first, begun = lines[0], lines[1]
    assert first["link"] == "https://polygonscan.com/block/13522170"
    assert begun["link"] == f"https://polygonscan.com/block/{begun['block_hash']}"
    assert (begun["threshold"], begun["unit"], begun["chain_id"]) == (30_000, "ms", 137)
    assert begun["time"] == "2021-04-20T20:12:09.000Z"
    assert 0 < begun["first_sequence"] < begun["last_sequence"] <= len(recorded("polygon"))


def test_anomalies_of_a_journal_as_text_and_with_other_thresholds(tmp_path: Path) -> None:
    record(tmp_path)
    asked = [str(tmp_path), "--silence", "60", "--gap", "6", "--reorg-depth", "2"]
    ended = CliRunner().invoke(command, asked, standalone_mode=False)
    gap, reorg, summary = ended.stdout.splitlines()
    assert "reorg_depth once  2 blocks (threshold 2)  blocks 13522239 to 13522240 left the chain" in reorg
    assert "gap once  8 missing (threshold 6)  blocks 13522231 to 13522238: NODE_HAS_NO_BLOCK" in gap
    assert summary.endswith("0 lost, 0 poisoned: 1 gap, 1 reorg_depth; 0 last")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rate-high", "100"], "--rate-high"),
        (["--rate-low", "100"], "--rate-low"),
        (["--price-jump", "1.5"], "--price-jump"),
        (["--silence", "0"], "--silence"),
        (["--liquidity-drop", "10001"], "--liquidity-drop"),
        (["--chain", "poligon"], "expected one of polygon, ethereum, base or a .toml file"),
        (["nowhere"], "nowhere"),
        (["--ring", "market.one", "--health", "market.one"], "--health: expected another ring than --ring"),
    ],
)
def test_anomalies_with_values_that_cannot_be_names_them(arguments: list[str], expected: str) -> None:
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code != 0
    assert expected in ended.output + str(ended.exception)


@pytest.mark.parametrize(
    ("changed", "link"),
    [
        ({}, "https://etherscan.io/block/0x" + "ab" * 32),
        ({"block_hash": bytes(32)}, "https://etherscan.io/block/7"),
        ({"block_hash": bytes(32), "block_number": -1}, None),
        ({"chain_id": 31337}, "http://127.0.0.1:4000/block/0x" + "ab" * 32),
        ({"chain_id": 5}, None),
    ],
)
def test_anomaly_links_to_its_block_at_the_explorer_of_its_chain(changed: dict[str, Any], link: str | None) -> None:
    own = replace(load_chain("polygon"), chain_id=31337, explorer="http://127.0.0.1:4000/")
    values = (1, 1, 0, 7, 1, 2, 1, b"\xab" * 32, bytes(16), bytes(20), "because", 0, AnomalyKind.GAP, AnomalyState.ONCE)
    health = replace(SystemHealth(*values), **changed)
    assert anomaly_to_dict(health, Explorers([own]))["link"] == link


def start(*arguments: str) -> subprocess.Popen[str]:
    """The command, when it is ready."""
    words = [sys.executable, "-m", "tools.command.main", "anomalies", *arguments, "--json"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line and json.loads(line)["ready"], process.communicate()
    return process


def published(ring: str) -> list[SystemHealth]:
    with closing(Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)) as reader:
        found = []
        while poll := reader.poll():
            found += [parse(frame.payload).first(SystemHealth) for frame in poll]
    return [health for health in found if health is not None]


def test_anomalies_of_a_ring_are_published_once_over_a_kill_and_are_those_of_its_journal(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    """The first process is killed after the first gap; the second begins at the ring's oldest frame again."""
    ring, health = new_ring_name(), new_ring_name()
    frames = recorded("polygon")
    first = next(at for at, frame in enumerate(frames) if frame.record.layout.name == "Gap") + 1
    with Writer.create(ring, capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writer:
        for frame in frames[:first]:
            writer.publish(frame.payload)
        killed = start("--ring", ring, "--health", health)
        assert killed.stdout is not None
        before = lines_of(killed.stdout.readline())
        assert [seen(line) for line in before] == GAPS[:1]
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        for frame in frames[first:]:
            writer.publish(frame.payload)
        writer.close()
        with Recorder(ring, tmp_path, report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: recorder.next_sequence == len(frames) + 1, until_closed=True)
        again = start("--ring", ring, "--health", health, "--until-closed")
        out, err = again.communicate(timeout=PATIENCE_S)
    assert (again.returncode, err) == (0, "")
    *lines, summary = lines_of(out)
    assert [seen(line) for line in lines] == GAPS[1:]
    assert (summary["frames"], summary["lost"]) == (len(frames), 0)
    assert [one.block_number for one in published(health)] == [gap[-1] for gap in GAPS]
    recorded_ones = CliRunner().invoke(command, [str(tmp_path), "--json"], standalone_mode=False)
    assert lines_of(recorded_ones.stdout)[:-1] == before + lines
