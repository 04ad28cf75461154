"""Every registered kind has all its parts, and a declaration that lacks one is refused by kind and field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producers.chains.configuration import load_chain
from producers.kinds import algebra, uniswap_v2, uniswap_v3
from producers.kinds.events import EVENT_OF_TOPIC, EVENTS, Role, event
from producers.kinds.kind import PoolKind, Proof, StateAnswer, StateRule
from producers.kinds.loading import load_kind_file
from producers.kinds.pair_proof import prove_pair
from producers.kinds.registry import all_kinds, kind_named, kind_of, name_of, register
from tlv.codes import Protocol
from tlv.errors import UsageError
from tlv.layout import PoolCreated, PoolSwap, PoolSync

OWN_SYNC = event("sync", Role.POOL, PoolSync, "Level(uint112 reserve0, uint112 reserve1)")
MADE_UP = replace(uniswap_v2.KIND, name="MADE_UP", code=200, events=(OWN_SYNC,), synced=())


WITHOUT_STATE = ("BALANCER_V2", "CURVE", "DODO", "WOOFI")


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.name)
def test_kind_has_every_part(kind: PoolKind) -> None:
    assert kind_of(kind.code) is kind is kind_named(kind.name)
    events = [EVENT_OF_TOPIC[declared.topic0] for declared in (*kind.events, *kind.shares)]
    assert all(kind.code in declared.protocols and declared in EVENTS for declared in events)
    assert (kind.state is None) == (kind.name in WITHOUT_STATE)
    assert kind.state is None or kind.state.read([[] for _ in kind.state.functions or ("questions",)]) is None
    if kind.proof.salt is None:
        assert kind.prove is not prove_pair and all(declared.names_pool for declared in events)
        return
    assert (Role.FACTORY in {declared.role for declared in events}) == (kind.name != "KYBER_ELASTIC")
    words = tuple(range(1, 1 + len(kind.proof.functions)))
    salts = {kind.proof.salt(bytes([one]) * 20, bytes([two]) * 20, words) for one, two in ((1, 2), (2, 1), (1, 3))}
    assert {len(salt) for salt in salts} == {32} and len(salts) == 3
    assert kind.proof.lookup.count(",") == 1 + len(words)


def test_kinds_are_those_that_have_a_code_of_the_wire_format() -> None:
    assert {kind.name: kind.code for kind in all_kinds()} == dict(Protocol.__members__)
    assert name_of(Protocol.ALGEBRA) == "algebra"
    assert name_of(77) == "77" and kind_of(77) is None


def test_state_of_v2_and_v3_takes_the_largest_values_and_refuses_the_next() -> None:
    top = (1 << 112) - 1
    assert uniswap_v2.read_state([[top, 1, 9]]) == StateAnswer(reserve0=top, reserve1=1)
    assert uniswap_v2.read_state([[top + 1, 1, 9]]) is None
    assert uniswap_v3.read_state([[5, (1 << 256) - 7], [8]]) == StateAnswer(sqrt_price_x96=5, tick=-7, liquidity=8)
    for tick in (1 << 23, (1 << 23) + 1, 1 << 200, (1 << 256) - (1 << 23) - 1):
        assert uniswap_v3.read_state([[5, tick], [8]]) is None, "not an int24"
    assert algebra.KIND.state is not None and algebra.KIND.state.read is uniswap_v3.read_state


def swap(declaration: str) -> dict[str, Any]:
    return {"events": (event("swap", Role.POOL, PoolSwap, declaration),)}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": "made up"}, "name"),
        ({"name": "ALGEBRA", "code": Protocol.ALGEBRA}, "ALGEBRA: name"),
        ({"code": 9}, "MADE_UP: code: 9 is kept"),
        ({"name": "ALGEBRA", "code": Protocol.ALGEBRA + 1}, "ALGEBRA: code: tlv.codes.Protocol says"),
        ({"name": "ALGEBRA", "code": Protocol.ALGEBRA - 1}, "ALGEBRA: code: tlv.codes.Protocol says"),
        ({"code": 256}, "MADE_UP: code"),
        ({"events": ()}, "MADE_UP: events"),
        (swap("Swap(uint256 colour)"), "MADE_UP: swap.colour: PoolSwap has no field"),
        (swap("Swap(uint256 liquidity)"), "MADE_UP: swap.liquidity: uint256 does not fit u128"),
        (swap("Swap(uint24 tick)"), "MADE_UP: swap.tick: uint24 and i32 differ in sign"),
        (swap("Swap(uint256 amount0)"), "MADE_UP: swap.amount0: uint256 and u256 differ in sign"),
        (swap("Swap(uint160 sender)"), "MADE_UP: swap.sender"),
        (swap("Swap(address liquidity)"), "MADE_UP: swap.liquidity: address does not go into u128"),
        (swap("Swap(bytes _)"), "MADE_UP: swap._: expected address"),
        (swap("Swap(int24 tick, int24 tick)"), "MADE_UP: swap.tick: two arguments"),
        (swap("Swap(int8 indexed _, int8 indexed _, int8 indexed _, int8 indexed _)"), "at most 3 indexed"),
        ({"events": (OWN_SYNC, OWN_SYNC)}, "MADE_UP: sync: .* declared twice"),
        ({"events": (uniswap_v2.KIND.events[1],)}, "MADE_UP: sync: .* is UNISWAP_V2's"),
        ({"events": (OWN_SYNC, event("made", Role.FACTORY, PoolCreated, "Made(address token0)"))}, "MADE_UP: made"),
        ({"shares": (OWN_SYNC._replace(solidity_name="Nobody"),)}, "MADE_UP: shares: no kind declares"),
        ({"factory_keys": ("position",)}, "MADE_UP: factory_keys: expected .*positions, found 'position'"),
        ({"shares": (uniswap_v2.KIND.events[1]._replace(name="level"),)}, "MADE_UP: shares"),
        ({"proof": None}, "MADE_UP: proof"),
        ({"proof": Proof(uniswap_v2.salt, ("fee(uint256)",))}, "MADE_UP: proof.functions"),
        ({"fee": 3000}, "MADE_UP: fee"),
        ({"state": StateRule((), uniswap_v2.read_state)}, "MADE_UP: state"),
        ({"tick_bitmap": "tickBitmap(int16)"}, "MADE_UP: tick_bitmap"),
        ({"synced": (PoolSwap,)}, "MADE_UP: synced"),
    ],
)
def test_register_of_a_wrong_declaration_names_kind_and_field_and_changes_nothing(
    wrong: dict[str, Any], named: str
) -> None:
    before = (all_kinds(), list(EVENTS), dict(EVENT_OF_TOPIC))
    with pytest.raises(UsageError, match=named):
        register(replace(MADE_UP, **wrong))
    assert before == (all_kinds(), list(EVENTS), dict(EVENT_OF_TOPIC))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("KIND = 3", "expected KIND"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("", "found None"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_chain_file_with_a_wrong_kind_file_is_refused_by_that_file(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    chain = tmp_path / "chain.toml"
    chain.write_text('kinds = ["mine.py"]\nname = "x"\n')
    with pytest.raises(UsageError, match=rf"mine\.py: .*{named}"):
        load_chain(str(chain))


def test_load_kind_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.py: expected a \.py file"):
        load_kind_file(tmp_path / "absent.py")


@pytest.mark.parametrize("name", ["kind", "kind.p", "kind.pyc", "kind.so", "kind.txt"])
def test_load_kind_file_of_another_suffix_is_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1 / 0")
    with pytest.raises(UsageError, match=rf"{name}: expected a \.py file"):
        load_kind_file(tmp_path / name)
