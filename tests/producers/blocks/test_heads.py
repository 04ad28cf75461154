"""Heads that cannot be, parents that cannot be had, branches that nobody announced: the real feed on made-up chains."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any

import pytest

from producers import statistics
from producers.blocks import chain
from producers.blocks.chain import MAX_LOOSE, ZERO_HASH
from producers.blocks.head_queue import MOST_SOUGHT
from producers.heads import FIRST_NS, PAST_NS
from tests.producers.blocks.lying import FIRST, REFUSED, LyingNode, hiding
from tests.producers.virtual import SECOND, new_feed
from tlv.codes import Reason
from tlv.layout import Block as BlockRecord
from tlv.layout import BlockEnd, Gap, Reorg, StateInvalidation
from tools.prove.world.tables import tables
from tools.rig.processes import resident_bytes

U64 = 1 << 64
MIB = 1 << 20
MOST_GROWN = 8 * MIB
"""A leak of 10 bytes a block would be more in a million."""
WARM_BLOCKS = 1_000
FEW = 128
"""Entries by which a table may vary: requests of the last seconds, say."""


def gaps(node: LyingNode) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in node.records(Gap)]


def number_of(block: dict[str, Any]) -> int:
    return int(block["number"], 16)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("hash", "0x" + "ab" * 31),
        ("hash", "0x" + "ab" * 33),
        ("hash", "0x" + "zz" * 32),
        ("hash", "latest"),
        ("parentHash", "0x"),
        ("parentHash", "0x" + "ab" * 31),
        ("number", "0x"),
        ("number", hex(1 << 63)),
        ("number", hex(1 << 255)),
        ("number", "0x" + "1" * 100_000),
        ("number", "-0x1"),
        ("number", "1_0"),
        ("timestamp", hex(1 << 63)),
        ("timestamp", hex(U64)),
        ("timestamp", "soon"),
        ("gasUsed", hex(U64)),
        ("gasLimit", hex(1 << 256)),
        ("baseFeePerGas", hex(1 << 256)),
    ],
)
def test_head_with_a_member_that_cannot_be_is_refused_and_named(member: str, value: str) -> None:
    node = LyingNode(new_feed())
    node.grow(3)
    block = node.mine(2)
    node.push({**block, "hash": "0x" + "ab" * 32, member: value}, [])
    assert [name.split()[1] for name in node.feed.count().unfit_members] == [member]
    node.push(block)
    node.grow(2)
    assert node.standing() == node.canonical()
    assert node.records(Reorg) == []
    assert gaps(node) == []


def test_heads_of_far_numbers_with_unknown_parents_hold_nobody_up_for_long() -> None:
    node = LyingNode(new_feed())
    node.grow(3)
    for number in (0xFFFFFFFFFFF, (1 << 63) - 1, number_of(node.head) + 9):
        strange = {**node.head, "number": hex(number), "hash": f"0x{number:064x}", "parentHash": "0x" + "cd" * 32}
        node.push(strange, [])
    node.grow(30)
    assert node.standing() == node.canonical()
    assert node.feed.head_number == number_of(node.head)
    assert node.records(Reorg) == []
    assert gaps(node) == []


@pytest.mark.parametrize("heads", [3_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_heads_with_unknown_parents_are_bounded(heads: int) -> None:
    node = LyingNode(new_feed())
    node.grow(3)
    assembly = node.feed._assembly
    for at in range(heads):
        strange = {**node.head, "number": hex(number_of(node.head) + 1), "hash": f"0x{at:064x}"}
        node.push({**strange, "parentHash": f"0x{heads + at:064x}"}, [])
    assert len(assembly._switching.heads) <= MOST_SOUGHT + 1
    assert len(assembly.chain.blocks) <= MOST_SOUGHT + 10 <= MAX_LOOSE
    assert node.feed.count().dropped_heads >= heads - MOST_SOUGHT - 1
    node.now_ns += 2 * SECOND
    node.grow(5)
    assert node.standing() == node.canonical()
    assert gaps(node) == []


@pytest.mark.parametrize("seconds", [0.2, 3.0, 20.0])
def test_reorg_whose_new_parents_are_null_for_a_while_is_followed_exactly(seconds: float) -> None:
    """Only the new tip is pushed; the node shows its parents later, by hash and by number."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(6)
    dropped = node.line[-4:]
    del node.line[-4:]
    for _ in range(5):
        node.mine(3)
    hidden.update(node.line[-5:-1])
    node.push(node.head)
    node.wait(seconds)
    hidden.clear()
    node.wait(5)
    node.grow(3)
    node.wait(8)
    assert gaps(node) == []
    assert [(reorg.depth, "0x" + reorg.old_head_hash.hex()) for reorg in node.records(Reorg)] == [(4, dropped[-1])]
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()


