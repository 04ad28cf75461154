"""The defects that the world must find: each put back as a small change of one function, with a world that shows it.

Owns the list and the way a change is made.  A world that lets one of them live proves nothing.  Most are defects that
the collector once had, as told in `docs/faults.md`, rows 39 to 47.
"""

from __future__ import annotations
import __future__

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from tlv.errors import UsageError
from tools.prove.world.run import WorldRun, run_world


class SourceChange(Protocol):
    """A small change of one function: `old`, which stands there once, becomes `new`."""

    @property
    def place(self) -> str:
        """Module and function."""

    @property
    def old(self) -> str:
        """What stands there."""

    @property
    def new(self) -> str:
        """What stands there instead."""


class WorldMutant(NamedTuple):
    """One change, and where it is found."""

    name: str
    place: str
    """Module and function, `producers.blocks.chain:Chain.adopt`."""
    old: str
    new: str
    seed: int
    kinds: str
    """The kinds of fault of the world that finds it, with spaces between; those of the seed need not be the same."""
    blocks: int

    def run(self) -> WorldRun:
        """The world that finds it."""
        return run_world(self.seed, frozenset(self.kinds.split()), self.blocks)


MUTANTS = (
    WorldMutant(
        "a list that the evidence refutes is believed",
        "producers.blocks.completeness:Evidence.judge",
        "return doubt",
        "return Doubt.NONE",
        1,
        "empty_logs reorgs tip_only",
        9,
    ),
    WorldMutant(
        "events are published above an open block",
        "producers.assembly:Assembly._publish",
        "if block.progress is OPEN:",
        "if False:",
        349,
        "dead_logs",
        23,
    ),
    WorldMutant(
        "a hole in the log indices is not noticed",
        "producers.blocks.completeness:Evidence.is_holed",
        "self.sees_all and",
        "False and",
        15,
        "lost_pushes",
        6,
    ),
    WorldMutant(
        "0x is a verdict against a pool",
        "producers.pools.inquiry:speaks",
        "bool(view.read_words(answer)) or",
        "True or",
        1,
        "empty_call",
        4,
    ),
    WorldMutant(
        "an error is a verdict against a pool",
        "producers.pools.inquiry:speaks",
        "return answer.meaning is Meaning.REVERT",
        "return True",
        1,
        "transient",
        5,
    ),
    WorldMutant(
        "a restart knows no event",
        "producers.blocks.recovery:_block",
        "if found.standing:",
        "if False:",
        2,
        "kill_ring",
        9,
    ),
    WorldMutant(
        "REMOVED copies are oldest first",
        "producers.output.outbox:Outbox.put_copies",
        "array[::-1]",
        "array",
        1,
        "reorgs",
        6,
    ),
    WorldMutant(
        "a log is known by its index alone",
        "producers.blocks.block:identify",
        "return transaction + text",
        "return text",
        9,
        "shuffled_logs state_sync",
        24,
    ),
    WorldMutant(
        "logs behind a hole are published",
        "producers.blocks.block:Block.take_waiting",
        "if in_order and self.progress is OPEN else",
        "if False else",
        2,
        "shuffled_logs",
        4,
    ),
    WorldMutant(
        "nothing is awaited before the chain is known",
        "producers.feed:Feed._notify",
        "known, subscriptions = self._early_block.settled, self._subscriptions",
        "known, subscriptions = True, self._subscriptions",
        2,
        "chain_id_refused close fallback other_chain",
        9,
    ),
    WorldMutant(
        "a second endpoint's indices that begin anew count",
        "producers.blocks.cross_check:CrossCheck._opinion",
        "if not is_astray",
        "if True",
        1,
        "empty_logs partial_logs reorgs second second_renumbered tip_only",
        8,
    ),
    WorldMutant(
        "a second endpoint's indices that nothing shows to be ours count",
        "producers.blocks.cross_check:CrossCheck._opinion",
        "if placed and not renumbered else",
        "if not renumbered else",
        1022,
        "coins forks kill_state liars other_chain policy second second_lies second_renumbered",
        6,
    ),
    WorldMutant(
        "an endpoint without progress is kept",
        "producers.node.health:FeedHealth.look",
        "if quiet_ns > self._patience_ns:",
        "if False:",
        12,
        "fallback useless_first",
        4,
    ),
    WorldMutant(
        "addresses in EIP-55 spelling are taken as they are",
        "producers.feed:Feed._take_logs",
        "if shouting:",
        "if False:",
        1,
        "spelling",
        6,
    ),
    WorldMutant(
        "blocks that were being pushed are closed at the end of a connection",
        "producers.closing:Closing.disconnected",
        "block.want()",
        "block.close(Completeness.TOMBSTONE)",
        14,
        "close",
        12,
    ),
    WorldMutant(
        "a frame that cannot be read is not doubted",
        "producers.assembly:Assembly.doubt_open_blocks",
        "block.doubt()",
        "pass",
        6,
        "garbled_pushes no_bloom",
        8,
    ),
    WorldMutant(
        "a block that was declared and told is a hole after a restart",
        "producers.blocks.chain:Chain.restore",
        "self._cover_holes(blocks)",
        "pass",
        14,
        "kill_ring policy",
        5,
    ),
    WorldMutant(
        "a lost block is never asked for again",
        "producers.blocks.backfill:LogFetcher.mend",
        "0 if soon else pause_ns",
        "10**18",
        117,
        "empty_logs",
        16,
    ),
    WorldMutant(
        "a hole is never filled",
        "producers.blocks.holes:HoleFiller._begin",
        "if turn != self._round",
        "if True or turn != self._round",
        28,
        "dead_heads null reorgs tip_only unknown_block",
        4,
    ),
    WorldMutant(
        "what a torn ring cannot take back is not told",
        "producers.switching:Switching._declare_standing",
        "if switch.fork is None",
        "if False",
        1,
        "deep_reorgs kill_ring reorgs small_ring",
        6,
    ),
    WorldMutant(
        "a block whose events are not all known is taken back without a word",
        "producers.switching:Switching._declare_standing",
        "runs_of(sorted(partial))",
        "runs_of([])",
        1,
        "kill_ring late_heads reorgs returns small_ring",
        24,
    ),
    WorldMutant(
        "what is known of such a block is left to its Gap",
        "producers.switching:Switching._switch",
        "self._events.take_back(switch.dropped)",
        "self._events.take_back([block for block in switch.dropped if block.hash not in self._partial])",
        123,
        "deep_reorgs kill_ring other_chain small_ring",
        27,
    ),
    WorldMutant(
        "the oldest events of a block that left the chain are not taken back",
        "producers.output.block_events:BlockEvents.take_back",
        "reversed(block.published)",
        "reversed(block.published[1:])",
        37,
        "reorgs",
        6,
    ),
    WorldMutant(
        "blocks that left the chain are taken back oldest first",
        "producers.output.block_events:BlockEvents.take_back",
        "for block in dropped:",
        "for block in reversed(dropped):",
        37,
        "reorgs",
        6,
    ),
    WorldMutant(
        "what was before the collector is told for a reorg below its beginning",
        "producers.blocks.chain:Chain.branch",
        "block.number < self._first",
        "False",
        396,
        "reorgs",
        12,
    ),
    WorldMutant(
        "a latest block of before the collector began is believed",
        "producers.heads:Heads._on_latest",
        "head is None or self._assembly.begins_above(int(head.number, 16))",
        "head is None",
        1164,
        "dead_heads idle stale_head",
        10,
    ),
    WorldMutant(
        "the latest block overtakes heads that wait",
        "producers.heads:Heads._on_latest",
        "and not self._unsure",
        "",
        153,
        "early_block kill_state reorgs",
        48,
    ),
    WorldMutant(
        "heads that are dead beside logs are not noticed",
        "producers.node.subscription_watch:SubscriptionWatch.known",
        "0 <= adopted < number and",
        "False and",
        2,
        "dead_heads",
        12,
    ),
    WorldMutant(
        "the state of another branch is told",
        "producers.output.snapshots:Snapshots._take",
        "self._is_canonical(block) and",
        "",
        8,
        "late reorgs",
        13,
    ),
    WorldMutant(
        "a token that was refused once has no decimals for ever",
        "producers.pools.inquiry:Tokens.take",
        "not speaks(answer)",
        "False",
        7,
        "transient",
        6,
    ),
    WorldMutant(
        "a number of 2^63 passes the border",
        "producers.node.rpc_types:read_number",
        "number.bit_length() > bits",
        "False",
        4,
        "nonsense_heads",
        24,
    ),
    WorldMutant(
        "numbers that do not follow their parents are adopted",
        "producers.blocks.chain:Chain.branch",
        "parent.number != block.number - 1",
        "False",
        6,
        "nonsense_heads",
        9,
    ),
    WorldMutant(
        "another early block condemns a chain at once",
        "producers.node.early_block:EarlyBlockCheck._judge",
        "shown.times >= TWICE and shown.lasts",
        "shown.times >= TWICE",
        243,
        "early_block lost_pushes reorgs",
        90,
    ),
    WorldMutant(
        "another chain id condemns a chain at once",
        "producers.node.identity:ChainIdentity._doubt",
        "if self._others.lasts",
        "if self._others.times > 1",
        153,
        "early_block kill_state",
        12,
    ),
    WorldMutant(
        "what an endpoint lists by address is all",
        "producers.blocks.completeness:Evidence.judge",
        "if of_known and",
        "if False and",
        44,
        "lost_pushes policy",
        12,
    ),
    WorldMutant(
        "a hole that does not join below is left",
        "producers.blocks.holes:HoleFiller._joined",
        "max(2 * self._reach.get(last, 0), FIRST_REACH)",
        "0",
        180,
        "kill_ring no_batches nonsense_heads reorgs unknown_block",
        34,
    ),
    WorldMutant(
        "a garbled frame doubts no block to come",
        "producers.switching:Switching._on_header",
        "self.early_logs.doubts(block.hash)",
        "False",
        115,
        "garbled garbled_pushes",
        50,
    ),
    WorldMutant(
        "a garbled frame doubts no block whose parent is sought",
        "producers.assembly:Assembly.doubt_open_blocks",
        "block.progress in (KNOWN, OPEN)",
        "block.progress is OPEN",
        702000,
        "garbled garbled_pushes reorgs",
        45,
    ),
    WorldMutant(
        "a garbled frame doubts no block whose head comes late",
        "producers.blocks.early_logs:EarlyLogs.doubts",
        " or block_hash in self._doubted",
        "",
        1866,
        "garbled_pushes late no_bloom reordered_heads",
        8,
    ),
    WorldMutant(
        "a garbled frame before the chain is known doubts nothing that was kept",
        "producers.feed:Feed._begin",
        "self._rpc.rejected.total() > self._rejected_before",
        "False",
        701212,
        "garbled_pushes kill_bare no_bloom rate reorgs zero_bloom",
        23,
    ),
    WorldMutant(
        "a log of a block that was told elsewhere is late",
        "producers.closing:Closing.on_unexpected",
        "elif block.told_elsewhere:",
        "elif False:",
        74,
        "deep_reorgs early_block fallback garbled kill_state other_chain reorgs returns shuffled_logs",
        44,
    ),
    WorldMutant(
        "a list in parts that lacks what was pushed is believed",
        "producers.blocks.completeness:Evidence.judge",
        "_lacks_event(block, events)",
        "False",
        439,
        "dead_logs garbled_pushes null size",
        21,
    ),
    WorldMutant(
        "a list in parts that the bloom refutes is believed once it was said for long",
        "producers.blocks.completeness:Evidence.judge",
        "not events_came and not self._is_chance(block)",
        "False",
        292,
        "dead_logs garbled_pushes null size",
        21,
    ),
    WorldMutant(
        "a log of a place that another transaction has is told",
        "producers.blocks.block:Block.take",
        "and self.numbered_once",
        "and False",
        1,
        "claimed_places",
        6,
    ),
    WorldMutant(
        "of who emitted what came of a block only known pools are asked for",
        "producers.blocks.backfill:LogFetcher._ask_one",
        "block.came_from",
        "()",
        1315,
        "coins forks hubs lost_pushes policy",
        20,
    ),
    WorldMutant(
        "a block of the state file comes back without its events",
        "producers.blocks.block:Block.leave",
        "Completeness.UNKNOWN if self.told_elsewhere else self.verdict",
        "self.verdict",
        132,
        "kill_state other_branch reorgs",
        23,
    ),
    WorldMutant(
        "a sprint end's bloom refutes no list",
        "producers.blocks.completeness:Evidence._doubt",
        "Doubt.REFUTED if block.head_bloom &",
        "Doubt.SUSPECT if block.head_bloom &",
        2037,
        "empty_logs garbled kill_ring null reorgs",
        32,
    ),
    WorldMutant(
        "a list of a block that was read back is believed without its header",
        "producers.blocks.backfill:LogFetcher.pump",
        "block.head_bloom is not None or self._bloomless",
        "True",
        5,
        "kill_ring partial_logs transient",
        12,
    ),
    WorldMutant(
        "logs of which a part was told before convict their emitter",
        "producers.pools.quarantine:Quarantine._decide_by_structure",
        " and not held.block.recalled",
        "",
        71075,
        "kill_ring pruned",
        16,
    ),
    WorldMutant(
        "a block that was declared and told in part is fetched when its messages are gone",
        "producers.blocks.recovery:RingStory._hole",
        "gap.reason == Reason.RANGE_REFUSED and",
        "False and",
        156,
        "kill_ring policy small_ring",
        30,
    ),
    WorldMutant(
        "subscriptions that are both dead are not noticed",
        "producers.node.subscriptions:Subscriptions.judge",
        "self._watch.known(said, adopted, now_ns)",
        "pass",
        64618,
        "dead_heads dead_logs",
        5,
    ),
    WorldMutant(
        "a verdict waits for the next block",
        "producers.assembly:Assembly.end",
        "self._judge()\n",
        "if self._frontier.blocks or self._questioning.agenda:\n        self._judge()\n",
        60087,
        "idle null",
        12,
    ),
    WorldMutant(
        "the latest block of a node that stands still is adopted",
        "producers.heads:Heads._on_latest",
        " or self._is_past(head)",
        "",
        45074,
        "kill_ring reorgs useless_first",
        22,
    ),
    WorldMutant(
        "a hole that reaches down to what is forgotten is filled without a Reorg",
        "producers.switching:Switching.fill",
        "self._chain.was_told(int(heads[0].number, 16))",
        "int(heads[0].number, 16) in self._chain.canonical",
        54874,
        "deep_reorgs delay doubled_pushes idle kill_ring rate reordered_heads reorgs unknown_block",
        120,
    ),
    WorldMutant(
        "a head is adopted behind a later one",
        "producers.blocks.head_queue:HeadQueue.follow",
        "head.hash in self._overtaken and",
        "False and",
        257,
        "deep_reorgs lost_pushes null",
        40,
    ),
    WorldMutant(
        "a swap of an unproven emitter is not counted",
        "producers.pools.account:Account.uncovered",
        "if identity in block.swaps",
        "if identity in block.swaps and len(identities) > 1",
        2,
        "",
        8,
    ),
    WorldMutant(
        "a lookup that says zero is a proof",
        "producers.pools.inquiry:Inquiry.take",
        "question in self._no_zeros and",
        "False and",
        2,
        "hollow lookups",
        10,
    ),
    WorldMutant(
        "a pool in a hub is looked up by the hub's address",
        "producers.output.block_events:BlockEvents.publish",
        "looked_up_by(log, event) if event.names_pool else log.address",
        "log.address",
        2,
        "hubs",
        8,
    ),
    WorldMutant(
        "a swap that was fetched again counts as held back too",
        "producers.blocks.block:Block.release",
        "left.remove(place[0])",
        "pass",
        11,
        "empty_call",
        16,
    ),
    WorldMutant(
        "which coin goes in is not looked at",
        "producers.pools.inquiry:Inquiry._accept",
        "flipped=proven.flipped",
        "flipped=False",
        2,
        "coins",
        8,
    ),
    WorldMutant(
        "swaps that were read back are not counted",
        "producers.blocks.block:Block.restore",
        "self.swaps = swaps",
        "pass",
        9,
        "kill_ring",
        12,
    ),
    WorldMutant(
        "what is gone from a torn ring does not count at the end of its block",
        "producers.blocks.recovery:_block",
        "block.believe(found.elsewhere)",
        "block.believe()",
        10812,
        "coins forks hubs kill_ring liars lookups null second small_ring",
        24,
    ),
    WorldMutant(
        "a log that was told elsewhere makes its block forget swaps that its end named",
        "producers.blocks.block:Block.take",
        " and not self.told_elsewhere",
        "",
        10812,
        "coins forks hubs kill_ring liars lookups null second small_ring",
        24,
    ),
    WorldMutant(
        "all pairs of a pool have the row of the first",
        "producers.decode.pool_table:PoolTable.add",
        " if key is None else key",
        "",
        2,
        "coins",
        8,
    ),
    WorldMutant(
        "a pair is believed whatever its factory answers",
        "producers.kinds.solidly:KIND.prove",
        "if address_in(pool or None) == bytes.fromhex(case.address[2:]) and token0 < token1",
        "if pool is not None and token0 < token1",
        4,
        "forks",
        8,
    ),
    WorldMutant(
        "that a pair is not stable is believed",
        "producers.kinds.pair_proof:_readings",
        "words[view.STABLE] == 0",
        "False",
        24,
        "forks hollow",
        8,
    ),
    WorldMutant(
        "a stable pair is told as a volatile one",
        "producers.kinds.pair_proof:_proven",
        "maker.kind.stable_curve if stable else Curve.VOLATILE",
        "Curve.VOLATILE",
        7,
        "forks",
        8,
    ),
    WorldMutant(
        "a tick spacing of zero is believed",
        "producers.kinds.pair_proof:_proven",
        ", zero_is_none=True",
        "",
        17,
        "hollow",
        8,
    ),
    WorldMutant(
        "what a factory says of fees is told in its own unit",
        "producers.output.snapshots:fee_in",
        " * factory.kind.fee_unit",
        "",
        3,
        "forks",
        8,
    ),
    WorldMutant(
        "a fee that its factory moved is not told",
        "producers.output.snapshots:Snapshots._tell",
        "if len(answers) > asked:",
        "if False:",
        18,
        "forks",
        8,
    ),
    WorldMutant(
        "a custom pool is sought only where its pair has another",
        "producers.kinds.algebra_integral:KIND.prove",
        "if isinstance(verdict, Proven) or",
        "if verdict is None or isinstance(verdict, Proven) or",
        43,
        "forks",
        8,
    ),
    WorldMutant(
        "a tick distance is not asked for",
        "producers.kinds.kyber_elastic:KIND.prove",
        "verdict._replace(tick_spacing=distance if distance <= LARGEST_SPACING else 0)",
        "verdict",
        4,
        "forks",
        8,
    ),
    WorldMutant(
        "coin in and coin out are exchanged",
        "producers.kinds.dodo:KIND.prove",
        "flipped=pair.flipped",
        "flipped=not pair.flipped",
        2,
        "coins",
        8,
    ),
    WorldMutant(
        "a pool is believed whatever its factory lists",
        "producers.kinds.dodo:KIND.prove",
        "if int(case.address, 16) in words_of(answer)",
        "if words_of(answer)",
        4,
        "coins",
        8,
    ),
    WorldMutant(
        "a list of none is a proof against a pool",
        "producers.pools.inquiry:is_zero",
        " or words == NO_LIST",
        "",
        13,
        "coins hollow",
        8,
    ),
    WorldMutant(
        "an emitter is believed because its topic fits",
        "producers.kinds.woofi:KIND.prove",
        "if hub is None:\n        return Refuted(Standing.UNSUPPORTED)",
        "hub = hub or case.factories[0]",
        5,
        "hubs",
        8,
    ),
    WorldMutant(
        "a hub that reverts has no such pool",
        "producers.pools.inquiry:Inquiry.take",
        "question in self._no_reverts and",
        "False and",
        2,
        "hubs hollow",
        8,
    ),
    WorldMutant(
        "the chain's own coin is asked for its decimals where Curve names it",
        "producers.pools.verification:Verifier.__init__",
        "in NATIVE_COINS:",
        "in NATIVE_COINS[:1]:",
        3,
        "coins",
        8,
    ),
    WorldMutant(
        "that a factory knows no custom pool is a proof against it",
        "producers.kinds.algebra_integral:KIND.prove",
        "case.ask(lookup, zero_is_none=True)",
        "case.ask(lookup)",
        95,
        "forks hollow",
        8,
    ),
)


@contextmanager
def changed(mutant: SourceChange) -> Iterator[None]:
    """Change the function for a while.

    Raises:
        UsageError: its source does not hold the text once.
    """
    module_name, _, qualified = mutant.place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *path, name = qualified.split(".")
    for part in path:
        owner = getattr(owner, part)
    kept = inspect.getattr_static(owner, name)
    function: Any = kept.fget if isinstance(kept, property) else kept
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(mutant.old) != 1:
        raise UsageError(f"{mutant.place}: expected {mutant.old!r} once, found it {source.count(mutant.old)} times")
    code = compile(
        source.replace(mutant.old, mutant.new), mutant.place, "exec", __future__.annotations.compiler_flag, True
    )
    namespace: dict[str, Any] = {}
    exec(code, function.__globals__, namespace)
    put: Any = setattr if isinstance(owner, type | ModuleType) else object.__setattr__  # a declaration is frozen
    put(owner, name, namespace[function.__name__])
    try:
        yield
    finally:
        put(owner, name, kept)
