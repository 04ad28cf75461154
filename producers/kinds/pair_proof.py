"""The proof of pools that are their own contract, of two tokens, made by a factory: Uniswap V2 and V3 and their like.

Owns the rule.

    token0, token1, and what its kinds ask (V3: fee)
         |
         +--> CREATE2 over the factories with an init code hash --match--> PROVEN
         |                                   |
         | reverts, is silent, or says       +--no match--> factory() --> a factory without one: its lookup
         | what is no address                                    |            --this pool--> PROVEN
         +--> FALSE                                              +--> a configured one did not make it: FALSE
                                                                 +--> another: UNSUPPORTED

A contract that has no `factory()` is looked up at every factory without an init code hash.  A lookup that says zero
says nothing: a node that lags does too; nor do a pool's tick spacing of zero, and that a pair is not stable.  A proof
for a pool holds from whatever block it came: what a pool says of itself never changes, and a contract that lies
computes to another address, or is not known to its factory.
"""

from __future__ import annotations

from collections.abc import Sequence

from producers.kinds.proving import Case, Maker, Proven, Refuted, Standing, Verdict, address_in, word_of
from producers.node import view_calls as view
from producers.node.call_program import Question
from producers.node.calls_at import Answer
from tlv.codes import Curve

OWN = "own"
"""`producers.kinds.kind.Fee.OWN`, which stands on this file."""
FEE_LIMIT = 1_000_000
LARGEST_SPACING = (1 << 15) - 1
Words = dict[str, int | None]
"""What a pool answered, by call data; None = no word."""


def prove_pair(case: Case) -> Verdict | None:
    """The verdict over a pool of two tokens."""
    tokens = [case.ask(Question(case.address, call), zero_is_none=True) for call in (view.TOKEN0, view.TOKEN1)]
    own = {
        call: case.ask(Question(case.address, call), zero_is_none=call == view.TICK_SPACING)
        for call in _calls_of(case.factories)
    }
    for call, answer in zip((view.TOKEN0, view.TOKEN1), tokens, strict=True):
        if answer is not None and address_in(answer) is None:
            return Refuted(Standing.FALSE, (Question(case.address, call),))
    token0, token1 = map(address_in, tokens)
    if token0 is None or token1 is None:
        return None
    words = {call: word_of(answer) for call, answer in own.items()}
    made = _by_address(case, token0, token1, words)
    if made is not None:
        return _proven(case, made[0], token0, token1, made[1])
    if None in own.values():
        return None
    question = Question(case.address, view.FACTORY)
    answer = case.ask(question, zero_is_none=True)
    if answer is None:
        return None
    named = address_in(answer)
    asked = [
        (factory, reading, lookup)
        for factory in case.factories
        if factory.init_code_hash is None and named in (None, bytes.fromhex(factory.address[2:]))
        for reading in _readings(factory, words)
        if (lookup := _lookup(factory, token0, token1, reading)) is not None
    ]
    found = [case.ask(lookup, zero_is_none=True) for *_, lookup in asked]
    for (factory, reading, _), pool in zip(asked, found, strict=True):
        if address_in(pool or None) == bytes.fromhex(case.address[2:]) and token0 < token1:
            return _proven(case, factory, token0, token1, reading)
    if None in found:
        return None
    ours = named is None or f"0x{named.hex()}" in case.configured
    first = (*(Question(case.address, call) for call in (view.TOKEN0, view.TOKEN1, *own)), question)
    rests_on = (*first, *(lookup for *_, lookup in asked))
    return Refuted(Standing.FALSE if ours else Standing.UNSUPPORTED, rests_on, named or bytes(20))


def _calls_of(factories: Sequence[Maker]) -> list[str]:
    """What the kinds of these factories ask of a pool, besides its tokens."""
    calls: dict[str, None] = {}
    for factory in factories:
        calls |= dict.fromkeys(map(view.selector, factory.kind.proof.functions))
        if factory.kind.fee.value == OWN:
            calls[view.FEE] = None
    return list(calls)


