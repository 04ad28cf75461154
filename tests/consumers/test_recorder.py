"""The recorder: what the ring had is in the journal, what it had not is a gap, whatever is killed or full."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from consumers.journal import Fsync, JournalReader
from consumers.journal.layout import GRANT_BYTES
from consumers.recorder import Recorded, Recorder
from ringbuf import Loss, Reader, RingInfo, RingNotFound, SharedCounters, Writer
from ringbuf.counters import read_counters
from ringbuf.layout import SLOTS
from tests.own_mounts import OWN_MOUNTS
from tests.tools.command.forked import run_forked
from tlv.layout import LAYOUT_DIGEST
from tools import record
from tools.rig.victims import ForkedVictim
from tools.warm import warm_journal, warm_ring

RECORD = [sys.executable, "-m", "tools.command.main", "record"]
ROOT = Path(__file__).resolve().parents[2]


def never() -> bool:
    """A recorder that is not asked to stop."""
    return False


def open_recorder(ring: str, journal: Path, lines: list[str]) -> Recorder:
    """A recorder whose reports are kept."""
    return Recorder(ring, journal, report=lines.append, fsync=Fsync.NEVER)


def account(journal: Path) -> tuple[dict[int, bytes], int]:
    """(payload of each recorded sequence, how many are in gaps); asserts that every sequence is accounted for once."""
    frames: dict[int, bytes] = {}
    lost = 0
    expected = None
    with JournalReader(journal) as reader:
        for item in reader:
            first = item.first if isinstance(item, Loss) else item.sequence
            assert expected in (None, first)
            if isinstance(item, Loss):
                lost += item.count
                expected = item.last + 1
            else:
                frames[item.sequence] = bytes(item.payload)
                expected = item.sequence + 1
    return frames, lost


def publish(writer: Writer, count: int) -> None:
    """Publish `count` payloads that tell their own sequence."""
    for _ in range(count):
        writer.publish(b"%d" % writer.next_sequence * 20)


def test_recorder_records_what_the_ring_holds_and_resumes(ring_name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        for _ in range(3):
            publish(writer, 1000)
            with open_recorder(ring_name, tmp_path, lines) as recorder:
                writer.close() if writer.next_sequence > 3000 else None
                done = threading.Event()
                threading.Timer(0.2, done.set).start()
                recorder.run(done.is_set, until_closed=True)
    frames, lost = account(tmp_path)
    assert (sorted(frames), lost, lines) == (list(range(1, 3001)), 0, [])
    assert all(payload == b"%d" % sequence * 20 for sequence, payload in frames.items())


def test_recorder_counts_in_shared_memory_what_it_writes_and_lacks(ring_name: str, tmp_path: Path) -> None:
    with (
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        closing(SharedCounters.create(Recorded, ring_name, "recorder")) as shared,
    ):
        publish(writer, 10)
        with Recorder(ring_name, tmp_path, report=print, fsync=Fsync.NEVER, shared=shared) as recorder:
            recorder.run(lambda: recorder.recorded.frames == 10, until_closed=False)
            assert read_counters(shared.object_name).as_record(Recorded).lag_bytes > 0, "put before the first frame"
            publish(writer, 5)
            recorder.run(lambda: recorder.recorded.frames == 15, until_closed=False)
            shared.put(recorder.recorded)
            counted = read_counters(shared.object_name).as_record(Recorded)
    assert (counted.frames, counted.ring_bytes, counted.refused_now) == (15, 1 << 16, 0)
    assert counted.ring_to_journal.count == 5, "ten were there before it"
    assert "lag_bytes" not in counted.to_dict()


def test_recorder_that_was_away_too_long_records_the_exact_gap(ring_name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        with open_recorder(ring_name, tmp_path, lines) as recorder:
            recorder.run(iter([False, True]).__next__, until_closed=True)
        publish(writer, 5000)
        with open_recorder(ring_name, tmp_path, lines) as recorder:
            writer.close()
            counts = recorder.run(never, until_closed=True)
    frames, lost = account(tmp_path)
    assert len(frames) + lost == 5010
    assert lost == counts.lost > 0
    assert len(lines) == 1 and f"lost {lost} frames, 11 to {10 + lost}" in lines[0]


def test_recorder_evicted_before_its_first_frame_records_the_exact_gap(ring_name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        with open_recorder(ring_name, tmp_path, lines) as recorder:
            publish(writer, 5000)
            writer.close()
            counts = recorder.run(never, until_closed=True)
    frames, lost = account(tmp_path)
    assert len(frames) + lost == 5010
    assert lost == counts.lost > 0
    assert f"lost {lost} frames, 1 to {lost}" in lines[0]


def test_recorder_follows_a_ring_that_was_replaced(ring_name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    writer = Writer.create(ring_name, layout_digest=LAYOUT_DIGEST)
    publish(writer, 5)
    with open_recorder(ring_name, tmp_path, lines) as recorder:
        done = threading.Event()
        running = threading.Thread(target=recorder.run, args=(done.is_set,), kwargs={"until_closed": False})
        running.start()
        wait_for(lambda: recorder.recorded.frames == 5)
        writer.close(unlink=True)
        with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as second:
            publish(second, 7)
            wait_for(lambda: recorder.recorded.frames == 12)
            done.set()
            running.join()
            assert recorder.recorded.rings == 2
            assert "replaced" in lines[0]
            with JournalReader(tmp_path) as reader:
                assert [len(list(reader.poll())) for _ in range(3)] == [5, 0, 7]
                assert reader.uuid == second.uuid


def test_recorder_of_a_ring_that_is_gone_stops_when_asked(ring_name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    writer = Writer.create(ring_name, layout_digest=LAYOUT_DIGEST)
    publish(writer, 5)
    with open_recorder(ring_name, tmp_path, lines) as recorder:
        done = threading.Event()
        running = threading.Thread(
            target=recorder.run, args=(done.is_set,), kwargs={"until_closed": False}, daemon=True
        )
        running.start()
        wait_for(lambda: recorder.recorded.frames == 5)
        writer.close(unlink=True)
        wait_for(lambda: lines != [])
        done.set()
        running.join(60)
        assert not running.is_alive()
    assert account(tmp_path) == ({sequence: b"%d" % sequence * 20 for sequence in range(1, 6)}, 0)


def test_recorder_without_a_free_slot_becomes_reliable_once_there_is_one(
    ring_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.recorder.RETRY_SLOT_S", 0.0)
    lines: list[str] = []
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        others = [Reader.attach(ring_name, layout_digest=LAYOUT_DIGEST) for _ in range(SLOTS)]
        for other in others:
            other.join()
        publish(writer, 10)
        with open_recorder(ring_name, tmp_path, lines) as recorder:
            reader = recorder._reader
            for expected in (False, False, True):
                if expected:
                    others.pop().close()
                publish(writer, 10)
                recorder.run(lambda: recorder.recorded.frames >= writer.next_sequence - 1, until_closed=False)
                assert reader.reliable == expected
        for other in others:
            other.close()
    assert len(lines) == 1 and "without back-pressure until a slot is free" in lines[0]


def test_recorder_missing_ring_is_refused(ring_name: str, tmp_path: Path) -> None:
    with pytest.raises(RingNotFound, match=ring_name):
        open_recorder(ring_name, tmp_path, [])
    done = run_forked("record", "--ring", ring_name, "--out", tmp_path, "--wait-for-ring", 0)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("alphapulse: error: ") and done.stderr.count("\n") == 1


def test_recorder_second_one_is_refused(ring_name: str, tmp_path: Path) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 1)
        with open_recorder(ring_name, tmp_path, []):
            command = [*RECORD, "--ring", ring_name, "--out", str(tmp_path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected to be its only recorder" in done.stderr


def test_recorder_with_a_budget_keeps_the_newest_within_it(ring_name: str, tmp_path: Path) -> None:
    command = [*RECORD, "--ring", ring_name, "--out", str(tmp_path), "--segment-mib", "4"]
    refused = subprocess.run([*command, "--retain-mib", "11"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "expected 0 or at least 12, three times --segment-mib, found 11" in refused.stderr
    payload = random.Random(7).randbytes(1 << 15)  # as large when it is packed
    with (
        Writer.create(ring_name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writer,
        subprocess.Popen(
            [*command, "--retain-mib", "16", "--until-closed"], cwd=ROOT, stdout=subprocess.PIPE
        ) as recorder,
    ):
        assert recorder.stdout is not None
        assert recorder.stdout.readline()
        for number in range((40 << 20) // len(payload)):
            writer.publish(payload)
            if number % 64 == 0:  # the recorder keeps up: nothing here is about losses
                wait_for(lambda: not any(one.lag_bytes for one in RingInfo.read(ring_name).slots), 120.0)
        last = writer.next_sequence - 1
        writer.close()
        assert recorder.wait(120) == 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 16 << 20
    kept, lost = account(tmp_path)
    assert lost == 0
    assert list(kept) == list(range(min(kept), last + 1))
    assert len(kept) * len(payload) >= 4 << 20


def test_recorder_killed_at_random_accounts_for_every_sequence(ring_name: str, tmp_path: Path) -> None:
    seed = 20260722
    print(f"seed {seed}")
    source = random.Random(seed)
    kills = 12
    stop = threading.Event()
    warm_ring()
    warm_journal()
    with Writer.create(ring_name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writer:

        def keep_publishing() -> None:
            while not stop.is_set():
                publish(writer, 20)
                time.sleep(0.002)

        publisher = threading.Thread(target=keep_publishing)
        publisher.start()
        command = ["--ring", ring_name, "--out", str(tmp_path / "journal"), "--fsync", "never"]
        # Forked, not started anew: the kills hit work and not imports.
        recorder = ForkedVictim("recorder", "recorder", partial(record.command.main, command), tmp_path / "log")
        try:
            for _ in range(kills):
                recorder.start()
                time.sleep(source.uniform(0, 0.3))
                assert recorder.ended() == ""
                recorder.kill()
        finally:
            stop.set()
            publisher.join()
        published = writer.next_sequence - 1
        writer.close()
        done = subprocess.run(
            [*RECORD, *command, "--until-closed"], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    frames, lost = account(tmp_path / "journal")
    assert len(frames) + lost == published
    assert max(frames) == published
    assert all(payload == b"%d" % sequence * 20 for sequence, payload in frames.items())
    print(f"row 31, recorder: {kills} kills, {published} published, {len(frames)} recorded, {lost} in gaps")


def test_recorder_full_disk_keeps_trying_and_loses_nothing_silently(ring_name: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    ballast = disk / "ballast"
    script = (
        f'mount -t tmpfs -o size={3 * GRANT_BYTES} none "$1" && head -c {GRANT_BYTES} /dev/zero > "$1/ballast" && shift'
        ' && "$@"; code=$?; cp -r ' + f'"{disk}/journal" "{tmp_path}/kept"; exit $code'
    )
    command = [*RECORD, "--ring", ring_name, "--out", str(disk / "journal"), "--json", "--until-closed", "--no-pack"]
    with Writer.create(ring_name, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        recorder = subprocess.Popen(
            [*OWN_MOUNTS, "sh", "-c", script, "sh", str(disk), *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with ended_at_last(recorder):
            assert recorder.stdout is not None and recorder.stderr is not None
            assert json.loads(recorder.stdout.readline())["ready"]
            payload = bytes(1000)
            for _ in range(40_000):
                writer.publish(payload)
            # On a busy machine it may have been evicted, and said so, before the disk was full.
            complaint = next(line for line in recorder.stderr if "lost" not in line)
            assert "expected room for" in complaint and "No space left on device" in complaint
            # The recorder lives in a mount namespace of its own; its /proc entry leads there.
            (Path(f"/proc/{child_of(recorder.pid)}/root") / str(ballast)[1:]).unlink()
            for _ in range(2000):
                writer.publish(payload)
            published = writer.next_sequence - 1
            wait_for(lambda: "takes it again" in recorder.stderr.readline())
            writer.close()
            counts = json.loads(recorder.stdout.readline())
            assert recorder.wait(30) == 0
    frames, lost = account(tmp_path / "kept")
    assert lost == counts["lost"] > 0
    assert (len(frames), counts["disk_refusals"]) == (counts["frames"], 1)
    assert len(frames) + lost == published


def test_recorder_whose_folder_cannot_be_made_yet_waits_for_it(ring_name: str, tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("a file where the folder should be")
    command = [*RECORD, "--ring", ring_name, "--out", str(tmp_path / "journals" / "one"), "--until-closed"]
    with Writer.create(ring_name, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recorder:
            assert recorder.stderr is not None
            assert "trying again until the disk takes it" in recorder.stderr.readline()
            time.sleep(1.5)  # longer than it takes to show its counts
            assert recorder.poll() is None, recorder.stderr.read()
            (tmp_path / "journals").unlink()
            assert "the disk takes it again" in recorder.stderr.readline()
            writer.close()
            assert recorder.wait(30) == 0
    frames, lost = account(tmp_path / "journals" / "one")
    assert (sorted(frames), lost) == (list(range(1, 11)), 0)


@contextmanager
def ended_at_last(recorder: subprocess.Popen[str]) -> Iterator[None]:
    """Nothing that fails in this block waits for a recorder that waits for its ring to be closed."""
    with recorder:
        try:
            yield
        except BaseException:
            os.kill(child_of(recorder.pid), signal.SIGKILL)
            raise


def child_of(pid: int) -> int:
    """The process that `pid` waits for, or `pid` itself if it became it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return child_of(int(children[0])) if children else pid


def wait_for(condition: Callable[[], bool], patience_s: float = 20.0) -> None:
    """Return as soon as `condition` holds; fail after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_record_command_ends_on_sigterm_with_its_counts(ring_name: str, tmp_path: Path) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 100)
        command = [*RECORD, "--ring", ring_name, "--out", str(tmp_path), "--json"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as recorder:
            assert recorder.stdout is not None
            recorder.stdout.readline()
            wait_for(lambda: list(tmp_path.glob("*.journal")) != [] and len(account(tmp_path)[0]) == 100)
            recorder.send_signal(signal.SIGTERM)
            assert json.loads(recorder.stdout.readline())["frames"] == 100
            assert recorder.wait(120) == 0
    done = run_forked("journal", "verify", tmp_path, "--json")
    assert done.returncode == 0
    assert [json.loads(line) for line in done.stdout.splitlines()][-1] == {"frames": 100, "lost": 0, "faults": 0}
