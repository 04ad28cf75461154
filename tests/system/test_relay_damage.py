"""FAULTS row 54: of a relay's rings, cursors and journals one is damaged; its readers are told, the others read on."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.client import Farewell, Item, Loss, RelayClient
from consumers.journal import JournalReader
from consumers.recorder import Recorder
from consumers.relay import protocol
from consumers.relay.address import connect
from ringbuf import Writer
from ringbuf.errors import CorruptRing
from ringbuf.layout import ANCHOR_0, ANCHORS, COMMIT_0, COMMIT_WORDS, DATA, SEQUENCE_WORD, TAIL
from ringbuf.names import FOLDER, control_object, ring_object
from tests.consumers.relay_rig import publish_numbered
from tests.consumers.test_relay import record_now
from tests.system.relay_process import RelayProcess, relay_process
from tlv.buffers import Words
from tlv.codes import Reason
from tlv.layout import LAYOUT_DIGEST
from tools.rig.numbered import is_genuine, numbered_message
from tools.rig.processes import wait_for
from tools.rig.recorded_ring import fill_recorded

PUBLISHED = 1000
CAPACITY = 1 << 20
LARGE = 1 << 22
RECORDED = 20_000
"""More than twice what a ring of LARGE bytes holds."""
MOST_OF_A_BLOCK = 600
"""Messages of this size: a packed block has 128 KiB."""
LINE = 8
"""Words that every frame's beginning is a multiple of."""
DAMAGED = 701
"""The sequence of the one frame that is damaged."""
PATIENCE_S = 120.0


def make(name: str, capacity: int = CAPACITY) -> Writer:
    """A ring of PUBLISHED messages that say their sequence."""
    writer = Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST)
    publish_numbered(writer, PUBLISHED)
    return writer


def words_of(segment: str) -> Words:
    """The shared memory of an object, to be damaged."""
    return np.memmap(FOLDER / segment.removeprefix("/"), np.int64, "r+")


def frame_at(words: Words, sequence: int) -> int:
    """The word of DATA at which the frame of `sequence` begins."""
    starts = range(DATA, words.size, LINE)
    return next(at for at in starts if words[at + SEQUENCE_WORD] == sequence)


def damage_one_frame(name: str) -> None:
    """Another sequence in the head of one frame."""
    words = words_of(ring_object(name))
    words[frame_at(words, DAMAGED) + SEQUENCE_WORD] ^= 1 << 40


def damage_length(name: str) -> None:
    """A length beyond the ring."""
    words = words_of(ring_object(name))
    words[frame_at(words, DAMAGED)] = (1 << 32) - 1


def damage_frames_without_anchors(name: str) -> None:
    """Zeros instead of a quarter of the frames, and no anchor: for a reader, the ring begins at its end."""
    words = words_of(ring_object(name))
    at = frame_at(words, DAMAGED)
    words[at : at + (words.size - DATA) // 16] = 0
    words[ANCHOR_0 : ANCHOR_0 + ANCHORS] = -1


def damage_header(name: str) -> None:
    """No commit record, no anchor, and a tail that no writer stores."""
    words = words_of(ring_object(name))
    words[COMMIT_0] = words[COMMIT_0 + COMMIT_WORDS] = 5
    words[ANCHOR_0 : ANCHOR_0 + ANCHORS] = -1
    words[TAIL] = 64 * 3 + 1


def damage_tail(name: str) -> None:
    """A tail far ahead, that a writer could have stored."""
    words_of(ring_object(name))[TAIL] += 1 << 40


def damage_control(name: str) -> None:
    """Every word of the control page."""
    words_of(control_object(name))[:] = -1


DAMAGES = {
    "one frame": damage_one_frame,
    "length": damage_length,
    "frames and anchors": damage_frames_without_anchors,
    "header": damage_header,
    "tail": damage_tail,
}


def take(client: RelayClient, ring: bytes, enough: Callable[[list[Item | Loss]], bool]) -> list[Item | Loss]:
    """Items of one ring until they are enough; each message is genuine and continues the one before."""
    found: list[Item | Loss] = []
    for item in client:
        if isinstance(item, Loss):
            if item.ring == ring:
                found.append(item)
        elif isinstance(item, Item) and item.ring.uuid == ring:
            assert is_genuine(item.sequence, item.data)
            found.append(item)
        if enough(found):
            break
    bounds = [(item.first, item.last) if isinstance(item, Loss) else (item.sequence,) * 2 for item in found]
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(bounds))
    return found