@pytest.mark.parametrize("by_number", [True, False], ids=["known-by-number", "unknown"])
def test_root_takes_back_every_block_that_it_does_not_continue(by_number: bool) -> None:
    """Two parents of the new branch can never be had; the four blocks of the dead branch do not stand."""
    lost: set[str] = set()

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if isinstance(result, dict) and result.get("hash") in lost:
            return None
        if not by_number and method == "eth_getBlockByNumber" and lost and params[0] != "latest":
            return result if result and result["hash"] in node.line[-3:] else None
        return result

    node = LyingNode(new_feed(), answer)
    node.grow(8)
    dead = node.line[-4:]
    del node.line[-4:]
    fork = number_of(node.head)
    for _ in range(5):
        node.mine(3)
    lost.update(node.line[-4:-2])
    node.push(node.head)
    node.wait(45)
    node.grow(2)
    node.wait(10)
    standing = {name for name, _ in node.standing()}
    assert standing.isdisjoint(dead), "no dead branch stands"
    assert standing <= set(node.line), "no extra events"
    first, last = gaps(node)[0]
    declared = {name for name in node.line if first <= number_of(node.blocks[name]) <= last}
    assert {name for name in node.line[1:] if node.logs[name]} - standing <= declared | lost
    assert first == (fork + 1 if by_number else first)
    assert node.records(Reorg)[0].depth >= 4


def test_reorg_deeper_than_the_kept_headers_is_told_with_its_fork_and_what_cannot_be_taken_back() -> None:
    node = LyingNode(new_feed())
    node.feed._assembly.chain._keep = 20
    node.grow(60, seconds=0.5)
    kept = min(node.feed._assembly.chain.canonical)
    old_head = number_of(node.head)
    del node.line[-45:]
    fork = node.head
    for _ in range(46):
        node.mine(2)
    node.push(node.head)
    node.wait(20)
    reorg = node.records(Reorg)[0]
    assert (reorg.fork_number, reorg.fork_hash.hex()) == (number_of(fork), fork["hash"][2:])
    assert reorg.depth == old_head - number_of(fork)
    assert gaps(node) == [(number_of(fork) + 1, kept - 1)]
    since = [told.since_block for told in node.records(StateInvalidation) if told.reason == Reason.CHAIN_BROKEN]
    assert since == [number_of(fork) + 1]
    gone = {name for name, _ in node.standing()} - set(node.line)
    assert all(number_of(fork) < number_of(node.blocks[name]) < kept for name in gone)
    assert set(node.canonical()) <= set(node.standing())
    assert not node.story.twice.total()


