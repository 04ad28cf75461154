"""Rows 4, 5 and 6: readers and a writer at full speed, payloads that look like descriptors, laps of exact lengths.

Owns the campaigns about which frames a reader delivers.  It must never know how the kernels decide it.
"""

from __future__ import annotations

import random
import time
from functools import partial

import numpy as np

from ringbuf import Loss, Reader, Status, Writer, kernels
from ringbuf.layout import DESCRIPTOR_WORDS, FLAGS_SHIFT, KEY, SEQUENCE_WORD, TAG_WORD, VERSION, VERSION_SHIFT
from tools.prove.ring.native import TALLY, Checker, SelfCheckingFrames, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, reap, shared, spawn, wait_for

SMALL = 1 << 16
FRAMES_PER_CALL = 20_000  # about a millisecond
LIES = 11  # cache lines of a payload that pass for descriptors
LIE_BYTES = 64 - 8 * DESCRIPTOR_WORDS + 64 * LIES


def read_with_pauses(name: str, tally: np.ndarray, seed: int) -> None:
    """Check everything until the ring is closed, with random pauses in which the writer laps this reader."""
    generator = random.Random(seed)
    checker = Checker(Reader.attach(name, start="oldest"), tally)
    while checker.read(generator.randrange(1, 200)) not in {Status.CLOSED, Status.CORRUPT}:
        if generator.random() < 0.05:
            time.sleep(generator.random() * 0.002)


