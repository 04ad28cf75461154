"""The fold of frames into what the page shows: every amount to the wei, and nothing lost in silence."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tests.tools.dashboard.histories import RandomMarket
from tests.tools.dashboard.pages import PageModel
from tests.tools.dashboard.polls import poll_of
from tlv.codes import (
    Completeness,
    Domain,
    EmitterProof,
    Flag,
    GapScope,
    InvalidationScope,
    QuoteVerdict,
    Reason,
    Source,
    WithdrawalReason,
)
from tlv.layout import (
    ArbitrageSignal,
    BackfillBegin,
    BackfillEnd,
    Block,
    BlockEnd,
    CycleLeg,
    Economics,
    EventOrigin,
    Gap,
    PoolRecord,
    PoolState,
    PoolSwap,
    Reorg,
    RingReplaced,
    Session,
    SignalIdentity,
    SignalWithdrawn,
    StateInvalidation,
    Unproven,
    VenueName,
)
from tlv.message import build
from tlv.record import RECORDS, Record
from tlv.units import MS, NS
from tools.dashboard.opportunities import WAITING
from tools.dashboard.pools import PoolStates
from tools.dashboard.shapes import Update
from tools.dashboard.view import HAPPENINGS, RINGS, SENT_SWAPS, SWAPS, DashboardView
from tools.dashboard.words import SAYINGS

MARKET, SIGNALS = "market.polygon", "signal.flash_arbitrage"
UUID, OTHER, SIGNAL_UUID = b"m" * 16, b"n" * 16, b"s" * 16
NOW_NS = 1_700_000_000 * NS
TOKEN0, TOKEN1 = b"\x10" * 20, b"\x20" * 20
HEAD = (b"p" * 20, TOKEN0, TOKEN1, 1234, 18, 6, 2)
MOST = (1 << 256) - 1
"""78 digits."""


def origin(number: int = 7, log_index: int = 0) -> EventOrigin:
    return EventOrigin(number, 0, 0, 0, log_index, number.to_bytes(32), b"t" * 32)


def swap(in0: int = 5, in1: int = 0, out0: int = 0, out1: int = 3) -> PoolSwap:
    return PoolSwap(*HEAD, in0, in1, out0, out1, 0, 0, 0, b"f" * 20, b"r" * 20)


def block(number: int, branch: bytes = b"a") -> Block:
    return Block(number, number, 21_000, 30_000_000, NOW_NS, MOST, branch.ljust(32, b"h"), bytes(32))


def reorg(fork: int, head: int) -> Reorg:
    return Reorg(fork, head, fork, head - fork, 2, b"f" * 32, b"o" * 32, b"n" * 32)


def signal(trigger: int, number: int, net: int = -1, opportunity: int | None = None) -> list[Record]:
    """A round trip through two pools, of block `number` and until the end of the one after the next."""
    ids = SignalIdentity(trigger, trigger, NOW_NS - 5, UUID, "flash_arbitrage", 1)
    cycle = number * 1000 + trigger if opportunity is None else opportunity
    arbitrage = ArbitrageSignal(number, number + 2, cycle, bytes(32), MOST, 3, TOKEN0, 18, 2, QuoteVerdict.EXACT)
    state = (0, 0, 0, 0, 0, 0)
    legs = (
        CycleLeg(MOST, 2, *state, b"p" * 20, TOKEN0, TOKEN1, 1234, 2, 18, 6, 1),
        CycleLeg(2, 3, *state, b"q" * 20, TOKEN1, TOKEN0, 1234, 2, 6, 18, 2),
    )
    return [ids, arbitrage, Economics(MOST, 5, net, 0, 0, 0, 0, TOKEN0, bytes(20), 18), *legs]


def withdrawal(of: int, opportunity: int, reason: int = WithdrawalReason.GONE) -> list[Record]:
    """The signal that `of` triggered is taken back."""
    ids = SignalIdentity(99, 99, NOW_NS - 5, UUID, "flash_arbitrage", 1)
    return [ids, SignalWithdrawn(of, opportunity, 7, bytes(32), reason)]


def ended(number: int) -> bytes:
    return system(BlockEnd(number, 0, 0, 0, 0, number.to_bytes(32), Completeness.TOMBSTONE))


def market(*records: Record, flags: int = 0) -> bytes:
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, timestamp_ns=NOW_NS, flags=flags)


def system(*records: Record) -> bytes:
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, records, timestamp_ns=NOW_NS)


def opportunity(*records: Record) -> bytes:
    return build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, records, timestamp_ns=NOW_NS)


class Fed:
    """A view, and rings that it is fed from."""

    def __init__(self) -> None:
        self.view = DashboardView(PoolStates())
        self.next = {MARKET: 1, SIGNALS: 1}

    def put(self, *payloads: bytes, ring: str = MARKET, lost: int = 0, uuid: bytes = UUID) -> None:
        first = self.next[ring] + lost
        uuid = SIGNAL_UUID if ring == SIGNALS else uuid
        self.view.take_poll(ring, uuid, poll_of(payloads, first, lost), NOW_NS)
        self.next[ring] = first + len(payloads)

    def update(self, after_s: float = 0.0) -> Update:
        return self.view.update(NOW_NS + int(after_s * NS))


@pytest.fixture
def fed() -> Fed:
    return Fed()


# ---- swaps


def units(amounts: Any) -> list[tuple[str, str]]:
    return [(amount.units, amount.token.address[2:4]) for amount in amounts]


@pytest.mark.parametrize(
    ("amounts", "sold", "bought"),
    [
        ((5, 0, 0, 3), [("5", "10")], [("3", "20")]),
        ((0, MOST, MOST - 1, 0), [(str(MOST), "20")], [(str(MOST - 1), "10")]),
        ((1, 2, 3, 4), [("1", "10"), ("2", "20")], [("3", "10"), ("4", "20")]),
        ((5, 0, 0, 0), [("5", "10")], []),
    ],
)
def test_view_swap_shows_every_unit_of_every_amount(
    fed: Fed, amounts: tuple[int, int, int, int], sold: list[tuple[str, str]], bought: list[tuple[str, str]]
) -> None:
    fed.put(market(swap(*amounts), origin(9, 4)))
    update = fed.update()
    assert update.swaps is not None
    (row,) = update.swaps
    assert (units(row.sold), units(row.bought)) == (sold, bought)
    assert (row.block, row.log_index, row.transaction, row.pool) == (9, 4, f"0x{'74' * 32}", f"0x{'70' * 20}")
    assert (row.ring, row.sequence, row.time_ms, row.venue) == (MARKET, 1, NOW_NS // MS, "1234")
    assert msgspec.json.decode(msgspec.json.encode(update), type=Update) == update


def test_view_symbols_and_venues_are_what_the_ring_said_whatever_it_is(fed: Fed) -> None:
    symbol = "<img\u202e\x01 src=x>"
    state = PoolState(*HEAD, 0, 0, 0, 0, 7, 0, 0, 0, bytes(20), symbol, "")
    fed.put(system(VenueName(1234, "own.venue")), market(state, flags=Flag.SNAPSHOT), market(swap(), origin()))
    (row,) = fed.update().swaps or ()
    assert (row.venue, row.sold[0].token.symbol, row.bought[0].token.symbol) == ("own.venue", symbol, "")
    assert row.sold[0].token.decimals == 18


def test_view_removed_copy_is_a_row_of_its_own(fed: Fed) -> None:
    fed.put(market(swap(), origin()), market(swap(), origin(), flags=Flag.REMOVED | Flag.BACKFILL))
    rows = fed.update().swaps or []
    assert [(row.sequence, row.flags) for row in rows] == [(1, []), (2, ["backfill", "removed"])]


def test_view_of_many_swaps_sends_the_newest_counts_the_rest_and_keeps_its_share(fed: Fed) -> None:
    count = SWAPS + 100
    fed.put(*[market(swap(number + 1), origin()) for number in range(count)])
    update = fed.update()
    assert [row.sequence for row in update.swaps or ()] == [*range(count - SENT_SWAPS + 1, count + 1)]
    assert update.skipped_swaps == count - SENT_SWAPS
    assert update.summary is not None and (update.summary.swaps, update.summary.events) == (count, count)
    kept = fed.view.whole(NOW_NS).swaps or []
    assert [row.sold[0].units for row in kept] == [str(number) for number in range(101, count + 1)]
    fed.put(market(swap(), origin()))
    assert fed.update().skipped_swaps == 0


# ---- reorgs


def test_view_reorg_marks_the_blocks_above_the_fork_and_a_new_branch_stands(fed: Fed) -> None:
    ended = BlockEnd(6, 4, 2, 1, 0, b"b".ljust(32, b"h"), Completeness.TOMBSTONE)
    fed.put(market(block(5)), market(block(6, b"b")), system(ended))
    rows = {row.number: row for row in fed.update().blocks or ()}
    assert (rows[5].verdict, rows[5].ended_ms, rows[5].base_fee) == ("open", None, str(MOST))
    assert (rows[6].verdict, rows[6].logs, rows[6].events, rows[6].held_back) == ("tombstone", 4, 2, 1)
    assert rows[6].ended_ms == NOW_NS // MS
    fed.put(system(reorg(5, 6)), market(block(6, b"c")))
    update = fed.update()
    assert [(row.number, row.hash[:4], row.verdict) for row in update.blocks or ()] == [
        (6, "0x62", "removed"),
        (6, "0x63", "open"),
    ]
    assert update.summary is not None and (update.summary.reorgs, update.summary.block) == (1, 6)
    (happening,) = update.happenings or ()
    assert (happening.kind, happening.first, happening.last) == ("reorg", 6, 6)
    assert "2 events taken back" in happening.text


def test_view_block_end_without_its_block_is_shown_with_what_is_known(fed: Fed) -> None:
    fed.put(system(BlockEnd(6, 4, 2, 0, 0, b"b" * 32, 77)))
    (row,) = fed.update().blocks or ()
    assert (row.number, row.verdict, row.received_ms, row.time_ms) == (6, "77", None, 0)


@pytest.mark.parametrize("reorg_first", [True, False])
def test_view_signal_of_a_block_that_left_the_chain_is_removed_in_whatever_order_it_is_read(
    fed: Fed, reorg_first: bool
) -> None:
    told = lambda: fed.put(market(block(6)), system(reorg(5, 6)))  # noqa: E731
    if reorg_first:
        told()
    fed.put(
        opportunity(*signal(trigger=1, number=6)),
        opportunity(*signal(trigger=1, number=5)),
        opportunity(*signal(trigger=3, number=6)),
        ring=SIGNALS,
    )
    if not reorg_first:
        assert [row.state for row in fed.update().signals or ()] == ["stands"] * 3
        told()
    found = {row.sequence: row.state for row in fed.update().signals or ()}
    assert found == {1: "removed"} | ({2: "stands", 3: "stands"} if reorg_first else {})
    assert [row.state for row in fed.view.whole(NOW_NS).signals or ()] == ["removed", "stands", "stands"]


def test_view_signal_shows_every_unit_and_which_ring_it_is_about(fed: Fed) -> None:
    least = -(1 << 255)
    fed.put(opportunity(*signal(1, 6, least)), ring=SIGNALS)
    (before,) = fed.update().signals or ()
    assert before.market_ring == "", "of a ring that is not looked at"
    fed.put(market(swap(), origin()))
    fed.put(opportunity(*signal(2, 6, least)), ring=SIGNALS)
    (row,) = fed.update().signals or ()
    assert (row.market_ring, row.trigger_sequence, row.strategy) == (MARKET, 2, "flash_arbitrage")
    assert (row.amount_in.units, row.gross.units, row.net.units) == (str(MOST), str(MOST), str(least))
    assert (row.verdict, row.gas_priced, row.latency_ns, row.expires_block) == ("exact", False, 5, 8)
    legs = [(leg.pool[2:4], leg.amount_in.units, leg.amount_out.units, leg.venue) for leg in row.legs]
    assert legs == [("70", str(MOST), "2", "1234"), ("71", "2", "3", "1234")]
    assert [leg.amount_out.token.decimals for leg in row.legs] == [6, 18]


def states(update: Update) -> dict[int, tuple[str, str]]:
    return {row.sequence: (row.state, row.reason) for row in update.signals or ()}


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (WithdrawalReason.GONE, "withdrawn"),
        (WithdrawalReason.STATE_UNKNOWN, "withdrawn"),
        (WithdrawalReason.EXPIRED, "expired"),
        (WithdrawalReason.REORG, "removed"),
        (99, "withdrawn"),
    ],
)
def test_view_signal_that_was_withdrawn_never_looks_live(fed: Fed, reason: int, state: str) -> None:
    fed.put(opportunity(*signal(1, 6)), opportunity(*signal(2, 6)), ring=SIGNALS)
    assert {one for one, _ in states(fed.update()).values()} == {"stands"}
    fed.put(opportunity(*withdrawal(1, 6001, reason)), opportunity(*withdrawal(1, 6002)), ring=SIGNALS)
    update = fed.update()
    named = WithdrawalReason(reason).name.lower() if reason != 99 else "99"
    assert states(update) == {1: (state, named)}, "one that names a signal of another opportunity withdraws none"
    assert update.summary is not None and (update.summary.signals, update.summary.withdrawn) == (2, 2)
    fed.put(opportunity(*signal(3, 6)), opportunity(*withdrawal(3, 6003)), ring=SIGNALS)
    assert states(fed.update()) == {5: ("withdrawn", "gone")}, "within one update"


def test_view_newer_signal_of_an_opportunity_takes_the_place_of_the_older_one(fed: Fed) -> None:
    fed.put(opportunity(*signal(1, 6, opportunity=5)), opportunity(*signal(2, 6, opportunity=5)), ring=SIGNALS)
    assert states(fed.update()) == {1: ("replaced", ""), 2: ("stands", "")}
    fed.put(opportunity(*withdrawal(1, 5)), ring=SIGNALS)
    assert states(fed.update()) == {}, "the older one is not what stands"
    fed.put(opportunity(*withdrawal(2, 5)), ring=SIGNALS)
    assert states(fed.update()) == {2: ("withdrawn", "gone")}


@pytest.mark.parametrize("ended_first", [True, False])
def test_view_signal_holds_until_its_last_block_has_ended_in_whatever_order_it_is_read(
    fed: Fed, ended_first: bool
) -> None:
    fed.put(market(swap(), origin()))
    tell = lambda number: fed.put(ended(number))  # noqa: E731
    if ended_first:
        tell(7)
    fed.put(opportunity(*signal(1, 5)), opportunity(*signal(2, 6)), ring=SIGNALS)
    if not ended_first:
        assert {one for one, _ in states(fed.update()).values()} == {"stands"}
        tell(7)
    assert states(fed.update())[1] == ("expired", "")
    assert [row.state for row in fed.view.whole(NOW_NS).signals or ()] == ["expired", "stands"]
    fed.put(opportunity(*withdrawal(1, 5001)), ring=SIGNALS)
    assert states(fed.update()) == {1: ("withdrawn", "gone")}, "it had been withdrawn before that"


def test_view_signal_is_unknown_when_its_withdrawal_may_be_among_the_frames_that_were_not_read(fed: Fed) -> None:
    fed.put(opportunity(*signal(1, 6)), ring=SIGNALS)
    fed.update()
    fed.put(opportunity(*signal(2, 6)), ring=SIGNALS, lost=3)
    assert states(fed.update()) == {1: ("unknown", ""), 5: ("stands", "")}
    many = [opportunity(*signal(number, 6)) for number in range(10, 10 + WAITING)]
    fed.put(opportunity(*withdrawal(2, 6002)), *many, ring=SIGNALS)
    fed.update()
    kept = {row.sequence: row.state for row in fed.view.whole(NOW_NS).signals or ()}
    assert set(kept.values()) == {"stands"} and 5 not in kept
    fed.put(*[opportunity(*withdrawal(1, 1))] * WAITING, ring=SIGNALS)
    fed.put(opportunity(*signal(9, 6)), ring=SIGNALS)
    fed.update()
    assert {row.state for row in fed.view.whole(NOW_NS).signals or ()} == {"unknown", "stands"}


# ---- losses


def test_view_loss_is_told_and_counted(fed: Fed) -> None:
    fed.put(market(swap(), origin()))
    fed.put(market(swap(), origin()), lost=10)
    update = fed.update()
    (lost,) = [one for one in update.happenings or () if one.kind == "lost"]
    assert (lost.first, lost.last) == (2, 11) and "10 frames" in lost.text
    assert update.summary is not None and update.summary.lost_frames == 10


def test_view_reader_that_began_again_brings_nothing_twice_and_tells_what_it_left_out(fed: Fed) -> None:
    fed.put(*[market(swap(number), origin()) for number in (1, 2, 3)])
    fed.next[MARKET] = 2  # attached again at the oldest frame
    fed.put(*[market(swap(number), origin()) for number in (2, 3, 4)])
    fed.next[MARKET] = 8  # and at the end
    fed.put(market(swap(8), origin()))
    update = fed.update()
    assert [row.sold[0].units for row in update.swaps or ()] == ["1", "2", "3", "4", "8"]
    (lost,) = update.happenings or ()
    assert (lost.kind, lost.first, lost.last) == ("lost", 5, 7)


def test_view_ring_made_anew_shows_nothing_of_the_old_one(fed: Fed) -> None:
    fed.put(market(block(5)), market(swap(1), origin()))
    fed.update()
    fed.put(market(swap(2), origin()))
    fed.next[MARKET] = 1
    fed.put(market(swap(3), origin()), uuid=OTHER)
    update = fed.update()
    assert update.whole and [row.sold[0].units for row in update.swaps or ()] == ["3"]
    assert update.blocks == [] and [one.kind for one in update.happenings or ()] == ["ring_replaced"]
    assert not fed.update().whole


def test_view_ring_that_is_gone_has_no_feed_and_one_that_cannot_be_read_is_told(fed: Fed) -> None:
    fed.view.leave("never.seen", "damaged")
    fed.put(market(swap(), origin()))
    fed.view.leave(MARKET, "no frame where sequence 2 should be")
    update = fed.update()
    assert [(one.kind, one.text) for one in update.happenings or ()] == [
        ("lost", "no frame where sequence 2 should be")
    ]
    assert update.summary is not None and update.summary.feeds == []


def test_view_of_rings_that_come_and_go_forgets_those_that_went_first(fed: Fed) -> None:
    names = [f"demo{number}.market" for number in range(RINGS + 3)]
    for name in names:
        fed.view.take_poll(name, UUID, poll_of([market(swap(), origin())]), NOW_NS)
        if name != names[1]:
            fed.view.leave(name, "")
    update = fed.update()
    kept = [names[1], *names[4:]]
    assert update.whole and [row.ring for row in update.swaps or ()] == kept
    assert sorted(row.ring for row in update.pools or ()) == sorted(kept)


def test_view_frames_that_are_no_message_are_counted(fed: Fed) -> None:
    good = market(swap(), origin())
    wrong_checksum = bytearray(good)
    wrong_checksum[-1] ^= 1
    fed.put(b"", b"short", bytes(64), b"\xff" * 500, bytes(wrong_checksum), good[:-8], good)
    update = fed.update()
    assert len(update.swaps or ()) == 1
    assert update.summary is not None and update.summary.refused_frames == 6


@pytest.mark.parametrize("seed", range(20))
def test_view_takes_whatever_bytes_a_ring_holds(fed: Fed, seed: int) -> None:
    rng = random.Random(seed)
    good = [
        market(swap(), origin()), market(block(5)), system(reorg(5, 6)), opportunity(*signal(1, 6)),
        system(Session(UUID, 1, 1, 137, 5)), market(PoolState(*HEAD, 0, 0, 0, 0, 7, 0, 0, 0, bytes(20), "A", "B")),
    ]  # fmt: skip
    payloads = []
    for _ in range(200):
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice([0, 1, 8])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        payloads.append(bytes(data[: rng.choice([len(data), rng.randrange(len(data) + 1)])]))
    fed.put(*payloads)
    update = fed.update()
    whole = fed.view.whole(NOW_NS)
    assert update.summary is not None and 0 < update.summary.refused_frames < 200
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Update) == whole


def extreme(cls: type[Record], highest: bool) -> Record:
    """A record whose every field holds the most, or the least, that it can."""
    values: list[Any] = []
    for kind in cls.layout.kinds.values():
        sign, bits = kind.name[0], kind.name[1:]
        if sign in "ui" and bits.isdigit():
            low, high = (0, 1 << int(bits)) if sign == "u" else (-1 << int(bits) - 1, 1 << int(bits) - 1)
            values.append(high - 1 if highest else low)
        else:
            values.append("\x7f" * kind.size if kind.name.startswith("text") else bytes([255 * highest]) * kind.size)
    return cls(*values)


@pytest.mark.parametrize("cls", RECORDS.values(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("highest", [True, False])
def test_view_shows_whatever_numbers_a_message_holds(fed: Fed, cls: type[Record], highest: bool) -> None:
    domain = cls.layout.domain or Domain.SYSTEM
    follow = {PoolRecord: [EventOrigin], SignalIdentity: [ArbitrageSignal, Economics]}
    rest = next((rest for base, rest in follow.items() if issubclass(cls, base)), [])
    records = [extreme(one, highest) for one in (cls, *rest)]
    time_ns = (1 << 63) - 1 if highest else -1 << 63
    for flags in (0, Flag.SNAPSHOT, Flag.REMOVED):
        fed.put(build(domain, Source.POLYGON_COLLECTOR, records, timestamp_ns=time_ns, flags=flags))
    for update in (fed.update(), fed.view.whole(NOW_NS)):
        assert msgspec.json.decode(msgspec.json.encode(update), type=Update) == update
        assert update.summary is not None and update.summary.refused_frames == 0
        for row in (*(update.swaps or ()), *(update.signals or ()), *(update.blocks or ()), *(update.happenings or ())):
            assert abs(row.time_ms) <= 8_640_000_000_000_000, "no browser can show it"


# ---- happenings

SAID: list[tuple[Record, str, int, int, str]] = [
    (reorg(5, 9), "reorg", 6, 9, "4 blocks above 5 left the chain"),
    (Gap(3, 5, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK), "gap", 3, 5, "blocks 3 to 5 missing (3): the node"),
    (Gap(3, 5, GapScope.RING_SEQUENCES, 99), "gap", 3, 5, "messages 3 to 5 missing (3): reason 99"),
    (BackfillBegin(3, 9, Reason.STARTED), "backfill_begin", 3, 9, "fetching blocks 3 to 9: the collector"),
    (BackfillEnd(3, 9, 11, 1), "backfill_end", 3, 9, "11 events"),
    (StateInvalidation(3, InvalidationScope.ALL_POOLS, 99, bytes(20)), "invalidation", 3, -1, "all pools: state since"),
    (StateInvalidation(3, InvalidationScope.ONE_POOL, Reason.REORG, b"p" * 20), "invalidation", 3, -1, "pool 0x7070"),
    (Unproven(3, 4, 5, 2, b"e" * 20, EmitterProof.UNKNOWN), "unproven", 3, -1, "not proven to be a pool yet: 4 events"),
    (Unproven(3, 4, 5, 2, b"e" * 20, 88), "unproven", 3, -1, "stands as 88"),
    (Session(UUID, 3, 77, 137, 5), "session", -1, -1, "epoch 3 of chain 137 at sequence 77"),
    (RingReplaced(-1, UUID, OTHER), "ring_replaced", -1, -1, "nobody knows"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "kind", "first", "last", "text"), SAID)
def test_view_happening_says_what_the_record_says(
    fed: Fed, record: Record, kind: str, first: int, last: int, text: str
) -> None:
    fed.put(system(record))
    (found,) = fed.update().happenings or ()
    assert (found.kind, found.first, found.last, found.sequence) == (kind, first, last, 1)
    assert text in found.text


def test_every_record_that_is_a_happening_is_said() -> None:
    assert {type(record) for record, *_ in SAID} == set(SAYINGS)


def test_view_keeps_a_reorg_however_many_emitters_are_declared(fed: Fed) -> None:
    unproven = system(Unproven(3, 4, 5, 2, b"e" * 20, EmitterProof.UNKNOWN))
    fed.put(system(reorg(5, 9)), *[unproven] * (2 * HAPPENINGS))
    fed.update()
    kept = fed.view.whole(NOW_NS).happenings or []
    assert len(kept) == HAPPENINGS and kept[0].kind == "reorg"


# ---- rates and updates


def test_view_rates_come_and_go_with_a_half_life_of_a_second(fed: Fed) -> None:
    fed.update()
    rates = []
    for second in range(1, 11):
        poll = poll_of([market(swap(), origin())] * 100, 100 * second - 99)
        poll.timestamps[:] = int((second - 0.5) * NS)
        fed.view.take_poll(MARKET, UUID, poll, NOW_NS)
        summary = fed.update(second).summary
        assert summary is not None
        rates.append(summary.events_per_s)
    assert rates[:3] == [50.0, 75.0, 87.5] and rates[-1] > 99.8
    summary = fed.update(11).summary
    assert summary is not None and abs(summary.events_per_s - rates[-1] / 2) < 0.1


def test_view_backlog_counts_in_no_rate(fed: Fed) -> None:
    fed.update()
    poll = poll_of([market(swap(), origin())] * 100)
    poll.timestamps[:] = -NS  # published before
    fed.view.take_poll(MARKET, UUID, poll, NOW_NS)
    summary = fed.update(1).summary
    assert summary is not None and (summary.events, summary.events_per_s) == (100, 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_view_updates_add_up_to_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    random_market = RandomMarket(rng)
    random_market.run(30)
    payloads = random_market.ring.payloads
    view, page, at = DashboardView(PoolStates()), PageModel(), 0
    while at < len(payloads):
        count = rng.randrange(1, 60)
        view.take_poll(MARKET, UUID, poll_of(payloads[at : at + count], at + 1), NOW_NS)
        page.take(view.update(NOW_NS + at, brief=rng.random() < 0.5))
        at += count
    page.take(view.update(NOW_NS + at))
    everything = PageModel()
    everything.take(view.whole(NOW_NS + at))
    for topic, rows in everything.rows.items():
        assert rows.items() <= page.rows[topic].items()
        assert rows or topic == "signals"
    assert everything.rows["pools"] == page.rows["pools"]
    assert everything.rows["blocks"] == page.rows["blocks"]


def test_view_brief_update_leaves_numbers_and_pools_to_the_next(fed: Fed) -> None:
    fed.update()
    fed.put(market(swap(), origin()))
    brief = fed.view.update(NOW_NS, brief=True)
    assert len(brief.swaps or ()) == 1 and brief.summary is None and brief.pools is None
    rest = fed.update()
    assert rest.swaps is None and len(rest.pools or ()) == 1 and rest.summary is not None
