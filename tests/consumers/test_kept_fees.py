"""What is kept of a pool's fee against what is made anew of everything that stands."""

from __future__ import annotations

import random

import pytest

from consumers.arbitrage.kept_fees import END, KeptFees
from tests.consumers.test_pool_state import V3_HEAD, block_hash
from tlv.codes import Protocol
from tlv.layout import EventOrigin, FeeState, PoolBurn, PoolMint, PoolSwap, Timepoint

BEGIN_S = 1_700_000_000
HEAD = (*V3_HEAD[:-1], Protocol.ALGEBRA)
CONFIG = (100, 600, 0, 20_000, 40_000, 400, 900, 100, 100)
POINTS = (Timepoint(0, 0, 0, BEGIN_S - 5000, 0, 0), Timepoint(10**6, 1 << 62, 9000, BEGIN_S - 90, 1, 3))
NOBODY = (bytes(20), bytes(20))
Told = tuple[PoolSwap | PoolMint | PoolBurn, EventOrigin]


def state(block: int = 100, **changes: int) -> FeeState:
    """A FeeState as of the end of a block, of two timepoints."""
    made = FeeState(*HEAD, 1 << 60, block, block_hash(block), 20, 100, *CONFIG, len(POINTS))
    return FeeState(**{name: changes.get(name, getattr(made, name)) for name in FeeState.__struct_fields__})


def event(rng: random.Random, block: int, log: int, branch: str) -> Told:
    """A swap, or a change of liquidity around the price or beside it."""
    origin = EventOrigin(block, BEGIN_S + 40 * block, 0, 0, log, block_hash(block, branch), bytes(32))
    kind, tick, amount = rng.random(), rng.randint(-90, 90), rng.randrange(10**18)
    if kind < 0.6:
        return PoolSwap(*HEAD, amount, 0, 0, amount, 1 << 96, 10**19, tick, *NOBODY, 0), origin
    cls = PoolMint if kind < 0.8 else PoolBurn
    return cls(*HEAD, 1, 1, rng.choice((0, amount)), tick - 60, tick + rng.choice((1, 60)), *NOBODY), origin


def anew(standing: list[Told], taken: FeeState | None) -> KeptFees:
    """One that was told only what stands."""
    fees = KeptFees()
    if taken is not None:
        assert fees.take(taken, POINTS, 0)
    for told in sorted(standing, key=lambda one: (one[1].block_number, one[1].log_index)):
        fees.apply(*told)
    return fees


def test_kept_fees_follow_seeded_events_reorgs_and_late_ones() -> None:
    rng, known, fees_seen = random.Random(4), 0, set()
    for _ in range(15):
        fees, standing, block, branch, taken = KeptFees(), list[Told](), 100, 0, None
        for step in range(60):
            what = rng.random()
            if what < 0.6:
                block += rng.randint(0, 2)
                number = block - (rng.random() < 0.1)
                standing.append(event(rng, number, step, str(branch)))
                fees.apply(*standing[-1])
            elif what < 0.75:
                fork, branch = block - rng.randint(0, 4), branch + 1
                gone = [told for told in standing if told[1].block_number > fork]
                standing = [told for told in standing if told[1].block_number <= fork]
                fees.roll_back(fork)
                for _, origin in reversed(gone):
                    fees.take_back(origin)
                taken = None if taken is None or taken.block_number > fork else taken
                block = fork + 1
            elif what < 0.8 and standing:
                _, origin = standing.pop(rng.randrange(len(standing)))
                fees.take_back(origin)
            elif taken is None or what > 0.97:
                new = state(block - rng.randint(0, 3))
                if fees.take(new, POINTS, 0):
                    taken = new
            expected, time = anew(standing, taken), BEGIN_S + 40 * (block + 2)
            assert fees.fee_at(time) == expected.fee_at(time)
            at = (block - rng.randint(0, 3), rng.choice((0, step, END)))
            assert fees.fee_in(at, time) == expected.fee_in(at, time)
            known += taken is not None
            fees_seen.add(fees.fee_at(time))
    assert known > 300 and len(fees_seen) > 100


def test_fee_in_the_block_of_a_swap_is_what_its_first_swap_set() -> None:
    rng = random.Random(1)
    events = [event(rng, block, log, "a") for block in (101, 102) for log in range(20)]
    fees = anew(events, state())
    first = anew([], state())
    assert fees.fee_in((100, END), BEGIN_S + 40 * 101) == first.fee_at(BEGIN_S + 40 * 101)
    inside = {fees.fee_in((101, log), BEGIN_S + 40 * 101) for log in range(20)}
    assert inside == {first.fee_at(BEGIN_S + 40 * 101)}
    assert fees.fee_in((101, END), BEGIN_S + 40 * 102) == anew(events[:20], state()).fee_at(BEGIN_S + 40 * 102)
    assert fees.fee_in((99, END), BEGIN_S) is fees.fee_in((100, 3), BEGIN_S) is None


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"count": 3}, POINTS),
        ({"gamma2": 0}, POINTS),
        ({}, POINTS[::-1]),
        ({"count": 0}, ()),
        ({"count": 1}, POINTS[1:]),
        ({"block_number": 98}, POINTS),
    ],
    ids=["count", "gamma", "order", "none", "without_the_one_before", "old"],
)
def test_fee_state_that_cannot_be_is_not_taken(changes: dict[str, int], points: tuple[Timepoint, ...]) -> None:
    fees = KeptFees()
    assert not fees.take(state(**changes), points, 99)
    assert not fees.followed and fees.fee_at(BEGIN_S) is None


def test_fee_is_unknown_behind_the_timepoints_that_came_until_the_next_ones_do() -> None:
    gap = (
        *POINTS,
        Timepoint(10**7, 1 << 63, 20_000, BEGIN_S, 50, 5),
        Timepoint(10**7, 1 << 63, 21_000, BEGIN_S + 9, 51, 5),
    )
    fees = KeptFees()
    assert fees.take(state(count=4), gap, 0)
    day = BEGIN_S - 90 + 86_400
    assert fees.fee_at(day) is not None and fees.fee_at(day + 1) is None
    late = EventOrigin(101, day + 1, 0, 0, 0, bytes(32), bytes(32))
    fees.apply(PoolSwap(*HEAD, 1, 0, 0, 1, 1 << 96, 1, 0, *NOBODY, 0), late)
    assert fees.fee_at(day + 9) is None and fees.followed
    assert fees.take(state(101), POINTS, 0) and fees.fee_at(day + 9) is not None


def test_fee_beyond_the_contracts_clock_is_not_known() -> None:
    fees = anew([], state())
    assert fees.fee_at((1 << 32) - 1) is not None
    assert [fees.fee_at(1 << bits) for bits in (32, 63, 64)] == [None] * 3
    swap, origin = next(
        told for seed in range(9) if isinstance((told := event(random.Random(seed), 101, 0, ""))[0], PoolSwap)
    )
    fees.apply(swap, EventOrigin(101, (1 << 64) - 1, 0, 0, 0, origin.block_hash, bytes(32)))
    assert fees.fee_at(BEGIN_S + 9) is None