@timed
def prove_races(frames: int = 100_000_000, seed: int = 1) -> Outcome:
    """Row 4: one writer flat out, three readers with random pauses, a 64 KiB ring."""
    warm_native()
    tallies = shared(TALLY, 3)
    with fresh_name("races") as name, Writer.create(name, capacity=SMALL, no_wake=True) as writer:
        source = SelfCheckingFrames(writer)
        source.publish(1)
        readers = [spawn(partial(read_with_pauses, name, tallies[i : i + 1], seed + i)) for i in range(3)]
        wait_for(tallies["started_at"].all)
        begin = time.monotonic()
        for call in range(frames // FRAMES_PER_CALL):
            (source.publish if call % 2 else source.publish_batches)(FRAMES_PER_CALL)
        rate = frames / (time.monotonic() - begin) / 1e6
        published = writer.next_sequence - 1
        writer.close()
        codes = [reap(pid) for pid in readers]
    torn, disorder = int(tallies["torn"].sum() + tallies["corrupt"].sum()), int(tallies["out_of_order"].sum())
    exact = all(
        int(tally["delivered"] + tally["lost"]) == published + 1 - int(tally["started_at"])
        and int(tally["expected"]) == published + 1
        for tally in tallies
    )
    summary = (
        f"{published} frames at {rate:.1f} M/s, delivered {[int(n) for n in tallies['delivered']]} in "
        f"{[int(n) for n in tallies['gaps']]} gaps, {torn} torn, {disorder} out of order, "
        f"delivered + lost {'==' if exact else '!='} published"
    )
    passed = exact and not (torn or disorder or any(codes)) and bool((tallies["gaps"] > 0).all())
    return Outcome(4, "real races", passed, summary, seed)


def lookalike(writer: Writer, sequence: int, position: int) -> bytes:
    """The descriptor of an empty key frame that would stand at `position`: bytes that pass for a record there."""
    words = np.zeros(8, dtype=np.int64)
    words[0] = VERSION << VERSION_SHIFT | KEY << FLAGS_SHIFT
    words[TAG_WORD] = position ^ writer.identity.salt
    words[SEQUENCE_WORD] = sequence
    return words.tobytes()


def lying_payload(writer: Writer) -> bytes:
    """A payload whose every later cache line is a descriptor with the right tag for where it will stand."""
    sequence, position = writer.next_sequence, int(writer.state[0]["head"])
    lines = b"".join(lookalike(writer, sequence + i, position + 64 * i) for i in range(1, LIES + 1))
    return bytes(64 - 8 * DESCRIPTOR_WORDS) + lines


@timed
def prove_payloads_cannot_lie(rounds: int = 3000, seed: int = 1) -> Outcome:
    """Row 5: payloads that look like descriptors; readers in the wrong place; garbage lengths."""
    generator = random.Random(seed)
    synced = delivered = refused = 0
    with fresh_name("lies") as name, Writer.create(name, capacity=SMALL) as writer:
        reader = Reader.attach(name)
        for _ in range(rounds):
            sent = {}
            for _ in range(generator.randrange(1, 120)):
                payload = lying_payload(writer)
                sent[writer.publish(payload, key=generator.random() < 0.1)] = payload
            reader.seek(generator.choice(("oldest", "key", "latest")))
            synced += 1
            for frame in reader.poll(200):
                if len(frame.payload) != LIE_BYTES or sent.get(frame.sequence, frame.payload) != frame.payload:
                    return Outcome(5, "lying payloads", False, f"frame {frame.sequence} is part of a payload", seed)
                delivered += 1
        for _ in range(rounds):  # a reader that is moved into the middle of payloads, as by a bug
            garbage = generator.randrange(0, int(writer.state[0]["tail"]) - SMALL // 2) & -64
            reader.state[0]["position"], reader.state[0]["sequence"] = garbage, 1
            reader.out[:] = 7
            status = kernels.read_frame(reader.words, reader.state, int(writer.state[0]["tail"]), reader.out, 0)
            untouched = reader.position == garbage and bool((reader.out == 7).all())
            if status not in {Status.GAP, Status.CORRUPT} or not untouched:
                return Outcome(5, "lying payloads", False, f"status {status} at position {garbage}", seed)
            refused += 1
        reader.close()
    summary = (
        f"{synced} syncs and {delivered} frames among lookalike descriptors, "
        f"{refused} wrong places refused, 0 moved, 0 copied"
    )
    return Outcome(5, "lying payloads", True, summary, seed)


def frame_bytes(length: int) -> int:
    """What a frame of `length` payload bytes takes."""
    return kernels.record_bytes(length)


@timed
def prove_exact_laps(seed: int = 1) -> Outcome:
    """Row 6: laps of exactly k capacities and one cell or one reserve step around; every size; frames at the edge."""
    generator = random.Random(seed)
    checked = sizes = edges = 0
    for reserve in (64, 1024, 8192):
        with fresh_name("laps") as name, Writer.create(name, capacity=SMALL, reserve=reserve) as writer:
            reader = Reader.attach(name)
            for laps in (1, 2, 3):
                for cells in (-reserve // 64 - 1, -reserve // 64, -2, -1, 0, 1, 2, reserve // 64, reserve // 64 + 1):
                    reader.seek("latest")
                    start, expected = reader.position, reader.sequence
                    while writer.state[0]["tail"] - start < laps * SMALL + 64 * cells:
                        writer.publish(b"cell")
                    lapped = int(writer.state[0]["intent"]) - start > SMALL
                    poll = reader.poll(2048)
                    wanted = Loss(reader.uuid, expected, poll[0].sequence - 1) if lapped else None
                    if poll.loss != wanted or reader.sequence != writer.next_sequence:
                        summary = f"lap of {laps} capacities {64 * cells:+}: {poll.loss}, expected {wanted}"
                        return Outcome(6, "exact laps", False, summary, seed)
                    checked += 1
            reader.seek("latest")
            for length in (*range(600), *range(7400, writer.identity.max_payload + 1)):
                payload = generator.randbytes(length)
                at = int(writer.state[0]["head"]) % SMALL
                writer.publish(payload)
                edges += (at + frame_bytes(length)) % SMALL == 0 or at + frame_bytes(length) > SMALL
                if bytes(reader.poll()[0].payload) != payload:
                    return Outcome(6, "exact laps", False, f"payload of {length} bytes came back changed", seed)
                sizes += 1
            reader.close()
    pads = pad_every_size(seed)
    summary = f"{checked} laps, {sizes} sizes, {edges} at the edge of the ring, {pads} sizes of pad; all exact"
    return Outcome(6, "exact laps", True, summary, seed)


def pad_every_size(seed: int) -> int:
    """Make pads of 64 bytes up to the largest, and read over each; returns how many sizes."""
    seen = 0
    with fresh_name("pads") as name, Writer.create(name, capacity=SMALL) as writer:
        reader = Reader.attach(name)
        for pad in range(64, 8192, 64):
            while (room := SMALL - int(writer.state[0]["head"]) % SMALL) != pad:
                step = room - pad if room > pad else room
                writer.publish(bytes(min(step, 8192) - 32))
            before = int(writer.state[0]["pads"])
            writer.publish(b"x" * (pad + 1 - 32 + seed % 7))
            if int(writer.state[0]["pads"]) != before + 1:
                raise AssertionError(f"no pad of {pad} bytes was made")
            last = reader.poll(2048)[-1]
            if bytes(last.payload) != b"x" * (pad + 1 - 32 + seed % 7):
                raise AssertionError(f"the frame behind a pad of {pad} bytes came back changed")
            seen += 1
        reader.close()
    return seen
