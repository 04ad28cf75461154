"""A block's states: every arrow of the diagram and every one that is not drawn; and nobody else writes a block."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from producers.blocks import block as module
from producers.blocks.block import ARROWS, Block, IllegalTransition, Progress, Taken, ended_block, identify
from producers.decode.segment import Segment
from producers.node.rpc_types import Head, Log
from tlv.codes import Completeness, Domain, Flag, Source
from tlv.layout import EventOrigin, PoolSync
from tlv.message import build

ROOT = Path(__file__).parents[3]
OWNER = ROOT / "producers" / "blocks" / "block.py"
SOURCES = sorted(path for folder in ("producers", "tools") for path in (ROOT / folder).rglob("*.py") if path != OWNER)
CHANGES = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popleft", "remove", "sort", "update"}
"""Methods that change a set or a list in place."""
WAY_TO: dict[Progress, tuple[str, ...]] = {
    Progress.KNOWN: (),
    Progress.OPEN: ("open",),
    Progress.WANTED: ("want",),
    Progress.CLOSED: ("open", "close"),
    Progress.LOST: ("want", "lose"),
}
HEAD = Head("0x7", "0x" + "77" * 32, "0x" + "66" * 32)


POOL, OTHER_POOL = b"\x11" * 20, b"\x22" * 20


def segment_of(pool: bytes) -> Segment:
    """One Sync event of the pool, flagged UNPROVEN."""
    sync = msgspec.structs.replace(PoolSync.unpack(bytes(PoolSync.layout.size)), pool=pool.ljust(32, b"\0"))
    origin = EventOrigin(7, 0, 0, 0, pool[0], bytes.fromhex(HEAD.hash[2:]), bytes(32))
    data = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin], flags=int(Flag.UNPROVEN))
    return Segment(np.frombuffer(data, np.uint8), np.zeros(1, np.int64), np.array([len(data)]))


def move(block: Block, arrow: str) -> None:
    if arrow == "close":
        block.close(Completeness.TOMBSTONE)
    else:
        method: Callable[[], None] = getattr(block, arrow)
        method()


def block_in(progress: Progress) -> Block:
    block = Block(HEAD, live=True)
    for arrow in WAY_TO[progress]:
        move(block, arrow)
    assert block.progress is progress
    return block


def log_at(index: int, transaction: str = "0xaa") -> Log:
    return Log("0x" + "11" * 20, ("0xt",), transaction_hash=transaction, log_index=hex(index), block_hash=HEAD.hash)


def test_diagram_shows_the_arrows_of_the_table_and_no_other() -> None:
    drawn = set()
    for line in (module.__doc__ or "").splitlines():
        for path in line.split(","):
            steps = re.findall(r"[A-Z]{4,}|--[a-z]+-->", path)
            for (begin, arrow), (_, end) in zip(pairwise(steps[:-1]), pairwise(steps[1:]), strict=True):
                if arrow.startswith("--"):
                    drawn.add((arrow.strip("->"), Progress[begin], Progress[end]))
    assert drawn == {(arrow, begin, end) for arrow, steps in ARROWS.items() for begin, end in steps.items()}


@pytest.mark.parametrize("progress", Progress)
@pytest.mark.parametrize("arrow", ARROWS)
def test_block_moves_along_an_arrow_and_refuses_every_other(arrow: str, progress: Progress) -> None:
    block = block_in(progress)
    if progress in ARROWS[arrow]:
        move(block, arrow)
        assert block.progress is ARROWS[arrow][progress]
        return
    before = [getattr(block, name) for name in Block.__slots__]
    with pytest.raises(IllegalTransition, match=rf"{arrow}\(\) of a {progress.name} block"):
        move(block, arrow)
    assert [getattr(block, name) for name in Block.__slots__] == before, "what is refused changes nothing"


def written_attributes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each attribute of something else than `self` that is assigned, deleted or changed in place."""
    for node in ast.walk(tree):
        target: ast.expr | None = None
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            target = node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        if isinstance(target, ast.Attribute) and not (isinstance(target.value, ast.Name) and target.value.id == "self"):
            yield node.lineno, target.attr


def is_about_blocks(source: str) -> bool:
    return "producers.blocks" in source or "producers.assembly" in source or "producers.closing" in source


def test_nobody_but_a_block_writes_its_attributes() -> None:
    sources = {path: path.read_text() for path in SOURCES}
    about_blocks = {path: source for path, source in sources.items() if is_about_blocks(source)}
    assert len(about_blocks) > 12
    found = [
        f"{path.relative_to(ROOT)}:{line} writes .{name}"
        for path, source in about_blocks.items()
        for line, name in written_attributes(ast.parse(source))
        if name in Block.__slots__
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "block.live = True",
        "held.block.quarantined -= 1",
        "block.waiting.append(1)",
        "block.published[0] = 1",
        "del b.head",
    ],
)
def test_writers_of_attributes_are_found(source: str) -> None:
    assert list(written_attributes(ast.parse(source)))


