"""Events that name their pool, and amounts by the order of its pair: both decoders say what eth-abi says."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from eth_abi import encode

from producers.decode.cold import decode_log
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.kinds.emitter_key import id_of, key_of
from producers.kinds.events import EVENTS, ContractEvent
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import possible_values
from tests.producers.decode.test_batch import decode

NAMING = [event for event in EVENTS if event.names_pool]
LOGS = 60
OWN_TOKENS = (("token0", f"0x{'61' * 20}"), ("token1", f"0x{'62' * 20}"))


def expected(event: ContractEvent, values: list[Any], flipped: bool) -> dict[str, Any]:
    """The record's fields, by the rules of a declaration written out once more."""
    fields: dict[str, Any] = {}
    for argument, value in zip(event.arguments, values, strict=True):
        match argument.fields:
            case ("amount0_in", "amount1_in") | ("amount1_out", "amount0_out"):
                fields[argument.fields[flipped]] = value
            case (first, second):
                fields |= {first: max(value, 0), second: max(-value, 0)}
            case (field,):
                fields[field] = bytes.fromhex(value[2:]) if isinstance(value, str) else value
            case _:
                pass
    return fields


@pytest.mark.parametrize("event", NAMING, ids=lambda event: f"{event.name}-{event.topic0[2:8]}")
def test_event_that_names_its_pool_decodes_as_eth_abi_says_in_both_forms(event: ContractEvent) -> None:
    rng, table = Random(event.topic0), PoolTable()
    logs, wanted = [], []
    for number in range(LOGS):
        types = [argument.type for argument in event.arguments]
        names = [argument.coin or argument.name or "_" for argument in event.arguments]
        values = possible_values(event.name, types, names, rng)
        said = dict(zip(names, values, strict=True))
        token0, token1 = (bytes.fromhex(said.get(name, own)[2:]) for name, own in OWN_TOKENS)
        pairs = list(zip(event.arguments, values, strict=True))
        indexed = ["0x" + encode([argument.type], [value]).hex() for argument, value in pairs if argument.indexed]
        words = [(argument.type, value) for argument, value in pairs if not argument.indexed]
        data = "0x" + encode([kind for kind, _ in words], [value for _, value in words]).hex()
        log = Log("0x" + rng.randbytes(20).hex(), (event.topic0, *indexed), data, log_index=hex(number))
        flipped = number % 2
        pool = VerifiedEmitter(
            id_of(key_of(log)), token0, token1, 1, 6, 18, protocol=event.protocols[0], flipped=flipped
        )
        table.add(pool, key_of(log))
        logs.append(log)
        wanted.append((pool, expected(event, values, bool(flipped))))
    decoded, messages = decode(logs, table)
    assert not decoded.refusals.any()
    for log, message, (pool, fields) in zip(logs, messages, wanted, strict=True):
        record: Any = decode_log(log, pool)
        assert message.records[0] == record
        assert {name: getattr(record, name) for name in fields} == fields
        assert record.pool == pool.pool