def take_messages(client: RelayClient, ring: bytes, last: int) -> list[int]:
    """Sequences of one ring up to `last`, nothing lost."""
    found = take(client, ring, lambda items: bool(items) and isinstance(items[-1], Item) and items[-1].sequence >= last)
    assert all(isinstance(item, Item) for item in found)
    return [item.sequence for item in found if isinstance(item, Item)]


def wait_until_served(client: RelayClient, ring: bytes) -> None:
    """Until the relay has said where the ring's stream begins: what is published from now on comes."""
    while ring not in client.rings:
        client.receive()


def is_loss(items: list[Item | Loss]) -> bool:
    """Whether the last one is a loss."""
    return bool(items) and isinstance(items[-1], Loss)


@pytest.mark.parametrize("name", DAMAGES)
def test_relay_of_a_damaged_ring_tells_its_readers_and_serves_the_others(
    new_ring_name: Callable[[], str], home: Path, tell: Callable[[str], None], name: str
) -> None:
    sound, spoilt = new_ring_name(), new_ring_name()
    with make(sound) as writer, make(spoilt) as other:
        # Its writer stops here: what it would store next would mend a header.
        with relay_process(home, f"--ring={sound}", f"--ring={spoilt}") as relay:
            with relay.client(start={writer.uuid: 1, other.uuid: DAMAGED - 100}, reconnect=False) as client:
                # What comes before the damage was read; a client that comes later wants more of it.
                assert take_messages(client, other.uuid, PUBLISHED)
            DAMAGES[name](spoilt)
            with relay.client(start={writer.uuid: 1, other.uuid: DAMAGED - 100}, reconnect=False) as client:
                (*messages, loss) = take(client, other.uuid, is_loss)
                expected = Reason.NOT_RETAINED if name == "frames and anchors" else Reason.DAMAGED
                assert isinstance(loss, Loss) and loss.reason == expected
                assert all(isinstance(item, Item) for item in messages)
                # Its other ring goes on in the same connection, before and after.
                publish_numbered(writer, 10)
                if name == "one frame":
                    took = take(client, other.uuid, lambda items: bool(items) and ends_at(items[-1], PUBLISHED))
                    assert loss.first == DAMAGED and len(took) + loss.last == PUBLISHED
            for start in ("oldest", "latest"):
                with relay.client(start=start, reconnect=False) as client:
                    wait_until_served(client, writer.uuid)
                    publish_numbered(writer, 1)
                    assert take_messages(client, writer.uuid, writer.next_sequence - 1)
            if expected is Reason.DAMAGED:
                wait_for(lambda: relay.counts["damaged_rings"], PATIENCE_S)
                assert relay.log.count(f"ring {spoilt}: ") == 1
            assert "Traceback" not in relay.log
            assert relay.process.poll() is None
        if name == "one frame":
            tell(f"row 54: one damaged frame of {PUBLISHED} cost {loss.count} in a Gap, and the other ring nothing")


