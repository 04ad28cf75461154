"""The messages that a native handler writes on one frame: signals and orders, as `Strategy.emit` and `order` make them.

Owns the buffer in which they are written, one behind the other, and what a handler may do in it:

    signal(drafts, frame, origin["receive_time_ns"])    # a message of domain SIGNAL, its SignalIdentity written; its id
    move = add(drafts, PriceMove)                       # a record in the message begun last, zeroed, to be filled
    move["move_pips"] = pips
    order = begin_order(drafts, frame, block, expires)  # a message of domain EXECUTION; its OrderRequest, to be filled
    leg = add(drafts, OrderLeg)                         # at least one; token_in, token_out and the numbers follow

A fault (a record without a message, more than a message or a frame may hold) is noted in `status`: the frame then
counts as poison and nothing of it is published, as when a Python strategy raises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from consumers.native.frame import NativeFrame
from consumers.native.identity import HASHING, native_signal_id
from consumers.strategy import MESSAGES_PER_FRAME, MOST_LEGS
from tlv.buffers import Bytes, Structs
from tlv.codes import MAX_MESSAGE, Domain
from tlv.copying import copy_bytes
from tlv.jit import compile_with, inline_kernel, kernel
from tlv.kernels import EXTENDED_FORM, LONGEST_SHORT, check_message, put_header, put_tlv, seal
from tlv.layout import HEADER, HEADER_SIZE, OrderLeg, OrderRequest, SignalIdentity
from tlv.record import Record
from tlv.status import OK
from tlv.viewing import record_at

ROOM = 1 << 18
"""Bytes of messages on one frame."""
SINK = ROOM
"""Where a record goes that has no place; nobody reads it."""

FINE, FLOOD, TOO_LARGE, NO_MESSAGE, NO_LEG, TOO_MANY_LEGS, MALFORMED = range(7)
FAULTS = {
    FLOOD: f"more than {MESSAGES_PER_FRAME} messages, or {ROOM} bytes of them, on one frame",
    TOO_LARGE: f"a message of more than {MAX_MESSAGE} bytes",
    NO_MESSAGE: "a record in front of `signal` or `begin_order`",
    NO_LEG: "an order without an OrderLeg",
    TOO_MANY_LEGS: "an order of more than 255 legs",
    MALFORMED: "a message that is none, or a record that its domain does not carry",
}
"""What a handler did wrong, by `status`."""

DRAFTING = np.dtype(
    [
        ("end", "<i8"),  # of what is written in the buffer
        ("messages", "<i8"),
        ("status", "<i8"),
        ("order_at", "<i8"),  # where the open message's OrderRequest stands; 0: it is a signal, or none is open
        ("first_leg", "<i8"),
        ("last_leg", "<i8"),
        ("legs", "<i8"),
        ("begun", "<i8"),  # whether a message is open
        ("source", "<i8"),
        ("version", "<i8"),
        ("name", "u1", (20,)),
        ("ring", "u1", (16,)),  # of the frame that is being handled
        ("starts", "<i8", (MESSAGES_PER_FRAME + 1,)),
        ("hashing", HASHING),
    ],
    align=True,
)

SIGNAL, EXECUTION = int(Domain.SIGNAL), int(Domain.EXECUTION)
IDENTITY, IDENTITY_TYPE, IDENTITY_SIZE = (
    SignalIdentity.layout.dtype,
    SignalIdentity.layout.type,
    SignalIdentity.layout.size,
)
REQUEST, REQUEST_TYPE, REQUEST_SIZE = OrderRequest.layout.dtype, OrderRequest.layout.type, OrderRequest.layout.size
LEG, LEG_TYPE = OrderLeg.layout.dtype, OrderLeg.layout.type
TOKEN_BYTES, RING_BYTES, NAME_BYTES = 20, 16, 20


class NativeDrafts(NamedTuple):
    """What a handler has written on the frame that it handles."""

    buffer: Bytes
    """uint8[ROOM + MAX_MESSAGE]: the messages; behind `SINK` what has no place."""
    state: Structs
    """DRAFTING[1]."""


def make_drafts(name: str, version: int, source: int) -> NativeDrafts:
    """Empty ones of a strategy."""
    state = np.zeros(1, DRAFTING)
    state[0]["name"][: len(name.encode())] = np.frombuffer(name.encode(), np.uint8)
    state[0]["version"], state[0]["source"] = version, source
    return NativeDrafts(np.zeros(ROOM + MAX_MESSAGE, np.uint8), state)


def add(drafts: NativeDrafts, cls: type[Record]) -> Any:
    """A record of class `cls`, zeroed, at the end of the message begun last: fill its fields."""
    at = begin_record(drafts, cls.layout.type, cls.layout.size)
    return record_at(drafts.buffer, at, cls.layout.dtype)


@inline_kernel
def reset(drafts: NativeDrafts) -> None:
    """Forget all messages, for another frame."""
    state = drafts.state[0]
    if state["end"] != 0 or state["status"] != FINE:
        state["end"] = state["messages"] = state["status"] = state["begun"] = state["order_at"] = 0
        state["starts"][0] = 0


@inline_kernel
def clear(buf: Bytes, at: int, size: int) -> None:
    """Zero a part."""
    for i in range(size):
        buf[at + i] = 0


@inline_kernel
def note_fault(drafts: NativeDrafts, status: int) -> None:
    """Keep the first fault of a frame."""
    if drafts.state[0]["status"] == FINE:
        drafts.state[0]["status"] = status


@inline_kernel
def begin_record(drafts: NativeDrafts, tlv_type: int, size: int) -> int:
    """Where in the buffer the value of a record goes that is added to the open message; SINK if it has no place."""
    state = drafts.state[0]
    end = int(state["end"])
    head = 2 if size <= LONGEST_SHORT else EXTENDED_FORM
    if state["begun"] == 0:
        note_fault(drafts, NO_MESSAGE)
    elif end - state["starts"][state["messages"]] > MAX_MESSAGE - head - size:
        note_fault(drafts, TOO_LARGE)
    elif end > ROOM - head - size:
        note_fault(drafts, FLOOD)
    if state["status"] != FINE:
        return SINK
    value = put_tlv(drafts.buffer, end, tlv_type, size)
    clear(drafts.buffer, value, size)
    state["end"] = value + size
    if tlv_type == LEG_TYPE and state["order_at"] != 0:
        if state["legs"] == MOST_LEGS:
            note_fault(drafts, TOO_MANY_LEGS)
            return SINK
        state["legs"] += 1
        record_at(drafts.buffer, value, LEG)["leg"] = state["legs"]
        if state["legs"] == 1:
            state["first_leg"] = value
        state["last_leg"] = value
    return value


@kernel
def finish(drafts: NativeDrafts) -> None:
    """End the open message, if one is: an order learns its legs; it is checked; `seal_draft` seals it."""
    state = drafts.state[0]
    if state["begun"] == 0 or state["status"] != FINE:
        return
    if state["order_at"] != 0:
        finish_order(drafts)
    start, end = int(state["starts"][state["messages"]]), int(state["end"])
    record_at(drafts.buffer, start, HEADER)["payload_size"] = end - start - HEADER_SIZE
    if check_message(drafts.buffer, start, end, False) != OK:
        note_fault(drafts, MALFORMED)
        return
    state["begun"] = state["order_at"] = 0
    state["messages"] += 1
    state["starts"][state["messages"]] = end


@inline_kernel
def seal_draft(drafts: NativeDrafts, number: int, sequence: int, timestamp_ns: int) -> tuple[int, int]:
    """Give the `number`-th message its sequence, time and checksum; (start, end) of it in the buffer."""
    starts = drafts.state[0]["starts"]
    start, end = int(starts[number]), int(starts[number + 1])
    header = record_at(drafts.buffer, start, HEADER)
    header["sequence"], header["timestamp_ns"] = sequence, timestamp_ns
    seal(drafts.buffer, start, end)
    return start, end


@kernel
def finish_order(drafts: NativeDrafts) -> None:
    """Write into the open order what its legs say."""
    state, buf = drafts.state[0], drafts.buffer
    if state["legs"] == 0:
        note_fault(drafts, NO_LEG)
        return
    at, first, last = int(state["order_at"]), int(state["first_leg"]), int(state["last_leg"])
    request = record_at(buf, at, REQUEST)
    request["legs"] = state["legs"]
    copy_bytes(request["token_in"], 0, record_at(buf, first, LEG)["token_in"], 0, TOKEN_BYTES)
    copy_bytes(request["token_out"], 0, record_at(buf, last, LEG)["token_out"], 0, TOKEN_BYTES)


@inline_kernel
def begin_message(drafts: NativeDrafts, domain: int) -> None:
    """End the open message and begin one of `domain`."""
    finish(drafts)
    state = drafts.state[0]
    end = int(state["end"])
    if state["messages"] >= MESSAGES_PER_FRAME or end > ROOM - HEADER_SIZE:
        note_fault(drafts, FLOOD)
    if state["status"] != FINE:
        return
    state["end"] = put_header(drafts.buffer, end, domain, int(state["source"]), 0, 0, 0)
    state["begun"] = 1
    state["order_at"] = state["legs"] = 0


@inline_kernel
def id_of_next(drafts: NativeDrafts, frame: NativeFrame) -> Any:
    """The id of the message that is open, a uint64."""
    state = drafts.state[0]
    return native_signal_id(
        state["hashing"], state["name"], int(state["version"]), frame.sequence, int(state["messages"]), state["ring"]
    )


@inline_kernel
def signal(drafts: NativeDrafts, frame: NativeFrame, receive_time_ns: int) -> Any:
    """Begin a signal on `frame`: its SignalIdentity is written, your records follow with `add`; its id, a uint64.

    receive_time_ns: of the event behind it (its EventOrigin has it), 0 if there is none.
    """
    begin_message(drafts, SIGNAL)
    at = begin_record(drafts, IDENTITY_TYPE, IDENTITY_SIZE)
    identity, state = record_at(drafts.buffer, at, IDENTITY), drafts.state[0]
    identity["signal_id"] = number = id_of_next(drafts, frame)
    identity["trigger_sequence"] = frame.sequence
    identity["trigger_receive_time_ns"] = receive_time_ns
    copy_bytes(identity["trigger_ring"], 0, state["ring"], 0, RING_BYTES)
    copy_bytes(identity["strategy"], 0, state["name"], 0, NAME_BYTES)
    identity["strategy_version"] = state["version"]
    return number


@kernel
def begin_order(
    drafts: NativeDrafts, frame: NativeFrame, block_number: int, expires_block: int, receive_time_ns: int
) -> Any:
    """Begin an order decided on the state of `block_number`, to be filled up to `expires_block`: its OrderRequest.

    Fill `amount_in` and, if you want, `min_amount_out`; then add one OrderLeg for each swap, with pool, token_in and
    token_out.  Ids, the legs' numbers and the order's tokens are written for you.
    """
    begin_message(drafts, EXECUTION)
    at = begin_record(drafts, REQUEST_TYPE, REQUEST_SIZE)
    request, state = record_at(drafts.buffer, at, REQUEST), drafts.state[0]
    state["order_at"] = at
    request["order_id"] = id_of_next(drafts, frame)
    request["trigger_sequence"] = frame.sequence
    request["trigger_receive_time_ns"] = receive_time_ns
    request["block_number"], request["expires_block"] = block_number, expires_block
    copy_bytes(request["trigger_ring"], 0, state["ring"], 0, RING_BYTES)
    copy_bytes(request["strategy"], 0, state["name"], 0, NAME_BYTES)
    request["strategy_version"] = state["version"]
    return request


compile_with("consumers.native.instructions")
