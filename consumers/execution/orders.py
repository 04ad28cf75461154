"""From the messages of a strategy's ring to orders: an ArbitrageSignal and an OrderRequest are one thing from here on.

Owns what makes an order malformed.  Knows no pool's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from tlv.codes import OrderReason
from tlv.errors import FrameError
from tlv.layout import (
    ArbitrageSignal,
    CycleLeg,
    OrderLeg,
    OrderRequest,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import Message, parse

MOST_LEGS = 8
"""No route in use has more; each leg is a swap that is computed exactly."""


class OrderKey(NamedTuple):
    """An order's identity: the frame that asked for it."""

    ring: bytes
    sequence: int


class PlannedSwap(NamedTuple):
    """One leg of an order; `expected_out` is 0 if its strategy states none."""

    pool: bytes
    token_in: bytes
    token_out: bytes
    expected_out: int


class Order(msgspec.Struct, frozen=True):
    """What a strategy wants to be swapped."""

    key: OrderKey
    order_id: int
    strategy: str
    opportunity: int
    """Of an ArbitrageSignal; 0 of an OrderRequest."""
    block_number: int
    """The block whose state it was decided on."""
    expires_block: int
    amount_in: int
    min_amount_out: int
    expected_out: int
    legs: tuple[PlannedSwap, ...]
    trigger_ring: bytes
    trigger_sequence: int
    received_ns: int
    """When the event behind it came to the collector, by its wall clock; 0 if that is not known."""
    published_ns: int
    """When the order was published, by the strategy's wall clock."""
    fault: OrderReason = OrderReason.NONE

    @property
    def token_in(self) -> bytes:
        """What goes in; zeros of an order without legs."""
        return self.legs[0].token_in if self.legs else bytes(20)

    @property
    def token_out(self) -> bytes:
        """What comes out."""
        return self.legs[-1].token_out if self.legs else bytes(20)

    @property
    def is_round_trip(self) -> bool:
        """Whether it ends with the token that it began with."""
        return self.token_in == self.token_out


class Withdrawal(NamedTuple):
    """A strategy takes a signal back, as of a block; by a withdrawal, or by a newer signal."""

    signal_id: int
    block_number: int
    trigger_ring: bytes
    trigger_sequence: int


def read_order(
    payload: bytes | memoryview, ring: bytes, sequence: int, published_ns: int, min_gross_percent: int = 0
) -> Order | Withdrawal | None:
    """What a message of a strategy's ring asks for; None if it is of another kind.

    Raises:
        FrameError: the bytes are no message.
    """
    message = parse(payload)
    key = OrderKey(ring, sequence)
    request, identity = message.first(OrderRequest), message.first(SignalIdentity)
    if request is not None:
        return _of_request(request, message, key, published_ns)
    signal, withdrawn = message.first(ArbitrageSignal), message.first(SignalWithdrawn)
    if signal is not None:
        if identity is None:
            raise FrameError("expected a SignalIdentity in front of an ArbitrageSignal, found none")
        return _of_signal(identity, signal, message, key, published_ns, min_gross_percent)
    if withdrawn is not None:
        trigger = (identity.trigger_ring, identity.trigger_sequence) if identity else (bytes(16), 0)
        return Withdrawal(withdrawn.signal_id, withdrawn.block_number, *trigger)
    return None


def _of_request(request: OrderRequest, message: Message, key: OrderKey, published_ns: int) -> Order:
    found = [record for record in message.records if isinstance(record, OrderLeg)]
    legs = tuple(PlannedSwap(leg.pool, leg.token_in, leg.token_out, 0) for leg in found)
    sound = (
        _joined(legs, [leg.leg for leg in found], request.legs)
        and request.amount_in > 0
        and (request.token_in, request.token_out) == (legs[0].token_in, legs[-1].token_out)
        and request.expires_block > request.block_number >= 0
    )
    return Order(
        key=key,
        order_id=request.order_id,
        strategy=request.strategy,
        opportunity=0,
        block_number=request.block_number,
        expires_block=request.expires_block,
        amount_in=request.amount_in,
        min_amount_out=request.min_amount_out,
        expected_out=0,
        legs=legs,
        trigger_ring=request.trigger_ring,
        trigger_sequence=request.trigger_sequence,
        received_ns=request.trigger_receive_time_ns,
        published_ns=published_ns,
        fault=OrderReason.NONE if sound else OrderReason.MALFORMED,
    )


def _of_signal(
    identity: SignalIdentity,
    signal: ArbitrageSignal,
    message: Message,
    key: OrderKey,
    published_ns: int,
    min_gross_percent: int,
) -> Order:
    found = [record for record in message.records if isinstance(record, CycleLeg)]
    legs = tuple(PlannedSwap(leg.pool, leg.token_in, leg.token_out, leg.amount_out) for leg in found)
    sound = (
        _joined(legs, [leg.leg for leg in found], signal.legs)
        and signal.amount_in > 0
        and legs[0].token_in == legs[-1].token_out == signal.token_in
        and signal.expires_block > signal.block_number >= 0
    )
    gross = max(signal.amount_out - signal.amount_in, 0)
    return Order(
        key=key,
        order_id=identity.signal_id,
        strategy=identity.strategy,
        opportunity=signal.opportunity,
        block_number=signal.block_number,
        expires_block=signal.expires_block,
        amount_in=signal.amount_in,
        min_amount_out=signal.amount_in + gross * min_gross_percent // 100,
        expected_out=signal.amount_out,
        legs=legs,
        trigger_ring=identity.trigger_ring,
        trigger_sequence=identity.trigger_sequence,
        received_ns=identity.trigger_receive_time_ns,
        published_ns=published_ns,
        fault=OrderReason.NONE if sound else OrderReason.MALFORMED,
    )


def _joined(legs: Sequence[PlannedSwap], numbers: list[int], promised: int) -> bool:
    """Whether the legs are those promised, each begins with what the one before gave, and no pool comes twice."""
    return (
        0 < len(legs) == promised <= MOST_LEGS
        and numbers == list(range(1, promised + 1))
        and all(leg.token_in != leg.token_out for leg in legs)
        and all(leg.token_out == after.token_in for leg, after in pairwise(legs))
        and len({leg.pool for leg in legs}) == len(legs)
    )