@pytest.mark.parametrize("name", DAMAGES)
def test_relay_of_a_damaged_ring_that_has_ended_tells_the_loss_and_goes_on_with_the_next(
    ring_name: str, home: Path, name: str
) -> None:
    with make(ring_name) as writer, relay_process(home, f"--ring={ring_name}") as relay:
        with relay.client(start={writer.uuid: DAMAGED - 100}, reconnect=False) as client:
            assert take_messages(client, writer.uuid, PUBLISHED)
        DAMAGES[name](ring_name)
        writer.close(unlink=True)
        with make(ring_name) as second:
            for first in (DAMAGED - 100, DAMAGED, DAMAGED + 1):
                with relay.client(start={writer.uuid: first}, reconnect=False) as client:
                    of_old = list(itertools.takewhile(lambda item: isinstance(item, Loss) or item.sequence, client))
                    messages = [item.sequence for item in of_old if isinstance(item, Item)]
                    assert messages == list(range(first, PUBLISHED + 1)) or len(messages) < len(of_old)
                    assert take_messages(client, second.uuid, PUBLISHED) == list(range(1, PUBLISHED + 1))


@pytest.mark.parametrize("kind", ["one frame", "length", "frames and anchors"])
def test_recorder_of_a_damaged_ring_records_what_is_whole_and_the_loss(
    new_ring_name: Callable[[], str], home: Path, kind: str
) -> None:
    name, lines = new_ring_name(), list[str]()

    def record_until(sequence: int) -> None:
        with Recorder(name, home / "journal", report=lines.append) as recorder:
            recorder.run(lambda: recorder.next_sequence > sequence, until_closed=False)

    with Writer.create(name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as writer:
        publish_numbered(writer, 300)
        record_until(300)
        publish_numbered(writer, PUBLISHED - 300)
        DAMAGES[kind](name)
        record_until(PUBLISHED)
        publish_numbered(writer, 10)
        record_until(PUBLISHED + 10)
    expected, lost = 1, list[int]()
    with JournalReader(home / "journal") as journal:
        for item in journal:
            first, last = (item.first, item.last) if isinstance(item, Loss) else (item.sequence, item.sequence)
            assert first == expected
            expected = last + 1
            lost += range(first, last + 1) if isinstance(item, Loss) else []
    assert expected == PUBLISHED + 11 and DAMAGED in lost
    assert any(f"{lost[0]} to " in line for line in lines), lines


def test_recorder_of_a_ring_without_any_sound_record_says_so(new_ring_name: Callable[[], str], home: Path) -> None:
    name = new_ring_name()
    with make(name), Recorder(name, home / "journal", report=print) as recorder:
        damage_header(name)
        with pytest.raises(CorruptRing, match=f"ring {name}: no frame at sequence 1, and none behind it"):
            recorder.run(lambda: False, until_closed=False)


def ends_at(item: Item | Loss, sequence: int) -> bool:
    """Whether the item is the last one, or its loss goes so far."""
    return (item.last if isinstance(item, Loss) else item.sequence) >= sequence


def test_relay_of_a_ring_whose_writer_mends_its_header_goes_on_there(
    new_ring_name: Callable[[], str], home: Path
) -> None:
    name = new_ring_name()
    with (
        make(name) as writer,
        relay_process(home, f"--ring={name}") as relay,
        relay.client(reconnect=False) as client,
    ):
        wait_until_served(client, writer.uuid)
        publish_numbered(writer, 1)
        assert take_messages(client, writer.uuid, PUBLISHED + 1) == [PUBLISHED + 1]
        damage_header(name)
        (loss,) = take(client, writer.uuid, is_loss)
        assert isinstance(loss, Loss) and (loss.first, loss.count) == (PUBLISHED + 2, 0)
        publish_numbered(writer, 3)
        found = take(client, writer.uuid, lambda items: bool(items) and ends_at(items[-1], PUBLISHED + 4))
        assert [item.last if isinstance(item, Loss) else item.sequence for item in found][-1] == PUBLISHED + 4
        publish_numbered(writer, 1)
        assert take_messages(client, writer.uuid, PUBLISHED + 5) == [PUBLISHED + 5]
        wait_for(lambda: relay.counts["unreadable_rings"] == 0, PATIENCE_S)


def test_relay_of_a_damaged_control_page_loses_nothing(new_ring_name: Callable[[], str], home: Path) -> None:
    name = new_ring_name()
    with make(name) as writer, relay_process(home, f"--ring={name}") as relay:
        damage_control(name)
        with relay.client(start="oldest", reconnect=False) as client:
            assert len(take_messages(client, writer.uuid, PUBLISHED)) == PUBLISHED
            publish_numbered(writer, 3)
            assert take_messages(client, writer.uuid, PUBLISHED + 3) == [PUBLISHED + 1, PUBLISHED + 2, PUBLISHED + 3]


def test_relay_of_a_damaged_ring_gives_from_the_journal_what_was_recorded(
    new_ring_name: Callable[[], str], home: Path
) -> None:
    name = new_ring_name()
    with make(name) as writer:
        record_now(writer, home / "journal")
        with relay_process(home, f"--ring={name}", f"--journal={home / 'journal'}") as relay:
            damage_header(name)
            with relay.client(start={writer.uuid: 1}, at_least_once=True, reconnect=False) as client:
                found = take(client, writer.uuid, is_loss)
                assert len(found) == PUBLISHED + 1
                assert found[-1] == Loss(writer.uuid, PUBLISHED + 1, PUBLISHED, Reason.DAMAGED)


CURSORS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda sound: sound[:-9],
    "empty": lambda sound: b"",
    "garbage": lambda sound: bytes(range(256)),
    "of another version": lambda sound: sound.replace(b'"version":1', b'"version":2'),
    "one digit": lambda sound: sound.replace(b"600", b"900"),
    "without a checksum": lambda sound: b'{"' + b"00" * 16 + b'":5}',
    "huge": lambda sound: b" " * (1 << 21),
}