def _readings(factory: Maker, words: Words) -> list[Words]:
    """What the pool may have answered: that a pair is not stable, a storage that is not there says too."""
    if factory.kind.stable_curve and words[view.STABLE] == 0:
        return [words, words | {view.STABLE: 1}]
    return [words]


def _known_words(factory: Maker, words: Words) -> list[int] | None:
    """What the pool answered to what its kind asks; None if one is no word."""
    known = [words[view.selector(name)] for name in factory.kind.proof.functions]
    found = [word for word in known if word is not None]
    return found if len(found) == len(known) else None


def _by_address(case: Case, token0: bytes, token1: bytes, words: Words) -> tuple[Maker, Words] | None:
    """The factory whose pool for these tokens has this address by CREATE2, and what the pool must have answered."""
    if token0 >= token1 or (words.get(view.FEE) or 0) >= FEE_LIMIT:
        return None
    wanted = bytes.fromhex(case.address[2:])
    for factory in case.factories:
        if factory.init_code_hash is None or factory.kind.proof.salt is None:
            continue
        for reading in _readings(factory, words):
            known = _known_words(factory, reading)
            if known is not None and factory.pool_address(token0, token1, *known) == wanted:
                return factory, reading
    return None


def _lookup(factory: Maker, token0: bytes, token1: bytes, words: Words) -> Question | None:
    """What a factory is asked about its pool for these tokens; None if the pool refuses to say what it takes, and so is
    none of its."""
    known = _known_words(factory, words)
    if known is None or not factory.lookup_function:
        return None
    return Question(factory.address, view.calling(factory.lookup_function, token0, token1, *known))


def _proven(case: Case, maker: Maker, token0: bytes, token1: bytes, words: Words) -> Verdict | None:
    """The pool, once its tick spacing is known where its kind has one; refuted if it takes all that is paid."""
    stable = words.get(view.STABLE)
    if maker.kind.stable_curve and stable not in (0, 1):
        return None
    fee = maker.fee_pips or ((words.get(view.FEE) or 0) if maker.kind.fee.value == OWN else 0)
    if maker.fee_call:
        answer = case.ask(fee_question(maker, case.address, bool(stable)))
        if answer is None:
            return None
        fee = fee_in(maker, answer)
    if fee >= FEE_LIMIT:
        return Refuted(Standing.FALSE, (Question(case.address, view.FEE),), bytes.fromhex(maker.address[2:]))
    spacing = (maker.kind.spacing_of_fee or {}).get(fee, 0)
    if spacing == 0 and maker.kind.spacing_of_fee is not None:
        answer = case.ask(Question(case.address, view.TICK_SPACING), zero_is_none=True)
        if answer is None:
            return None
        spacing = spacing_in(answer)
    curve = (maker.kind.stable_curve if stable else Curve.VOLATILE) if maker.kind.stable_curve else 0
    return Proven(token0, token1, maker, fee, spacing, curve=curve)


def spacing_in(answer: Answer) -> int:
    """The tick spacing that a pool said; 0, as of one that is not known, where it says none that can be."""
    spacing = word_of(answer) or 0
    return spacing if spacing <= LARGEST_SPACING else 0


def fee_in(factory: Maker, answer: Answer) -> int:
    """The fee that a factory said, in pips; 0, as of one that is not known, where it says none that can be."""
    fee = (word_of(answer) or 0) * factory.kind.fee_unit
    return fee if fee < FEE_LIMIT else 0


def fee_question(factory: Maker, pool: str, stable: bool) -> Question:
    """What a factory is asked for the fee of a pool: of its `fee_call` an address is the pool, a bool whether it is
    stable."""
    assert factory.fee_call is not None
    values: dict[str, int | bytes] = {"address": bytes.fromhex(pool[2:]), "bool": int(stable)}
    types = factory.fee_call.partition("(")[2].rstrip(")").split(",")
    return Question(factory.address, view.calling(factory.fee_call, *(values[one] for one in types if one)))
