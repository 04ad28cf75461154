"""`alphapulse new-strategy NAME`: a strategy's file that runs at once, to begin one's own from.

Owns the two texts, plain and native, and the rules for a name.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

import click

from tlv.errors import UsageError
from tlv.layout import SignalIdentity
from tools.command.say import say

NAME_BYTES = SignalIdentity.layout.kinds["strategy"].size
PACKAGES = frozenset({"tlv", "ringbuf", "producers", "consumers", "tools"})

PLAIN = '''"""NAME: says when a V2 pool's price moves by more than a threshold in one Sync."""

import msgspec

from consumers.strategy import Strategy
from tlv.codes import Flag
from tlv.fields import I64, PoolId
from tlv.layout import PoolSync
from tlv.record import Record, record

PIPS = 1_000_000


@record(type=210)
class MoveOfCLASS(Record, frozen=True):
    """What a signal says: types 200 to 254 are yours.  Integers only; wider ones first."""

    move_pips: I64
    pool: PoolId


class ParamsOfCLASS(msgspec.Struct, frozen=True):
    """What `--set` and [strategy.params] may say."""

    threshold_pips: int = 2_000  # hundredths of a basis point


class CLASS(Strategy):
    name = "NAME"
    params = ParamsOfCLASS
    records = (MoveOfCLASS,)
    wants = frozenset({PoolSync})  # no frame without one of these wakes it

    def __init__(self, settings):
        super().__init__()
        self.threshold_pips = settings.threshold_pips
        self.last = {}

    def on_event(self, sync, origin):
        if not isinstance(sync, PoolSync) or self.trigger.flags & Flag.BACKFILL or not sync.reserve0:
            return
        before = self.last.get(sync.pool)
        self.last[sync.pool] = sync
        if before is None or not before.reserve1:
            return
        move = sync.reserve1 * before.reserve0 * PIPS // (sync.reserve0 * before.reserve1) - PIPS
        if abs(move) >= self.threshold_pips:
            self.emit(MoveOfCLASS(move, sync.pool), receive_time_ns=origin.receive_time_ns)
            # To trade on it: self.order([OrderLeg(sync.pool, token_in, token_out, 1)], amount_in, ...)

    def on_removed(self, sync, origin):
        self.last.pop(sync.pool, None)  # its block left the chain: that price never was

    def on_invalidation(self, invalidation):
        self.last.clear()

    def on_lost(self, first, last):
        self.last.clear()  # whatever was in these frames, it was not seen
'''

NATIVE = '''"""NAME: says when a V2 pool's price moves by more than a threshold in one Sync, in machine code."""

import msgspec
import numpy as np

from consumers.native import EVENT, NativeStrategy, add, fill, has, hash_of_pool, same_pool, signal, view
from tlv.fields import I64, PoolId
from tlv.jit import kernel
from tlv.layout import EventOrigin, PoolSync
from tlv.record import Record, record
from tlv.wide import wide_to_float

SLOTS = 4096
STATE = np.dtype([("threshold_pips", "<i8"), ("pools", "u1", (SLOTS, 32)), ("prices", "<f8", (SLOTS,))])


@record(type=211)
class MoveOfCLASS(Record, frozen=True):
    """What a signal says: types 200 to 254 are yours.  Integers only; wider ones first."""

    move_pips: I64
    pool: PoolId


class ParamsOfCLASS(msgspec.Struct, frozen=True):
    """What `--set` and [strategy.params] may say; a field of STATE of the same name begins with its value."""

    threshold_pips: int = 2_000  # hundredths of a basis point


class CLASS(NativeStrategy):
    name = "NAME"
    params = ParamsOfCLASS
    records = (MoveOfCLASS,)
    wants = frozenset({PoolSync})
    state = STATE

    @kernel
    def handler(state, frame, drafts):
        if frame.lost != 0:
            state["prices"][:] = 0.0  # what moved in the frames that never came is not known
        if frame.what != EVENT or not has(frame, PoolSync):
            return
        sync = view(frame, PoolSync)
        reserve0 = wide_to_float(sync["reserve0"])
        if reserve0 == 0.0:
            return
        price = wide_to_float(sync["reserve1"]) / reserve0
        slot = hash_of_pool(sync["pool"]) % SLOTS
        before = state["prices"][slot]
        known = before != 0.0 and same_pool(state["pools"][slot], sync["pool"])
        fill(state["pools"][slot], sync["pool"])
        state["prices"][slot] = price
        if not known:
            return
        move = np.int64((price / before - 1.0) * 1e6)
        if abs(move) >= state["threshold_pips"]:
            signal(drafts, frame, view(frame, EventOrigin)["receive_time_ns"])
            moved = add(drafts, MoveOfCLASS)
            moved["move_pips"] = move
            fill(moved["pool"], sync["pool"])
'''


def check_name(name: str) -> str:
    """The name of a new strategy, which is its file's and its signals' too.

    Raises:
        UsageError: no identifier, too long for its field, or the name of a module that the file would hide.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"NAME: expected letters, digits and underscores, not a digit first, found {name!r}")
    if len(name.encode()) > NAME_BYTES:
        raise UsageError(f"NAME: expected at most {NAME_BYTES} bytes, found {len(name.encode())} in {name!r}")
    if name in sys.stdlib_module_names or name in PACKAGES:
        raise UsageError(f"NAME: {name!r} is the name of a module, which {name}.py would hide; expected another")
    return name


def class_name(name: str, text: str) -> str:
    """The name of its class: `price_jump` is PriceJump; one that the text uses itself gets an end."""
    made = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Own"
    made = made if made.isidentifier() else f"Own{made}"
    return f"{made}Own" if re.search(rf"\b{re.escape(made)}\b", text) else made


@click.command("new-strategy", epilog="Example:  alphapulse new-strategy my_mover && alphapulse strategy my_mover.py")
@click.argument("name")
@click.option("--native", is_flag=True, help="In machine code: a handler over memory instead of a class with methods.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, native: bool, force: bool, as_json: bool) -> None:
    """Write NAME.py into this folder: a strategy that runs, to change into your own."""
    text = NATIVE if native else PLAIN
    made = class_name(check_name(name), text)
    path = Path(f"{name}.py")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text.replace("CLASS", made).replace("NAME", name))
    except FileExistsError:
        raise UsageError(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    run = f"alphapulse strategy {path}:{made}"
    say({"file": str(path), "class": made, "run": run}, f"{path} is written; run it:\n  {run} --ring RING", as_json)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "new-strategy")
