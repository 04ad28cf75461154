"""Blocks and branches: what the chain answers, and that a feed follows any of them to exactly the canonical events."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from producers.blocks.block import Block
from producers.blocks.chain import Chain, Missing
from producers.node.rpc_types import Head
from tests.producers.branches import Branches
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import Flag
from tlv.layout import Block as BlockRecord
from tlv.layout import BlockEnd, EventOrigin, Heartbeat, Reorg


def header(number: int, name: str, parent: str) -> Head:
    return Head(hex(number), name, parent)


def chain_of(*names: str, first: int = 10, keep: int = 64) -> Chain:
    chain = Chain(keep)
    parent = "?"
    for number, name in enumerate(names, first):
        block = chain.add(header(number, name, parent), 0)
        branch = chain.branch(block, 100)
        assert isinstance(branch, list)
        chain.adopt(branch)
        parent = name
    return chain


def add(chain: Chain, number: int, name: str, parent: str) -> Block:
    return chain.add(header(number, name, parent), 0)


def test_chain_with_child_of_head_extends() -> None:
    chain = chain_of("a", "b")
    branch = chain.branch(add(chain, 12, "c", "b"), 100)
    assert isinstance(branch, list)
    switch = chain.adopt(branch)
    assert switch.dropped == []
    assert [block.hash for block in switch.adopted] == ["c"]
    assert switch.fork is not None and switch.fork.hash == "b"
    assert switch.hole is None


def test_chain_with_unknown_parent_names_it() -> None:
    chain = chain_of("a", "b")
    missing = chain.branch(add(chain, 14, "e", "d"), 100)
    assert missing == Missing("d", chain.blocks["e"], 1)


def test_chain_with_longer_branch_drops_newest_first() -> None:
    chain = chain_of("a", "b", "c", "d")
    add(chain, 12, "c2", "b")
    branch = chain.branch(add(chain, 13, "d2", "c2"), 100)
    assert isinstance(branch, list)
    switch = chain.adopt(branch)
    assert [block.hash for block in switch.dropped] == ["d", "c"]
    assert [block.hash for block in switch.adopted] == ["c2", "d2"]
    assert switch.fork is not None and switch.fork.hash == "b"


def test_chain_with_shorter_branch_drops_what_is_above() -> None:
    chain = chain_of("a", "b", "c", "d")
    branch = chain.branch(add(chain, 11, "b2", "a"), 100)
    assert isinstance(branch, list)
    switch = chain.adopt(branch)
    assert [block.hash for block in switch.dropped] == ["d", "c", "b"]
    assert sorted(chain.canonical) == [10, 11]


def test_chain_above_a_hole_declares_it_once() -> None:
    chain = chain_of("a", "b")
    for name in ("x", "x2"):
        block = add(chain, 20, name, f"parent of {name}")
        block.lose_parent()
        branch = chain.branch(block, 100)
        assert isinstance(branch, list)
        hole = chain.adopt(branch).hole
        assert hole == ((12, 19) if name == "x" else None)
    assert chain.canonical[20].hash == "x2"
    assert chain.canonical[11].hash == "b"


def test_chain_whose_root_contradicts_the_block_below_drops_it() -> None:
    chain = chain_of("a", "b", "c")
    block = add(chain, 12, "c2", "b of another branch")
    block.lose_parent()
    branch = chain.branch(block, 100)
    assert isinstance(branch, list)
    switch = chain.adopt(branch)
    assert [block.hash for block in switch.dropped] == ["c", "b"]
    assert switch.fork is None
    assert switch.hole == (11, 11)


def test_chain_with_walk_beyond_its_limit_makes_a_root() -> None:
    chain = chain_of("a")
    parent = "a"
    for number in range(11, 40):
        parent = add(chain, number, f"n{number}", parent).hash
    branch = chain.branch(chain.blocks["n39"], 10)
    assert isinstance(branch, list)
    assert [branch[0].hash, len(branch), branch[0].root] == ["n30", 10, True]
    assert chain.adopt(branch).hole == (11, 29)


def test_chain_below_its_first_block_asks_for_no_parents() -> None:
    chain = chain_of("a", "b")
    branch = chain.branch(add(chain, 10, "a2", "unknown"), 100)
    assert isinstance(branch, list)
    assert [block.hash for block in chain.adopt(branch).dropped] == ["b", "a"]


def test_chain_follows_a_head_below_its_first_block_to_one_parent_only() -> None:
    """A reorg deeper than what a collector saw of the chain: what was before it began is not published (anvil, 51)."""
    chain = chain_of("a", "b")
    head = add(chain, 9, "z2", "y")
    assert chain.branch(head, 100) == Missing("y", head, 1)
    assert chain.needs(head, 1) == Missing("y", head, 1)
    assert chain.needs(add(chain, 8, "y", "x"), 2) is None
    branch = chain.branch(head, 100)
    assert branch == [head]
    switch = chain.adopt(branch)
    assert [block.hash for block in switch.dropped] == ["b", "a"]
    assert (switch.adopted, switch.fork, switch.hole) == ([head], None, None)
    following = chain.branch(add(chain, 10, "a2", "z2"), 100)
    assert isinstance(following, list) and [block.hash for block in following] == ["a2"]


def test_chain_forgets_what_no_reorg_can_reach() -> None:
    chain = chain_of(*(f"n{number}" for number in range(200)), keep=64)
    chain.forget()
    assert len(chain.blocks) == len(chain.canonical) == 65
    assert chain.head is not None and chain.head.hash == "n199"


def test_chain_root_below_what_is_remembered_says_where_what_left_began() -> None:
    """A head without a parent, so low that the blocks at its height are known by their hashes only."""
    chain = chain_of(*(f"n{number}" for number in range(200)), first=0, keep=64)
    chain.forget()
    root = add(chain, 120, "m120", "unknown")
    root.lose_parent()
    switch = chain.adopt([root])
    assert (switch.fork, switch.unreachable, switch.hole) == (None, (119, 134), (119, 119))
    assert (switch.dropped[-1].number, switch.left_from) == (135, 119)
    assert switch.dropped[0].number == 199


def test_chain_whose_hole_reaches_down_to_what_is_forgotten_says_what_left_and_is_known_no_more() -> None:
    chain = chain_of("a", "b", "c", "d", keep=8)
    adopt_root(chain, 17, "r17")
    for number in range(18, 23):
        chain.adopt([add(chain, number, f"r{number}", f"r{number - 1}")])
    assert chain.holes == [(14, 16)]
    chain.forget()
    assert 13 not in chain.canonical and 17 in chain.canonical
    assert chain.was_told(13) and chain.was_told(10)
    assert not (chain.was_told(14) or chain.was_told(9))
    names = {13: "n13", 14: "n14", 15: "n15", 16: "unknown"}
    parents = ["c", "n13", "n14", "n15"]
    heads = [header(number, names[number], parent) for number, parent in zip(names, parents, strict=True)]
    switch = chain.refill(heads, 0)
    assert switch.fork == (12, "c")
    assert switch.unreachable == (13, 13)


@pytest.mark.parametrize(("newest", "left"), [(16, []), (12, []), (10, [])])
def test_chain_branch_that_covers_a_hole_has_it_no_more(newest: int, left: list[tuple[int, int]]) -> None:
    chain = chain_of(*"abcd", first=5)
    adopt_root(chain, 12, "h12")
    assert chain.holes == [(9, 11)]
    parent = "b"
    for number in range(7, newest + 1):
        parent = add(chain, number, f"x{number}", parent).hash
    branch = chain.branch(chain.blocks[parent], 100)
    assert isinstance(branch, list)
    chain.adopt(branch)
    assert chain.holes == left


def test_chain_hole_within_a_branch_that_is_adopted_again_stays() -> None:
    """A lower hole is filled from below its begin: what is above it is adopted again, with the hole in it."""
    chain = chain_of(*"abcd", first=5)
    adopt_root(chain, 12, "h12")
    adopt_root(chain, 20, "h20")
    assert chain.holes == [(9, 11), (13, 19)]
    chain.refill([header(8, "y8", "c"), *(header(number, f"y{number}", f"y{number - 1}") for number in (9, 10, 11))], 0)
    assert chain.holes == [(13, 19)]


def adopt_root(chain: Chain, number: int, name: str) -> None:
    """A head whose parent cannot be had."""
    root = add(chain, number, name, "unknown")
    root.lose_parent()
    chain.adopt([root])


def test_chain_with_many_heads_behind_one_missing_parent_walks_each_block_once() -> None:
    class Counted(dict[str, Block]):
        looked_up = 0

        def get(self, *key: Any) -> Any:
            self.looked_up += 1
            return super().get(*key)

    chain = chain_of("a")
    chain.blocks = blocks = Counted(chain.blocks)
    for depth in range(1, 301):
        head = add(chain, 12 + depth, f"h{depth}", f"h{depth - 1}")
        branch = chain.branch(head, 1000)
        assert isinstance(branch, Missing)
        assert (branch.hash, branch.child.hash, branch.depth) == ("h0", "h1", depth)
    assert blocks.looked_up < 3 * 300
    add(chain, 12, "h0", "b")
    branch = chain.branch(head, 1000)
    assert branch == Missing("b", chain.blocks["h0"], 301)
    add(chain, 11, "b", "a")
    branch = chain.branch(head, 1000)
    assert isinstance(branch, list) and len(branch) == 302


def test_chain_on_random_trees_remembers_no_end_of_a_branch_for_too_long() -> None:
    draw, chain, remembered = random.Random(3), chain_of("0", keep=24), 0
    known: list[tuple[int, str]] = [(10, "0")]
    for step in range(2_000):
        number, parent = draw.choice(known[-12:])
        name = f"{step}"
        known.append((number + 1, name))
        if draw.random() < 0.8:  # else it is missing until later, or for ever
            add(chain, number + 1, name, parent)
        late = draw.choice(known[-20:])
        chances = draw.random()
        heads = [block for block in chain.blocks.values() if not chain.is_canonical(block)]
        if not heads:
            continue
        head = draw.choice(heads)
        if chances < 0.05:
            chain.drop(head)
            continue
        if chances < 0.1:
            chain.make_root(head)
        elif chances < 0.15 and late[1] not in chain.blocks and late[0] > 10:
            add(chain, late[0], late[1], known[0][1])
        branch = chain.branch(head, 1000)
        ends = dict(chain._ends)
        remembered += len(ends)
        chain._ends.clear()
        assert chain.branch(head, 1000) == branch
        chain._ends = ends
        if isinstance(branch, list) and draw.random() < 0.05:
            chain.adopt(branch)
            chain.forget()
    assert remembered > 2_000


def test_chain_on_random_trees_is_always_the_line_of_its_head() -> None:
    chance = random.Random(1)
    for _ in range(50):
        chain, tree = Chain(1000), {"n0": ("", 0)}
        for number in range(1, 60):
            parent = chance.choice(sorted(tree)[-8:])
            height = tree[parent][1] + 1
            tree[f"n{number}"] = (parent, height)
            chain.add(header(height, f"n{number}", parent), 0)
        chain.add(header(0, "n0", "?"), 0)
        first = chain.branch(chain.blocks["n0"], 100)
        assert isinstance(first, list)
        chain.adopt(first)
        for name in chance.sample(sorted(tree), 30):
            block = chain.blocks[name]
            if chain.is_canonical(block):
                continue
            branch = chain.branch(block, 100)
            assert isinstance(branch, list)
            chain.adopt(branch)
            line = [chain.canonical[number].hash for number in sorted(chain.canonical)]
            assert line[-1] == name
            assert all(tree[child][0] == parent for parent, child in pairwise(line))


@pytest.mark.parametrize("seed", range(16))
def test_feed_on_random_branches_ends_with_the_canonical_events(seed: int) -> None:
    """Half of the seeds lose a tenth of the logs, half hold back a third of the answers until the node says more."""
    branches = Branches(seed, moves=60)
    assert branches.reorgs > 5
    chance = random.Random(seed)
    loss, delay = (0.1 if seed % 2 else 0.0), (0.3 if seed % 4 > 1 else 0.0)
    late: list[bytes] = []

    def push(frame: bytes) -> list[bytes]:
        answers, late[:] = list(late), []
        if b'"address"' not in frame:
            return [*answers, frame]
        # The last log of a block is never lost: with others of its topic there, nothing could show that.
        log = msgspec.json.decode(frame)["params"]["result"]
        last = int(log["logIndex"], 16) == len(branches.logs[log["blockHash"]]) - 1
        return answers if not last and chance.random() < loss else [*answers, frame]

    def answer(frame: bytes) -> list[bytes]:
        if msgspec.json.decode(frame)["id"] <= 3 or chance.random() >= delay:
            return [frame]
        late.append(frame)
        return []

    conversation = Conversation(new_feed(), pushed=push, answered=answer, served=branches.recording())
    conversation.connect()
    conversation.play()
    while late:
        answers, late[:] = list(late), []
        conversation.push(answers)
    conversation.wait(5)
    while late:
        answers, late[:] = list(late), []
        conversation.push(answers)
    assert conversation.story.standing == branches.canonical()
    assert not conversation.story.twice.total()
    assert conversation.feed.count().gaps == []
    assert conversation.feed.settled
    check_story(conversation)


def check_story(conversation: Conversation) -> None:
    """Every reader's rules: parents, REMOVED copies as announced, order within a pool, nothing after a block's end."""
    chain: dict[int, bytes] = {}
    newest: dict[bytes, list[tuple[int, int]]] = {}
    ended: set[bytes] = set()
    owed = 0
    for message in conversation.story.messages:
        record, origin = message.records[0], message.first(EventOrigin)
        removed = bool(message.header.flags & Flag.REMOVED)
        assert owed == 0 or removed, "REMOVED copies follow their Reorg at once"
        if isinstance(record, Reorg):
            owed = record.removed_events
            fallen = [number for number in chain if number > record.fork_number]
            assert len(fallen) == record.depth
            assert chain[record.fork_number] == record.fork_hash
            for number in fallen:
                del chain[number]
        elif isinstance(record, BlockRecord):
            assert not chain or chain[record.number - 1] == record.parent_hash
            chain[record.number] = record.hash
            ended.discard(record.hash)
        elif isinstance(record, BlockEnd):
            assert chain[record.number] == record.hash
            ended.add(record.hash)
        elif isinstance(record, Heartbeat):
            assert all(chain[number] in ended for number in chain if number <= record.safe_number)
        elif origin is not None:
            places = newest.setdefault(record.pool, [])  # type: ignore[attr-defined]
            place = (origin.block_number, origin.log_index)
            if removed:
                owed -= 1
                assert places.pop() == place
            else:
                assert not places or places[-1] < place
                assert origin.block_hash not in ended
                assert chain[origin.block_number] == origin.block_hash
                places.append(place)
    assert owed == 0