@pytest.mark.parametrize("seed", range(20))
def test_heads_out_of_order_while_answers_are_null_for_a_moment_lose_nothing(seed: int) -> None:
    chance = random.Random(seed)
    first: dict[str, int] = {}

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if not method.startswith("eth_getBlockBy") or params[0] == "latest":
            return result
        return None if node.now_ns - first.setdefault(f"{method}{params}", node.now_ns) < 0.3 * SECOND else result

    node = LyingNode(new_feed())
    node.answer = answer
    for _ in range(12):
        if chance.random() < 0.3 and len(node.line) > 6:
            del node.line[-chance.randint(1, 4) :]
        blocks = [node.mine(2) for _ in range(chance.randint(2, 6))]
        tip = blocks[-1]
        chance.shuffle(blocks)
        for block in blocks:
            node.push(block, None if chance.random() < 0.7 else [])
            node.wait(chance.choice([0.0, 0.1, 0.5]))
        node.push(tip, [])
        node.wait(3)
    node.grow(2)
    node.wait(40)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert node.feed.head_number == number_of(node.head)


def test_hole_whose_headers_the_node_has_later_is_filled() -> None:
    """The node was away and shows a stretch of blocks only after a minute and a half."""
    node_has = True

    def answer(method: str, params: list[Any], result: Any) -> Any:
        inside = isinstance(result, dict) and "parentHash" in result and 6 < number_of(result) - 60_000_001 < 20
        return None if inside and not node_has else result

    node = LyingNode(new_feed(), answer)
    node.grow(6)
    node_has = False
    for _ in range(16):
        node.mine(2)
    node.push(node.head)
    node.wait(60)
    node.grow(3)
    assert gaps(node) == [(60_000_008, 60_000_020)]
    node_has = True
    node.wait(70)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    ended = {end.hash.hex() for end in node.records(BlockEnd)}
    assert {name[2:] for name in node.line[1:]} <= ended
    assert node.feed.count().healed_blocks == 13
    assert node.feed._assembly.chain.holes == []
    node.grow(2)
    assert node.standing() == node.canonical()


def test_thousands_of_lazily_mined_blocks_that_name_no_parent_are_had_by_number() -> None:
    """As `hardhat_mine 3000` makes them; the newest names its parent."""
    node = LyingNode(new_feed())
    node.grow(4)
    for _ in range(2_998):
        node.mine(0, parentHash=ZERO_HASH)
    node.mine(0)
    node.mine(0)
    node.push(node.head)
    node.wait(20)
    node.grow(3)
    assert node.standing() == node.canonical()
    told = {record.hash.hex() for record in node.records(BlockRecord)}
    ended = {end.hash.hex() for end in node.records(BlockEnd)}
    assert {name[2:] for name in node.line} == told
    assert {name[2:] for name in node.line[:-1]} <= ended
    assert node.feed.safe_block is not None and node.feed.safe_block.number >= number_of(node.head) - 1


