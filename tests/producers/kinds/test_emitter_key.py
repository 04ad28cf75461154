"""The name of a log's pool: the same for all logs of one pool however they are spelt, and none for another shape."""

from __future__ import annotations

from typing import Any

import pytest

from producers.kinds.emitter_key import address_of, coins_of, id_of, is_garbled, is_plain, key_of
from producers.kinds.events import EVENTS
from producers.node.rpc_types import Log, in_lower_case

HUB = "0x" + "4a" * 20
ID = "cd" * 31 + "05"
COINS = ("be" * 20, "ef" * 20)
V4_SWAP = next(event.topic0 for event in EVENTS if event.signature.startswith("Swap(bytes32,address,int128"))
VAULT_SWAP = next(event.topic0 for event in EVENTS if event.signature.startswith("Swap(bytes32,address,address,uint"))
EXCHANGE = next(event.topic0 for event in EVENTS if event.signature.startswith("TokenExchange(address,int128"))
SYNC = next(event.topic0 for event in EVENTS if event.name == "sync")


def word(digits: str) -> str:
    return digits.rjust(64, "0")


def log(*topics: str, data: str = "0x", address: str = HUB) -> Log:
    return Log(address, tuple(topics), data)


BY_ID = log(V4_SWAP, "0x" + ID, "0x" + word("aa" * 20), data="0x" + word("1") * 6)
BY_ID_AND_COINS = log(VAULT_SWAP, "0x" + ID, *("0x" + word(coin) for coin in COINS), data="0x" + word("7") * 2)
BY_INDEX = log(EXCHANGE, "0x" + word("aa" * 20), data="0x" + "".join(map(word, ("2", "f", "1", "e"))))
PLAIN = log(SYNC, data="0x" + word("1") * 2)


@pytest.mark.parametrize(
    ("named", "pool", "coins"),
    [
        (BY_ID, ID, None),
        (BY_ID_AND_COINS, ID, COINS),
        (BY_INDEX, "4a" * 20, ("2", "1")),
        (PLAIN, "4a" * 20, None),
    ],
)
def test_key_says_emitter_pool_and_coins(named: Log, pool: str, coins: tuple[str, str] | None) -> None:
    key = key_of(named)
    assert address_of(key) == HUB and id_of(key).hex() == pool
    assert coins_of(key) == (coins and (int(coins[0], 16), int(coins[1], 16)))
    assert is_plain(key) is (named is PLAIN)
    assert not is_garbled(named)


@pytest.mark.parametrize("named", [BY_ID, BY_ID_AND_COINS, BY_INDEX])
def test_key_of_a_log_in_capitals_is_the_same(named: Log) -> None:
    shouted = Log(
        named.address.upper().replace("0X", "0x"),
        tuple((topic or "").upper().replace("0X", "0x") for topic in named.topics),
        (named.data or "").upper().replace("0X", "0x"),
    )
    assert key_of(in_lower_case(shouted)) == key_of(named)


@pytest.mark.parametrize(
    "other",
    [
        {"topics": (V4_SWAP,)},
        {"topics": (V4_SWAP, None)},
        {"topics": (VAULT_SWAP, "0x" + ID, "0x" + word(COINS[0]))},
        {"topics": (EXCHANGE, "0x" + word("aa" * 20)), "data": "0x" + word("1")},
        {"topics": (EXCHANGE, "0x" + word("aa" * 20)), "data": "0x" + word("10") * 4},
        {"topics": (EXCHANGE, "0x" + word("aa" * 20)), "data": None},
        {"topics": ()},
    ],
)
def test_log_of_another_shape_has_its_emitters_name_and_is_not_garbled(other: dict[str, Any]) -> None:
    found = Log(**{"address": HUB, "data": "0x", **other})
    assert key_of(found) == HUB and not is_garbled(found)


@pytest.mark.parametrize(
    "other",
    [
        {"topics": (V4_SWAP, "0x" + ID[:-1])},
        {"topics": (V4_SWAP, "0x" + ID[:-1] + "g")},
        {"topics": (V4_SWAP, "0x" + ID[:-2] + " 5")},
        {"topics": (EXCHANGE, "0x" + word("aa" * 20)), "data": "0x" + word("1") + "1"},
        {"topics": (EXCHANGE, "0x" + word("aa" * 20)), "data": word("1")},
    ],
)
def test_log_that_no_chain_can_have_is_garbled_and_names_no_pool(other: dict[str, Any]) -> None:
    found = Log(**{"address": HUB, "data": "0x", **other})
    assert key_of(found) == HUB and is_garbled(found)
