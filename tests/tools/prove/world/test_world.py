"""The simulated world: the same for the same seed, honest where it says so, and it sees what a collector gets wrong."""

from __future__ import annotations

from random import Random

import pytest

from producers.blocks.bloom import TopicBloom, read_bloom
from producers.chains.configuration import load_chain
from producers.kinds.checks import FIRST_OWN_CODE
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.registry import all_kinds
from tools.prove.world import hanging
from tools.prove.world.backend import Timeline, View
from tools.prove.world.chain import BlockTree, shows_loss
from tools.prove.world.contracts import mark, selector
from tools.prove.world.faults import ALL, HONEST, MARKETS, FaultPlan, draw_kinds
from tools.prove.world.markets import Markets
from tools.prove.world.mutants import MUTANTS, WorldMutant, changed
from tools.prove.world.run import run_world
from tools.prove.world.shrinking import shrink

DEAF = WorldMutant(
    "logs are not taken", "producers.blocks.block:Block.take", "self.pushed += pushed", "return Taken.KNOWN", 3, "", 8
)
ENDLESS = WorldMutant(
    "for ever",
    "producers.blocks.chain:Chain.forget",
    "if self.head is None",
    "while True: pass\n    if self.head is None",
    1,
    "",
    8,
)


def tree_of(seed: int = 1, blocks: int = 20) -> BlockTree:
    rng = Random(seed)
    markets = Markets(load_chain("polygon"), frozenset(), rng)
    tree = BlockTree(markets.chain, rng, markets.draw_pools(rng, 4), [markets.draw_lookalike(rng, 0)])
    for _ in range(blocks):
        tree.head = tree.mine(tree.head, 2, 6)
    return tree


@pytest.mark.parametrize("seed", range(1, 13))
def test_world_without_faults_has_no_gap_and_lacks_nothing(seed: int) -> None:
    run = run_world(seed, HONEST - {"second"} if seed % 2 else frozenset(), 20)
    assert run.passed, run.summary
    assert run.gaps == 0 and run.messages > 40


OWN_KINDS = frozenset(kind.code for kind in all_kinds() if kind.code < FIRST_OWN_CODE)
"""Those of the project: a test may have registered one of its own."""
UNTRADED = {"initialize", "fee", "protocol_fee_updated"}
"""Events that leave a state, which the world's contracts do not have."""


def test_every_kind_has_a_factory_in_the_world_and_every_event_of_a_trade_is_emitted() -> None:
    emitted, chain = set(), load_chain("polygon")
    for seed in range(1, 25):
        markets = Markets(chain, frozenset(MARKETS), Random(seed))
        assert {factory.protocol_code for factory in markets.chain.factories} == OWN_KINDS
        pools = markets.draw_pools(Random(seed), 12)
        tree = BlockTree(markets.chain, Random(seed), pools[:6], [], markets.makers)
        for place in range(20):
            born = pools[6 + place] if place < 6 else None
            tree.head = tree.mine(tree.head, 2, 8, born=born)
        emitted |= {log.topics[0] for block in tree.head.path for log in block.logs if log.record}
    own = [event for event in EVENT_OF_TOPIC.values() if OWN_KINDS.issuperset(event.protocols)]
    assert {event.name for event in own if event.topic0 not in emitted} == UNTRADED


def test_swaps_of_every_kind_are_published_where_the_node_says_nothing_late_garbled_and_of_other_blocks() -> None:
    kinds = frozenset({*MARKETS, "null", "late", "other_branch", "garbled", "hollow", "reorgs"})
    runs = [run_world(seed, kinds, 16) for seed in (11, 12, 45, 4)]
    assert [run.summary for run in runs if not run.passed] == []
    assert frozenset[int]().union(*(run.traded for run in runs)) == OWN_KINDS


def test_world_of_the_same_seed_has_the_same_history() -> None:
    kinds = frozenset({"reorgs", "lag", "late", "lost_pushes", "close", "kill_ring"})
    first, second = (run_world(5, kinds, 12, trace=True) for _ in range(2))
    assert first.history and first == second