@pytest.mark.parametrize("blocks", [3_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_feed_over_many_blocks_keeps_bounded_tables_and_memory(
    blocks: int, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    """Each fifth block is a reorg's, each seventh has a list that is empty at first."""
    for module, bound in ((chain, "MAX_PAST"), (statistics, "MOST_LISTED")):
        monkeypatch.setattr(module, bound, 100)  # full after a thousand blocks
    node = LyingNode(new_feed())
    for at in range(1, blocks + 1):
        node.push(node.mine(at % 3), None if at % 7 else [])
        if at % 5 == 4:
            node.line.pop()
            node.push(node.mine(1))
        node.wait(1, 0.5)
        if at % 100 == 0:
            node.forget(600)
        if at == WARM_BLOCKS:
            before, first_bytes = tables(node.feed), resident_without_garbage()
        elif at % 10_000 == 0 or at == blocks:
            grown = resident_without_garbage() - first_bytes
            tell(f"{at} blocks: {grown / MIB:+.1f} MiB since the first {WARM_BLOCKS}")
    after = tables(node.feed)
    assert before["Chain.blocks"] > 256 and before["Chain._past"] == before["Statistics.reorgs"] == 100
    assert {name: size for name, size in after.items() if size > 1.5 * before[name] + FEW} == {}
    assert grown < MOST_GROWN
    assert node.feed.count().gaps == []


def resident_without_garbage() -> int:
    gc.collect()
    return resident_bytes()


def test_latest_block_of_before_the_beginning_is_asked_for_again() -> None:
    """After a reconnection a node answers that lags behind the one that was there before, by more than we have seen."""
    lagging = False

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if lagging and params[:1] == ["latest"]:
            return {**result, "number": hex(FIRST - 3), "hash": "0x" + "33" * 32, "parentHash": "0x" + "22" * 32}
        return result

    node = LyingNode(new_feed(), answer)
    node.grow(4)
    lagging = True
    node.feed.disconnected(**node.clock)
    node.feed.connected(**node.clock)
    node.exchange()
    node.wait(5)
    assert node.records(Reorg) == []
    lagging = False
    node.mine(2)  # and nobody is told
    node.wait(5)
    assert node.standing() == node.canonical()


@pytest.mark.parametrize(("above", "told"), [(3000, [(4, 3003)]), (1 << 43, [])])
def test_head_whose_number_nobody_shows_is_adopted_only_where_it_can_be(
    above: int, told: list[tuple[int, int]]
) -> None:
    """For as long as a parent is sought, the node answers refusals."""
    refuses: list[bool] = []

    def answer(method: str, params: list[Any], result: Any) -> Any:
        return REFUSED if refuses and method.startswith("eth_getBlock") else result

    node = LyingNode(new_feed(), answer)
    node.grow(3)
    refuses.append(True)
    node.push(node.mine(0, number=hex(FIRST + 4 + above), parentHash="0x" + "77" * 32))
    node.wait(60, 0.5)
    assert [(first - FIRST, last - FIRST) for first, last in gaps(node)] == told


def test_head_of_another_number_than_its_parent_shows_holds_no_other_child_of_it_up() -> None:
    """Its parent was not pushed, and is asked for as a block of the number that the made-up head gives it."""
    node = LyingNode(new_feed())
    node.grow(3)
    parent = node.mine()
    node.push({**parent, "number": hex(1 << 44), "hash": "0x" + "99" * 32, "parentHash": parent["hash"]}, [])
    node.wait(1)
    node.grow(3)
    assert node.standing() == node.canonical()
    assert gaps(node) == []


def test_head_whose_parent_is_sought_is_not_adopted_behind_a_later_one() -> None:
    """The chain left it while nobody could show its parent: no Reorg to it and back."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(4)
    fork = list(node.line)
    left = [node.mine() for _ in range(3)]
    hidden.update(block["hash"] for block in left[:2])
    node.push(left[2])
    node.line[:] = fork
    node.push(node.mine())  # lower than the one before
    node.wait(3)
    assert node.feed.head_number == number_of(node.head)
    hidden.clear()
    node.wait(5)
    assert node.records(Reorg) == []
    node.grow(4)
    assert node.standing() == node.canonical()


def reconnect(node: LyingNode, seconds: float) -> None:
    """An endpoint is left, and the next is in use after so long."""
    node.feed.disconnected(**node.clock)
    node.wait(seconds)
    node.feed.connected(**node.clock)
    node.exchange()


@pytest.mark.parametrize("hides", ["the parent", "the logs"])
def test_what_no_endpoint_has_is_declared_though_each_is_left_before_the_patience_ends(hides: str) -> None:
    """With a second endpoint each is left after ten seconds without progress; the time between counts for nothing."""
    hidden: list[str] = []

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if hides == "the parent":
            return hiding(hidden)(method, params, result)
        return REFUSED if method == "eth_getLogs" and params[0].get("blockHash") in hidden else result

    node = LyingNode(new_feed(), answer)
    node.grow(3)
    hidden.append(node.mine()["hash"])
    number = number_of(node.head)
    node.push(node.mine())
    for _ in range(2):
        node.wait(10)
        reconnect(node, 60)
    assert gaps(node) == []
    node.wait(15)
    assert gaps(node) == [(number, number)]
    node.grow(2)
    assert node.feed.head_number == number_of(node.head)


@pytest.mark.parametrize("depth", [3, 300], ids=["that is known", "beyond what is remembered"])
def test_latest_block_of_a_node_that_stands_still_on_another_branch_is_adopted_only_in_the_end(depth: int) -> None:
    stands = False

    def answer(method: str, params: list[Any], result: Any) -> Any:
        stale = {**node.blocks[node.line[-depth]], "hash": "0x" + "33" * 32}
        return stale if stands and "latest" in params else result

    node = LyingNode(new_feed())
    node.grow(depth + 100, 0, 0.2)
    node.answer, stands = answer, True
    reconnect(node, 1)
    node.wait(PAST_NS // SECOND - 2, 1)
    assert node.records(Reorg) == []
    node.wait(5)
    assert len(node.records(Reorg)) == 1


def test_logs_lead_to_no_block_while_it_is_in_doubt_which_chain_is_pushed() -> None:
    """The chain was replaced under the connection, or is reorganised deep down: its first block is asked for again."""
    first = "0x" + new_feed().genesis.hex()

    def answer(method: str, params: list[Any], result: Any) -> Any:
        early = {"number": "0x0", "hash": first, "parentHash": ZERO_HASH, "timestamp": "0x1"}
        return early if params[:1] == ["0x0"] else result

    node = LyingNode(new_feed(), answer)
    node.wait(3)
    node.grow(4)
    first = "0x" + "e2" * 32
    del node.line[1:]
    node.mine()
    pushed = node.mine()
    before = len(node.asked)
    node.push(pushed)
    node.wait(3)
    asked = [params[0] for _, _, params in node.asked[before:] if params]
    assert "0x0" in asked
    assert pushed["hash"] not in asked


def test_first_head_of_a_node_that_does_not_say_its_latest_is_adopted_after_seconds() -> None:
    node = LyingNode(new_feed(), lambda method, params, result: REFUSED if "latest" in params else result)
    node.push(node.mine())
    node.wait(FIRST_NS / SECOND - 1)
    assert not node.records(BlockRecord)
    node.wait(2)
    assert [record.number for record in node.records(BlockRecord)] == [FIRST + 1]


def test_first_head_of_a_number_that_the_node_is_far_from_is_refused() -> None:
    """Of a first head there is no parent that could contradict it."""
    shown: list[bool] = []

    def answer(method: str, params: list[Any], result: Any) -> Any:
        return REFUSED if "latest" in params and not shown else result

    node = LyingNode(new_feed(), answer)
    node.push({**node.head, "number": hex(1 << 44), "hash": "0x" + "99" * 32}, [])
    node.push(node.mine())
    assert not node.records(BlockRecord)
    shown.append(True)
    node.wait(2)
    node.grow(3)
    assert [record.number for record in node.records(BlockRecord)] == [FIRST + at for at in range(1, 5)]
    assert node.standing() == node.canonical()


@pytest.mark.parametrize("seconds", [2, 90, 3600])
def test_time_in_which_the_machine_sleeps_ends_no_patience(seconds: int) -> None:
    """The parent is shown ten seconds after the head, of which the feed was awake."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(3)
    hidden.add(node.mine()["hash"])
    node.push(node.mine())
    node.wait(5)
    node.now_ns += seconds * SECOND
    node.wait(5)
    hidden.clear()
    node.grow(3)
    assert gaps(node) == []
    assert node.standing() == node.canonical()


def test_head_does_not_wait_for_a_parent_that_was_sought_for_a_head_that_is_gone() -> None:
    """A made-up head names the parent's parent of a head that the chain left meanwhile."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(3)
    fork = list(node.line)
    sought = node.mine()["hash"]
    hidden.add(sought)
    node.mine()
    node.push(node.mine())
    node.push({**node.head, "number": hex(1 << 44), "hash": "0x" + "99" * 32, "parentHash": sought}, [])
    node.line[:] = fork
    node.grow(4)
    node.wait(40, 0.5)
    assert len(node.feed._assembly._switching.heads) == 0
    assert node.standing() == node.canonical()
