"""The program that reads tick maps: what its answers may be, and what they may not.

That it reads what the contract holds is shown by `test_tick_maps`, on a real node.
"""

from __future__ import annotations

import pytest

from producers.node.assembler import OPCODES
from producers.output.tick_program import PROGRAM, Tick, Words, call_data, read_ticks
from tests.producers.output.liquidity import SPACING
from tools.rig.evm.node import Node, NodeRefusal
from tools.rig.evm.world import World


def test_program_has_no_word_that_the_assembler_takes_for_another() -> None:
    labels = [token[:-1] for token in PROGRAM.split() if token.endswith(":")]
    assert len(set(labels)) == len(labels) and not OPCODES.keys() & set(labels)


def test_halves_of_words_join_to_the_whole() -> None:
    for words in (Words(-3, 4), Words(0, 1), Words(-2, -1), Words(-5, 1)):
        low, high = words.halves()
        assert (low.first, low.last + 1, high.last) == (words.first, high.first, words.last)


GOOD = (0, 5, 0b101, 7 << 128 | 7, 9 << 128 | (1 << 128) - 2)


def test_read_ticks_of_a_good_answer() -> None:
    assert read_ticks("0x" + "".join(f"{word:064x}" for word in GOOD), Words(0, 9), 10) == [
        Tick(12_800, 7, 7),
        Tick(12_820, 9, -2),
    ]


@pytest.mark.parametrize(
    "found",
    [
        (),
        (1,),
        (*GOOD[:-1],),
        (*GOOD, 5, 1, 7 << 128 | 7),
        (0, 10, 1, 7 << 128 | 7),
        (0, (1 << 256) - 1, 1, 7 << 128 | 7),
        (0, 5, 0),
        (0, 5, 1, 7),
        (0, 5, 1, 7 << 128 | 8),
        (0, 5),
    ],
    ids=[
        "nothing",
        "no_zero_word",
        "cut",
        "word_twice",
        "word_above",
        "word_below",
        "empty_word",
        "no_gross",
        "net_above_gross",
        "no_bitmap",
    ],
)
def test_read_ticks_of_what_the_program_never_answers_is_none(found: tuple[int, ...]) -> None:
    assert read_ticks("0x" + "".join(f"{word:064x}" for word in found), Words(0, 9), 10) is None


def test_program_asking_what_is_no_pool_is_refused() -> None:
    with Node() as node:
        world = World.build(node.rpc)
        data = call_data(bytes.fromhex(world.weth[2:]), Words(0, 1), SPACING, "tickBitmap(int16)")
        with pytest.raises(NodeRefusal, match="revert"):
            world.rpc("eth_call", {"data": data}, "latest")