def test_block_that_leaves_and_comes_back_replays_what_was_published() -> None:
    block = ended_block(HEAD, Completeness.REFETCHED)
    assert block.ended and not block.to_replay
    block.leave()
    assert not block.ended and not block.live and not block.to_replay, "nothing of it was published"
    block.close(block.verdict)
    assert block.verdict is Completeness.REFETCHED


def test_block_that_disbelieves_a_copy_of_a_log_keeps_the_index_of_the_true_one() -> None:
    """The index was gone, so the block had a hole that no list could fill, and became a gap."""
    block, garbled = block_in(Progress.OPEN), log_at(0x13, "0xee")
    for log in (log_at(0x13), garbled, log_at(0x113)):
        block.take(log, pushed=True)
    block.disbelieve(garbled, [])
    assert block.indices == {0x13, 0x113} and block.doubted
    block.disbelieve(log_at(0x13), [])
    assert block.indices == {0x113}
    block.disbelieve(log_at(0x113), [])
    assert not block.indices and block.contiguous, "nothing below a log that counts as not come is missing"


def test_block_takes_a_log_once_and_doubts_itself_for_one_without_a_place() -> None:
    block = block_in(Progress.OPEN)
    assert [block.take(log_at(0), pushed=True), block.take(log_at(0), pushed=False)] == [Taken.NEW, Taken.KNOWN]
    assert (block.pushed, len(block.waiting), block.doubted) == (1, 1, False)
    assert block.take(Log("0x"), pushed=True) is Taken.UNREADABLE
    assert block.doubted and len(block.waiting) == 1
    block.want()
    block.merge()
    assert block.doubted, "a list came, and may not be believed"
    block.close(Completeness.REFETCHED)
    assert not block.doubted


def test_block_gives_logs_in_order_and_none_from_behind_a_hole_while_it_is_open() -> None:
    block = block_in(Progress.OPEN)
    for index in (3, 1, 0):
        block.take(log_at(index), pushed=True)
    assert [index for index, _, _ in block.take_waiting(10, in_order=True)] == [0, 1]
    assert block.take_waiting(10, in_order=True) == []
    block.take(log_at(2), pushed=True)
    assert [index for index, _, _ in block.take_waiting(1, in_order=True)] == [2]
    assert [index for index, _, _ in block.take_waiting(10, in_order=True)] == [3]


def test_block_that_is_not_open_gives_logs_from_behind_a_hole() -> None:
    block = block_in(Progress.WANTED)
    block.take(log_at(5), pushed=False)
    block.close(Completeness.REFETCHED)
    assert block.take_waiting(10, in_order=True) == [(5, log_at(5), True)]


def test_block_that_disbelieves_a_log_takes_it_again() -> None:
    block = block_in(Progress.OPEN)
    for index in (0, 1):
        block.take(log_at(index), pushed=True)
    garbled, behind = block.take_waiting(10, in_order=True)
    block.disbelieve(garbled[1], [behind])
    assert block.doubted and block.waiting == [behind]
    assert block.take(log_at(0), pushed=False) is Taken.NEW


def test_block_counts_what_is_held_until_it_is_requeued_or_dropped() -> None:
    block = block_in(Progress.OPEN)
    block.hold()
    block.hold()
    block.requeue(4, log_at(4), False)
    assert (block.quarantined, block.waiting) == (1, [(4, log_at(4), False)])
    block.drop_held()
    assert block.quarantined == 0


@pytest.mark.parametrize("flagged", [b"", POOL])
def test_block_that_is_away_replays_what_is_left_when_flagged_events_are_taken_out(flagged: bytes) -> None:
    block = block_in(Progress.OPEN)
    for pool in filter(None, (flagged, OTHER_POOL)):
        block.add_published(segment_of(pool))
        block.mark(Counter({f"0x{pool.hex()}": 1}))
    block.leave()
    assert block.to_replay
    assert len(block.take_out_marked(f"0x{OTHER_POOL.hex()}")) == 1
    assert block.to_replay is bool(flagged) and block.events == bool(flagged)


@pytest.mark.parametrize("index", [0, 9, 10, 255, 4095, 4096, 70_000])
def test_identity_is_the_same_however_an_index_is_spelt(index: int) -> None:
    spellings = (hex(index), f"0x{index:X}", f"0x{index:08x}", f"{index:x}", *(["0x"] if index == 0 else []))
    logs = [Log("0x" + "11" * 20, transaction_hash="0xaa", log_index=text) for text in spellings]
    assert {identify(log) for log in logs} == {("0xaa" + hex(index), index)}
    assert identify(Log("0x" + "11" * 20, transaction_hash="0xaa", log_index="0xzz")) is None