def test_kind_that_is_switched_off_changes_no_other_draw() -> None:
    both, one = (FaultPlan(9, frozenset(kinds), 10**11) for kinds in (("late", "null"), ("late",)))
    assert both.windows("late") == one.windows("late")
    times = range(0, 10**11, 10**9)
    draws = [(both.strikes("null", at), both.strikes("late", at))[1] for at in times]
    assert draws == [one.strikes("late", at) for at in times]
    assert not one.strikes("null", 0) and not any(both.strikes("late", 10**11 + at) for at in times)


def test_seeds_draw_every_kind_and_some_draw_none_but_honest_ones() -> None:
    drawn = [draw_kinds(Random(seed)) for seed in range(400)]
    assert {kind for kinds in drawn for kind in kinds} == set(ALL)
    assert any(kinds <= HONEST for kinds in drawn) and any(len(kinds) > 10 for kinds in drawn)


def test_block_tree_headers_bloom_holds_every_topic_of_its_logs() -> None:
    tree = tree_of()
    bloom = TopicBloom(EVENT_OF_TOPIC)
    for block in tree.head.path[1:]:
        said = block.header.partition('"logsBloom":"')[2][: 2 + 512]
        positives = bloom.positives(read_bloom(said))
        assert positives is not None
        assert {log.topics[0] for log in block.logs} & set(EVENT_OF_TOPIC) <= positives


def test_pools_of_the_world_are_where_create2_puts_them_and_tell_the_block_of_their_state() -> None:
    tree = tree_of()
    head = tree.head
    for pool in tree.pools.values():
        assert pool.factory is not None
        assert pool.factory.pool_address(pool.token0, pool.token1, *pool.words) == pool.name
        answer = pool.contract.call(head.hash, selector("getReserves()"))
        assert answer is not None and int.from_bytes(answer[:32], "big") == mark(head.hash)


def test_view_of_a_lagging_backend_knows_only_what_was_there() -> None:
    tree = tree_of(blocks=3)
    timeline = Timeline(tree)
    old = tree.head
    tree.head = tree.mine(old, 2, 3, now_ns=1000)
    timeline.move(1000, tree.head)
    before, after = View(timeline, 137, 999), View(timeline, 137, 1000)
    assert before.head is old and after.head is tree.head
    assert before.answer("eth_getBlockByHash", [tree.head.hash, False]) == "null"
    assert after.answer("eth_getBlockByHash", [tree.head.hash, False]) == tree.head.header
    assert after.answer("eth_getLogs", [{"fromBlock": hex(old.number), "toBlock": "latest"}]) != "[]"


def test_loss_of_logs_shows_by_a_hole_or_by_the_bloom_only() -> None:
    block = next(block for block in tree_of(3, 40).head.path if len(block.events) > 3)
    last = block.events[-1]
    assert shows_loss(block, block.logs)
    assert shows_loss(block, block.logs[1:])
    ours = [log for log in block.logs if log is not last and log.topics[0] == last.topics[0]]
    if last is block.logs[-1]:
        assert shows_loss(block, block.logs[:-1]) is not bool(ours)
    assert shows_loss(block, [], bloom=True) and not shows_loss(block, [], bloom=False)


def test_change_of_the_code_is_found_shrunk_and_taken_back() -> None:
    with changed(DEAF):
        found = run_world(DEAF.seed, frozenset({"reorgs", "late"}), 16)
        smallest = shrink(found)
    assert not found.passed and not smallest.passed
    assert smallest.kinds == frozenset() and smallest.blocks < 16 and smallest.history
    assert run_world(DEAF.seed, frozenset(), smallest.blocks).passed


def test_call_that_never_returns_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hanging, "MOST_CPU_S", 0.5)
    with changed(ENDLESS):
        run = run_world(1, frozenset(), 8)
    assert run.cause == "hanging" and "no end" in run.faults[0].words
    assert run_world(1, frozenset(), 8).passed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_found_by_its_world_which_passes_without_it(mutant: WorldMutant) -> None:
    whole = mutant.run()
    assert whole.passed, whole.summary
    with changed(mutant):
        assert not mutant.run().passed
