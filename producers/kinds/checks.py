"""Whether a pool kind is declared well: every fault is refused by kind and field, before a log is read.

Owns the rules that one declaration must meet by itself; what two of them may not have in common:
`producers.kinds.registry`.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import NoReturn

from producers.kinds.events import COINS, Argument, ContractEvent, Role
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.pair_proof import prove_pair
from tlv.codes import Protocol
from tlv.errors import UsageError
from tlv.layout import PoolCreated, PoolRecord, PoolSync

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
FUNCTION = re.compile(r"[A-Za-z_]\w*\(\)")
LOOKUP = re.compile(r"[A-Za-z_]\w*\(address,address(,\w+)*\)")
STATIC = re.compile(r"address|bool|bytes32|u?int(8|16|24|32|40|48|56|64|72|80|88|96|1\d\d|2[0-4]\d|25[0-6])")
"""ABI types of one word that a record can take.  `uint` and `int` stand for 256 bits in Solidity, not in a topic."""
TAKES = {"address": ("address", "pool_id"), "bytes32": ("bytes32", "pool_id")}
"""What fields take a word that is no number."""
FACTORY_KEYS = ("lookup", "custom_deployers", "positions")
FIRST_OWN_CODE = 128
"""Codes below are tlv.codes.Protocol's."""
MOST_INDEXED = 3


def check_kind(kind: PoolKind) -> None:
    """Check a declaration.

    Raises:
        UsageError: a part is missing, or cannot be; the message names kind and field.
    """
    if not isinstance(kind.name, str) or not NAME.fullmatch(kind.name):
        raise UsageError(f"kind {kind.name!r}: name: expected upper-case letters, digits and _")
    _check_code(kind)
    if not any(event.role is Role.POOL for event in (*kind.events, *kind.shares)):
        refuse(kind, "events", "expected at least one event of a pool")
    for event in kind.events:
        _check_event(kind, event)
    _check_proof(kind)
    if not isinstance(kind.fee, Fee):
        refuse(kind, "fee", f"expected a Fee, found {kind.fee!r}")
    _check_state(kind)
    records = {event.record for event in (*kind.events, *kind.shares)}
    if kind.synced and not {PoolSync, *kind.synced} <= records:
        refuse(kind, "synced", "expected PoolSync and every record named here among the events")


def refuse(kind: PoolKind, field: str, fault: str) -> NoReturn:
    """Raise the UsageError of one field."""
    raise UsageError(f"kind {kind.name}: {field}: {fault}")


def _check_code(kind: PoolKind) -> None:
    known = {member.name: member.value for member in Protocol}
    if not isinstance(kind.code, int) or not 0 < kind.code < 256:
        refuse(kind, "code", f"expected 1 to 255, found {kind.code!r}")
    if known.get(kind.name, kind.code) != kind.code:
        refuse(kind, "code", f"tlv.codes.Protocol says {known[kind.name]}, found {kind.code}")
    if kind.code < FIRST_OWN_CODE and kind.name not in known:
        refuse(kind, "code", f"{kind.code} is kept for tlv.codes.Protocol; expected {FIRST_OWN_CODE} to 255")


def _check_event(kind: PoolKind, event: ContractEvent) -> None:
    if not issubclass(event.record, PoolRecord):
        refuse(kind, event.name, f"expected a pool record, found {event.record.__name__}")
    if len(event.indexed) > MOST_INDEXED:
        refuse(kind, event.name, f"expected at most {MOST_INDEXED} indexed arguments, found {len(event.indexed)}")
    for argument in event.arguments:
        _check_argument(kind, event, argument)
    filled = [field for argument in event.arguments for field in argument.fields]
    for field in filled:
        if filled.count(field) > 1:
            refuse(kind, f"{event.name}.{field}", "two arguments fill it")
    if sorted(filter(None, (argument.coin for argument in event.arguments))) not in ([], list(COINS)):
        refuse(kind, event.name, "expected both coin_in and coin_out, or none")
    if event.role is Role.FACTORY and (event.record is not PoolCreated or "pool" not in filled):
        refuse(kind, event.name, "expected a factory's event to be a PoolCreated that names `pool`")


def _check_argument(kind: PoolKind, event: ContractEvent, argument: Argument) -> None:
    at = f"{event.name}.{argument.name or '_'}"
    if not STATIC.fullmatch(argument.type):
        refuse(kind, at, f"expected address, or uint or int with its bits, found {argument.type!r}")
    fields = event.record.layout.kinds
    for field in argument.fields:
        if field not in fields:
            refuse(kind, at, f"{event.record.__name__} has no field {field!r}")
        into = fields[field]
        if into.name not in TAKES.get(argument.type, (into.name,)) or (
            argument.type not in TAKES and into.name in chain.from_iterable(TAKES.values())
        ):
            refuse(kind, at, f"{argument.type} does not go into {into.name}")
        if argument.type not in TAKES:
            if argument.signed != (argument.split or into.name.startswith("i")):
                refuse(kind, at, f"{argument.type} and {into.name} differ in sign")
            if argument.bits > 8 * into.size:
                refuse(kind, at, f"{argument.type} does not fit {into.name}")


def _check_proof(kind: PoolKind) -> None:
    if not isinstance(kind.proof, Proof):
        refuse(kind, "proof", "expected a Proof")
    if kind.proof.salt is not None and not callable(kind.proof.salt):
        refuse(kind, "proof.salt", "expected the function that makes a pool's CREATE2 salt")
    if kind.proof.salt is None and not kind.proof.lookup and kind.prove is prove_pair:
        refuse(kind, "proof", "expected a salt or a lookup, or the kind's own way to prove a pool")
    for function in kind.proof.functions:
        if not FUNCTION.fullmatch(function):
            refuse(kind, "proof.functions", f"expected a view function without arguments, found {function!r}")
    for key in kind.factory_keys:
        if key not in FACTORY_KEYS:
            refuse(kind, "factory_keys", f"expected {', '.join(FACTORY_KEYS)}, found {key!r}")
    if kind.proof.lookup and not LOOKUP.fullmatch(kind.proof.lookup):
        refuse(kind, "proof.lookup", f"expected a function of two addresses, found {kind.proof.lookup!r}")


def _check_state(kind: PoolKind) -> None:
    if kind.state is not None:
        asks = isinstance(kind.state, StateRule) and (kind.state.functions or kind.state.questions)
        if not asks or not callable(kind.state.read):
            refuse(kind, "state", "expected functions to ask, and how their answers are read")
        for function in kind.state.functions:
            if not FUNCTION.fullmatch(function):
                refuse(kind, "state.functions", f"expected a view function without arguments, found {function!r}")
    if kind.tick_bitmap and (kind.state is None or kind.spacing_of_fee is None):
        refuse(kind, "tick_bitmap", "expected state and spacing_of_fee: a map is held against price and liquidity")
