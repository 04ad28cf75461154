"""How often it is declared of an emitter what it said."""

from __future__ import annotations

from collections import Counter

from producers.blocks.block import Block
from producers.pools.inquiry import Inquiry
from producers.pools.suspects import Suspect
from tests.producers.pools.test_suspects import POOL, Desk
from tlv.codes import Protocol


def suspect_of(desk: Desk) -> Suspect:
    suspect = Suspect(Inquiry(desk.context.chain, POOL, (Protocol.UNISWAP_V3,)), Protocol.UNISWAP_V3, 0)
    desk.quarantine.account._emitters.add(suspect)
    return suspect


def declared_of_marked(desk: Desk, block: Block, times: int) -> list[tuple[int, int]]:
    """What is declared while so many of its events are published flagged, one by one: held back, flagged."""
    account = desk.quarantine.account
    declared = []
    for _ in range(times):
        account.note_marked(block, Counter({POOL: 1}))
        declared += [(one.held_back, one.marked) for one in account.take_declared()]
    return declared


def test_emitter_is_declared_anew_when_what_it_said_has_doubled() -> None:
    desk = Desk()
    block = desk.block(100)
    suspect_of(desk)
    assert declared_of_marked(desk, block, 20) == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16)]


def test_emitter_is_declared_anew_when_what_was_held_back_and_what_was_flagged_have_doubled_together() -> None:
    desk = Desk()
    block = desk.block(100)
    suspect = suspect_of(desk)
    for _ in range(3):
        suspect.let_one_go(block, 0)
    desk.quarantine.account.declare(suspect)
    assert [one.held_back for one in desk.quarantine.account.take_declared()] == [3]
    assert declared_of_marked(desk, block, 12) == [(3, 3), (3, 9)]
