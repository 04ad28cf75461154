"""Rows for logs of pools of several coins, as far as the logs say what the coins are."""

from __future__ import annotations

import msgspec

from producers.decode.pool_table import VerifiedEmitter, unverified
from producers.kinds.emitter_key import coins_of, id_of, key_of
from producers.kinds.events import EVENT_OF_TOPIC, UNDERLYING
from producers.node.rpc_types import Log


def row_of_coins(log: Log) -> VerifiedEmitter | None:
    """A row that knows what the log says: the two coins, by address or by index; None if it says nothing."""
    coins = coins_of(key_of(log))
    if coins is None:
        return None
    event = EVENT_OF_TOPIC[log.topics[0] or ""]
    beneath = UNDERLYING if any(argument.apart for argument in event.arguments) else 0
    coin_in, coin_out = ((coin - beneath).to_bytes(20, "big") for coin in coins)
    row = unverified(id_of(key_of(log)), event.protocols[0])
    low, high = sorted((coin_in, coin_out))
    return msgspec.structs.replace(row, token0=low, token1=high, flipped=coin_in > coin_out)