@pytest.fixture(scope="module")
def acknowledged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RelayProcess, Writer]]:
    """A relay, and its ring; CURSORS each have a name that acknowledged 600 of it."""
    name = f"test.cursors.{id(tmp_path_factory)}"
    with tempfile.TemporaryDirectory(prefix="relay") as directory, make(name) as writer:
        with relay_process(Path(directory), f"--ring={name}") as relay:
            yield relay, writer
        writer.close(unlink=True)


@pytest.mark.parametrize("case", CURSORS)
def test_relay_damaged_cursor_is_set_aside_and_its_name_gets_everything_again(
    acknowledged: tuple[RelayProcess, Writer], case: str
) -> None:
    relay, writer = acknowledged
    name = case.replace(" ", "-")[:20]
    for each in (name, f"{name[:14]}-sound"):
        with relay.client(start="oldest", name=each, acknowledge="manual", reconnect=False) as client:
            client.ack(take(client, writer.uuid, lambda items: len(items) == 600)[-1])
    path = relay.cursors / f"{name}.json"
    wait_for(lambda: b"600" in path.read_bytes(), PATIENCE_S)
    spoil(relay, path, CURSORS[case](path.read_bytes()))
    before = relay.counts["damaged_cursors"]
    with relay.client(start="acknowledged", name=name) as client:
        assert take_messages(client, writer.uuid, PUBLISHED)[0] == 1
    with relay.client(start="acknowledged", name=f"{name[:14]}-sound") as client:
        assert take_messages(client, writer.uuid, PUBLISHED)[0] == 601
    assert path.with_suffix(".damaged").exists()
    wait_for(lambda: relay.counts["damaged_cursors"] == before + 1, PATIENCE_S)
    assert relay.log.count(f"{path}: damaged") == 1


def spoil(relay: RelayProcess, path: Path, data: bytes) -> None:
    """Write a cursor's file while no connection holds its name."""
    wait_for(lambda: relay.counts["clients"] == 0, PATIENCE_S)
    path.write_bytes(data)


