"""What a disk refuses does not end a recorder: it waits, says so once and counted, and loses nothing the ring holds."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from consumers.journal.layout import GRANT_BYTES
from tests.own_mounts import OWN_MOUNTS

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import json, os, resource, shutil, subprocess, sys, threading
from pathlib import Path
sys.path.insert(0, {root!r})
from consumers.journal import Fsync, JournalReader
from consumers.recorder import Recorder
from ringbuf import Loss, Writer
from tlv.layout import LAYOUT_DIGEST

disk, ring = Path(sys.argv[1]), sys.argv[2]
lines = []
told = threading.Condition()

def report(line):
    with told:
        lines.append(line)
        told.notify_all()

def wait_for(what):
    with told:
        assert told.wait_for(what, 120), lines

def said(text):
    return lambda: any(text in line for line in lines)

stop = threading.Event()
PAYLOAD = 20_000

def publish(count):
    for _ in range(count):
        writer.publish(b"%08d" % writer.next_sequence * (PAYLOAD // 8))

writer = Writer.create(ring, capacity=1 << 24, max_frame=1 << 21, layout_digest=LAYOUT_DIGEST)
publish(5)

def start(journal):
    global recorder, running
    options = dict(report=report, stop=stop.is_set, fsync=Fsync.NEVER, segment_bytes=1 << 22, pack=PACK)
    recorder = Recorder(ring, journal, **options)
    running = threading.Thread(target=recorder.run, args=(stop.is_set,), kwargs=dict(until_closed=True))
    running.start()

def finish(journal):
    writer.close()
    running.join(60)
    assert not running.is_alive(), lines
    recorder.close()
    frames, lost = [], 0
    with JournalReader(journal) as reader:
        for item in reader:
            if isinstance(item, Loss):
                lost += item.count
            else:
                assert bytes(item.payload[:8]) == b"%08d" % item.sequence
                frames.append(item.sequence)
    writer.__class__.open(ring, layout_digest=LAYOUT_DIGEST).close(unlink=True)
    made = recorder.recorded
    print(json.dumps(dict(frames=frames, lost=lost, published=writer.next_sequence - 1, lines=lines,
                          refusals=made.disk_refusals, removals=made.removals, counted=made.lost)))
"""


def played(tmp_path: Path, ring_name: str, options: str, play: str, *, pack: bool = False) -> dict[str, Any]:
    """What came of `play`, a script on a small disk of its own."""
    script = tmp_path / "play.py"
    begin = BEGIN.replace("{root!r}", repr(str(ROOT))).replace("pack=PACK", f"pack={pack}")
    script.write_text(begin + textwrap.dedent(play))
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o {options} none "$1" && exec "$2" "$3" "$1" "$4"'
    command = [*OWN_MOUNTS, "sh", "-c", mounted, "sh", str(disk), sys.executable, str(script), ring_name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, start_new_session=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def accounted(found: dict[str, Any]) -> bool:
    """Whether every published sequence is recorded, or told as lost, once."""
    return len(found["frames"]) == len(set(found["frames"])) and (
        len(found["frames"]) + found["lost"] == found["published"]
    )


def test_recorder_without_inodes_waits_and_loses_nothing(tmp_path: Path, ring_name: str) -> None:
    found = played(
        tmp_path,
        ring_name,
        "size=64m,nr_inodes=12",
        """
        ballast = disk / "ballast"
        ballast.mkdir()
        start(disk / "journal")
        made = 0
        try:
            while True:
                (ballast / str(made)).touch()
                made += 1
        except OSError:
            pass
        publish(400)
        wait_for(said("inodes"))
        shutil.rmtree(ballast)
        wait_for(said("takes it again"))
        publish(100)
        finish(disk / "journal")
        """,
    )
    assert accounted(found) and found["lost"] == 0 and found["refusals"] == 1
    assert sum("trying again" in line for line in found["lines"]) == 1
    assert "No space left on device" in found["lines"][0] and " 0 inodes" in found["lines"][0]


def test_recorder_started_on_a_disk_without_room_begins_when_there_is_some(tmp_path: Path, ring_name: str) -> None:
    found = played(
        tmp_path,
        ring_name,
        f"size={2 * GRANT_BYTES}",
        """
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        threading.Timer(0.5, ballast.unlink).start()
        start(disk / "journal")
        wait_for(said("takes it again"))
        publish(100)
        finish(disk / "journal")
        """,
    )
    assert accounted(found) and found["lost"] == 0 and found["refusals"] >= 1


def test_recorder_whose_folder_is_removed_makes_it_anew_with_what_the_ring_holds(
    tmp_path: Path, ring_name: str
) -> None:
    found = played(
        tmp_path,
        ring_name,
        "size=64m",
        """
        start(disk / "journal")
        publish(50)
        while recorder.recorded.frames < 55:
            stop.wait(0.01)
        shutil.rmtree(disk / "journal")
        publish(50)
        wait_for(said("recording again what the ring still holds"))
        publish(50)
        finish(disk / "journal")
        """,
    )
    assert found["frames"] == list(range(1, 156)) and found["removals"] == 1


def test_recorder_on_a_disk_that_becomes_read_only_waits(tmp_path: Path, ring_name: str) -> None:
    found = played(
        tmp_path,
        ring_name,
        "size=64m",
        """
        journal = disk / "journal"
        journal.mkdir(mode=0o700)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        again = ["mount", "-o", "remount,rw", disk]
        threading.Timer(0.5, lambda: subprocess.run(again, check=True)).start()
        start(journal)
        publish(100)
        finish(journal)
        """,
    )
    assert accounted(found) and found["lost"] == 0 and found["refusals"] == 1
    assert "Read-only file system" in found["lines"][0]


def test_recorder_without_descriptors_waits_and_loses_nothing(tmp_path: Path, ring_name: str) -> None:
    found = played(
        tmp_path,
        ring_name,
        "size=64m",
        """
        from tools.warm import warm_journal, warm_ring
        warm_ring()
        warm_journal()
        start(disk / "journal")
        while recorder.recorded.frames < 5:
            stop.wait(0.01)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        publish(400)
        wait_for(said("Too many open files"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait_for(said("takes it again"))
        publish(100)
        finish(disk / "journal")
        """,
    )
    assert accounted(found) and found["lost"] == 0 and found["refusals"] >= 1


def test_recorder_records_frames_of_over_a_mebibyte(tmp_path: Path, ring_name: str) -> None:
    found = played(
        tmp_path,
        ring_name,
        "size=128m",
        """
        start(disk / "journal")
        for PAYLOAD in (1 << 20, (1 << 20) + 8, 2_000_000, 800):
            publish(4)
        finish(disk / "journal")
        """,
        pack=True,
    )
    assert found["frames"] == list(range(1, 22)) and not found["lines"]
