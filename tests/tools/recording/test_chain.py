"""The visible chain: what a client sees by number and by hash when the head moves."""

from __future__ import annotations

from tools.recording.blocks import RecordedBlock
from tools.recording.chain import VisibleChain


def blocks(*places: tuple[int, str, str]) -> dict[str, RecordedBlock]:
    """Blocks of (number, hash, parent hash)."""
    return {name: RecordedBlock(number, name, parent, "state", b"{}", b"{}") for number, name, parent in places}


FORKED = blocks((1, "a1", "?"), (2, "a2", "a1"), (2, "b2", "a1"), (3, "b3", "b2"), (3, "a3", "a2"))
HOLED = blocks((1, "a1", "?"), (2, "a2", "a1"), (6, "a6", "unrecorded"), (3, "x3", "unrecorded too"))


def hashes(chain: VisibleChain) -> list[str]:
    return [block.hash for block in chain.between(0, 100)]


def test_chain_reorg_brings_in_the_parent_that_was_never_announced() -> None:
    chain = VisibleChain(FORKED, "a1")
    chain.adopt("a2")
    chain.adopt("b3")
    assert hashes(chain) == ["a1", "b2", "b3"]


def test_chain_orphaned_block_stays_fetchable_by_hash_only() -> None:
    chain = VisibleChain(FORKED, "a2")
    chain.adopt("b3")
    assert chain.by_hash("a2") is FORKED["a2"]
    assert chain.by_number(2) is FORKED["b2"]


def test_chain_future_block_is_unknown_by_hash_and_by_number() -> None:
    chain = VisibleChain(FORKED, "a2")
    assert chain.by_hash("b3") is None
    assert chain.by_number(3) is None


def test_chain_there_and_back_again_ends_where_it_began() -> None:
    chain = VisibleChain(FORKED, "a2")
    chain.adopt("b3")
    chain.adopt("a3")
    assert hashes(chain) == ["a1", "a2", "a3"]


def test_chain_lower_head_drops_what_was_above_it() -> None:
    chain = VisibleChain(FORKED, "b3")
    chain.adopt("a2")
    assert hashes(chain) == ["a1", "a2"]


def test_chain_hole_keeps_the_blocks_below_it() -> None:
    chain = VisibleChain(HOLED, "a2")
    chain.adopt("a6")
    assert hashes(chain) == ["a1", "a2", "a6"]
    assert chain.by_number(4) is None


def test_chain_hole_drops_the_block_that_the_new_chain_contradicts() -> None:
    chain = VisibleChain(HOLED, "a2")
    chain.adopt("x3")
    assert hashes(chain) == ["a1", "x3"]