@pytest.mark.parametrize("bait", ["folder", "fifo"])
def test_relay_cursor_that_is_no_file_refuses_its_name_for_good_and_no_other(
    acknowledged: tuple[RelayProcess, Writer], bait: str
) -> None:
    relay, writer = acknowledged
    relay.cursors.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = relay.cursors / f"{bait}.json"
    if bait == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with relay.client(name=bait) as client, pytest.raises(Farewell, match="cursor refused") as refused:
        take_messages(client, writer.uuid, 1)
    assert refused.value.final
    with relay.client(start="oldest", name=f"beside-{bait}") as client:
        assert len(take_messages(client, writer.uuid, PUBLISHED)) == PUBLISHED


def test_relay_of_two_journals_one_damaged_costs_its_readers_one_block(
    new_ring_name: Callable[[], str], home: Path, tell: Callable[[str], None]
) -> None:
    sound, spoilt = new_ring_name(), new_ring_name()
    with make(sound, LARGE) as writer, make(spoilt, LARGE) as other:
        last = {}
        for each, folder in ((writer, "a"), (other, "b")):
            fill_recorded(each, home / folder, numbered_message(1), RECORDED)
            last[each.uuid] = each.next_sequence - 1
        for index in (home / "b").glob("*.index"):
            index.write_bytes(b"no index")
        segment = next(path for path in (home / "b").iterdir() if ".journal" in path.suffixes)
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
        lost, seen = dict.fromkeys(last, 0), dict.fromkeys(last, PUBLISHED)
        journals = (f"--journal={home / 'a'}", f"--journal={home / 'b'}")
        with (
            relay_process(home, f"--ring={sound}", f"--ring={spoilt}", *journals) as relay,
            relay.client(start=dict.fromkeys(last, PUBLISHED + 1), at_least_once=True, reconnect=False) as client,
        ):
            for item in client:
                if isinstance(item, Loss):
                    assert (item.first, item.reason) == (seen[item.ring] + 1, Reason.DAMAGED)
                    lost[item.ring] += item.count
                    seen[item.ring] = item.last
                elif isinstance(item, Item):
                    assert item.sequence == seen[item.ring.uuid] + 1
                    seen[item.ring.uuid] = item.sequence
                if seen == last:
                    break
    assert lost[writer.uuid] == 0
    assert 0 < lost[other.uuid] < MOST_OF_A_BLOCK
    tell(
        f"row 54: one flipped bit in a journal of {RECORDED:,} cost {lost[other.uuid]} in Gaps, the other ring nothing"
    )


def test_relay_whose_socket_was_removed_makes_it_anew(new_ring_name: Callable[[], str], home: Path) -> None:
    name = new_ring_name()
    with make(name) as writer, relay_process(home, f"--ring={name}") as relay:
        with relay.client(start="oldest", reconnect=False) as client:
            relay.path.unlink()
            wait_for(relay.path.exists, PATIENCE_S)
            assert len(take_messages(client, writer.uuid, PUBLISHED)) == PUBLISHED
        with relay.client(start="oldest", reconnect=False) as client:
            assert len(take_messages(client, writer.uuid, PUBLISHED)) == PUBLISHED
        wait_for(lambda: relay.counts["renewed_sockets"] == 1, PATIENCE_S)


def test_relay_clients_that_send_nonsense_cost_nobody_else_anything(
    new_ring_name: Callable[[], str], home: Path
) -> None:
    name = new_ring_name()
    hello = protocol.subscribe()
    nonsense = [bytes(64), b"\xff" * 4096, hello[:20], hello[:-1], hello[:24] + b"\xff" * 4 + hello[28:]]
    with make(name) as writer, relay_process(home, f"--ring={name}") as relay:
        with relay.client(start="oldest", reconnect=False) as client:
            socks = [connect(relay.path, 30) for _ in range(20)]
            for sock, data in zip(socks, itertools.cycle(nonsense), strict=False):
                sock.sendall(data)
            assert len(take_messages(client, writer.uuid, PUBLISHED)) == PUBLISHED
            publish_numbered(writer, 5)
            assert take_messages(client, writer.uuid, PUBLISHED + 5)[-1] == PUBLISHED + 5
            for sock in socks:
                sock.close()
        assert "Traceback" not in relay.log and relay.process.poll() is None
