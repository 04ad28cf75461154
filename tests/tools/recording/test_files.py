"""Recordings on disk: the bundled ones are what their provenance says, damaged ones are refused by file and line."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.recording import RecordingError, bundled_recording, load_recording
from tools.recording.sessions import ALWAYS

BUNDLED = bundled_recording().parent
TEST_DATA = Path(__file__).parents[2] / "data"
P = "recording_2021-04-20"
UNKNOWN_FOREVER = "0x8add914454ed7ee33c9a533a545555c376f37f3fdffb56f9daf0e848a2ff268a"
UNKNOWN_ONCE = "0x5302a16d0efa4681a9c6ea6f540759e1730e1de77d086f23f860b4d72517f71f"


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[str, Callable[[list[Any]], object]], Path]:
    """A copy of the Polygon recording in which one file was edited, as a list of its rows."""

    def edit(name: str, change: Callable[[list[Any]], object]) -> Path:
        folder = tmp_path / "polygon"
        shutil.copytree(bundled_recording(), folder)
        rows = lines(folder / name)
        change(rows)
        (folder / name).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
        return folder

    return edit


@pytest.mark.parametrize("root", [BUNDLED, TEST_DATA], ids=["bundled", "tests"])
def test_provenance_names_every_file_with_its_checksum(root: Path) -> None:
    said = dict(
        re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (root / "PROVENANCE.md").read_text(), re.MULTILINE)
    )
    found = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "PROVENANCE.md"
    }
    assert found == said


def test_bundled_polygon_recording_holds_what_the_provenance_says() -> None:
    recording = load_recording(bundled_recording())
    assert recording.chain_id == 137
    assert len(recording.blocks) == 178
    assert sum(len(logs) for logs in recording.logs.values()) == 5136 + 85
    assert recording.unknown_answers == {UNKNOWN_FOREVER: ALWAYS, UNKNOWN_ONCE: 1}
    assert [step.due_ns for step in recording.steps] == sorted(step.due_ns for step in recording.steps)


def test_bundled_ethereum_blocks_load_without_a_session() -> None:
    recording = load_recording(bundled_recording("ethereum"))
    assert recording.chain_id == 1
    assert len(recording.blocks) == 12
    assert sum(len(logs) for logs in recording.logs.values()) == 5116
    assert recording.steps[-1].due_ns == 11 * 12 * 10**9


def test_load_recording_log_without_removed_member_is_served_as_not_removed() -> None:
    recording = load_recording(bundled_recording("ethereum"))
    assert {json.loads(log.body)["removed"] for logs in recording.logs.values() for log in logs} == {False}


def test_load_recording_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nowhere: expected a folder"):
        load_recording(tmp_path / "nowhere")


def test_load_recording_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"expected one recording .* found none"):
        load_recording(tmp_path)


def test_load_recording_two_recordings_in_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}_rpc_session1.jsonl").write_text("")
    with pytest.raises(RecordingError, match=r"expected one recording .* found one, two"):
        load_recording(tmp_path)


def test_load_recording_without_headers_is_refused(tmp_path: Path) -> None:
    shutil.copy(bundled_recording() / f"{P}_rpc_session1.jsonl.gz", tmp_path)
    with pytest.raises(RecordingError, match=f"expected {P}_headers.jsonl.gz"):
        load_recording(tmp_path)


def test_load_recording_without_metadata_needs_a_chain_id(tmp_path: Path) -> None:
    for path in bundled_recording().glob(f"{P}*"):
        shutil.copy(path, tmp_path)
    with pytest.raises(RecordingError, match="chain id"):
        load_recording(tmp_path)
    assert load_recording(tmp_path, chain_id=137).call_answers == {}


def test_load_recording_uncompressed_files_in_a_sibling_metadata_layout_load(tmp_path: Path) -> None:
    for path in bundled_recording().glob("*.jsonl.gz"):
        target = tmp_path / ("metadata" if path.name.startswith(("pools", "tokens")) else "polygon") / path.stem
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.decompress(path.read_bytes()))
    assert load_recording(tmp_path / "polygon").call_answers == load_recording(bundled_recording()).call_answers


def test_load_recording_truncated_gzip_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "polygon"
    shutil.copytree(bundled_recording(), folder)
    path = folder / f"{P}_headers.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordingError, match=f"{P}_headers.jsonl.gz: expected a readable file"):
        load_recording(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("canonical_logs", lambda rows: rows[2].update(data="0xabc"), "line 3: expected a LogRow"),
        ("canonical_logs", lambda rows: rows[2].update(blockNumber="0x1"), "line 3: expected a block of the headers"),
        ("canonical_logs", lambda rows: rows[2].update(blockHash="0x" + "0" * 64), "line 3: expected a block"),
        ("canonical_logs", lambda rows: rows.pop(), r"session3.* expected the 1 logs held for block .* found 2 others"),
        ("headers", lambda rows: rows[4].pop("stateRoot"), "line 5: expected a HeaderRow, found: .*stateRoot"),
        ("headers", lambda rows: rows.append(rows[0]), "line 179: expected every block once"),
        ("rpc_session1", lambda rows: rows.pop(0), "expected a recording that begins with a block"),
        ("rpc_session1", lambda rows: rows[1].update(date="yesterday"), "line 2: expected an HTTP date"),
        ("rpc_session1", lambda rows: rows[0].update(date=rows[30]["date"]), "line 2: expected a date not before"),
        ("rpc_session1", lambda rows: rows[0]["result"].update(hash="0x" + "1" * 64), "line 1: expected a block of"),
        ("rpc_session1", lambda rows: rows[1].update(result=[]), "line 2: expected the 9 logs .* found 0 others"),
        ("rpc_session1", lambda rows: rows[1].update(result={}), "line 2: expected the answer of eth_getLogs"),
        ("rpc_session1", lambda rows: rows[1].update(params=[{}]), "line 2: expected eth_getLogs of a blockHash"),
    ],
)
def test_load_recording_damaged_line_is_refused_by_file_and_line(
    damaged: Callable[..., Path], name: str, change: Callable[[list[Any]], object], message: str
) -> None:
    with pytest.raises(RecordingError, match=message):
        load_recording(damaged(f"{P}_{name}.jsonl.gz", change))
