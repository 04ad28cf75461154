"""DODO V2: pools of a base and a quote token (DVM, DPP, DSP, GSP), priced by a maker's curve.

All of them emit DODOSwap, without an indexed argument.  A pool is proven by a factory's `getDODOPool(base, quote)`,
which lists the pools of these two, in this order; a list of none says nothing, as a node that lags says it too.  DODO
V1 has other events, and none on Polygon.  Price and depth follow from targets, guide price and fee models that no swap
says: there is **no quote**.

Sources: DODOEX/contractV2 DVMTrader, DPPTrader, DSPTrader, GSPTrader (DODOSwap), DVMFactory, DPPFactory, DSPFactory,
GSPFactory (getDODOPool).
"""

from __future__ import annotations

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof
from producers.kinds.proving import (
    Case,
    Proven,
    Refuted,
    Standing,
    Verdict,
    address_in,
    addresses_in,
    ordered,
    words_of,
)
from producers.node import view_calls as view
from producers.node.call_program import Question
from tlv.codes import Protocol
from tlv.layout import PoolSwap

LOOKUP = "getDODOPool(address,address)"
LIST_WORDS = 120
"""As many pools of two tokens, less two words, can be seen; of more it cannot be said that one is not there."""


def prove(case: Case) -> Verdict | None:
    """By the factory that lists it under its own two tokens."""
    pair = ordered(case.coins)
    if pair is None:
        return Refuted(Standing.FALSE)
    own = [case.of_pool("_BASE_TOKEN_()"), case.of_pool("_QUOTE_TOKEN_()")]
    said = [case.ask(question, zero_is_none=True) for question in own]
    if None in said:
        return None
    base, quote = map(address_in, said)
    if base is None or quote is None or {base, quote} != {pair.token0, pair.token1}:
        return Refuted(Standing.FALSE, tuple(own))
    lists = [
        Question(factory.address, view.calling(factory.lookup_function or LOOKUP, base, quote), LIST_WORDS)
        for factory in case.factories
    ]
    open_list = False
    for factory, question in zip(case.factories, lists, strict=True):
        answer = case.ask(question, zero_is_none=True)
        if int(case.address, 16) in words_of(answer):
            return Proven(pair.token0, pair.token1, factory, flipped=pair.flipped)
        open_list = open_list or answer is None or (isinstance(answer, str) and addresses_in(answer) is None)
    return None if open_list else Refuted(Standing.UNSUPPORTED, (*own, *lists))


KIND = PoolKind(
    name="DODO",
    code=Protocol.DODO,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "DODOSwap(address coin_in, address coin_out, uint256 amount_in, uint256 amount_out, "
            "address sender, address recipient)",
        ),
    ),
    proof=Proof(),
    fee=Fee.DYNAMIC,
    state=None,
    factory_keys=("lookup",),
    prove=prove,
    proven="`getDODOPool(address,address)` of a factory",
)
