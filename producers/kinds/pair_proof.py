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
says nothing: a node that lags does too.  A proof for a pool holds from whatever block it came: what a pool says of
itself never changes, and a contract that lies computes to another address, or is not known to its factory.
"""

from __future__ import annotations

from collections.abc import Sequence

from producers.kinds.proving import Case, Maker, Proven, Refuted, Standing, Verdict, address_in, word_of
from producers.node import view_calls as view
from producers.node.call_program import Question

OWN = "own"
"""`producers.kinds.kind.Fee.OWN`, which stands on this file."""
FEE_LIMIT = 1_000_000
LARGEST_SPACING = (1 << 15) - 1


def prove_pair(case: Case) -> Verdict | None:
    """The verdict over a pool of two tokens."""
    tokens = [case.ask(Question(case.address, call), zero_is_none=True) for call in (view.TOKEN0, view.TOKEN1)]
    own = {call: case.ask(Question(case.address, call)) for call in _calls_of(case.factories)}
    for call, answer in zip((view.TOKEN0, view.TOKEN1), tokens, strict=True):
        if answer is not None and address_in(answer) is None:
            return Refuted(Standing.FALSE, (Question(case.address, call),))
    token0, token1 = map(address_in, tokens)
    if token0 is None or token1 is None or None in own.values():
        return None
    words = {call: word_of(answer) for call, answer in own.items()}
    maker = _by_address(case, token0, token1, words)
    if maker is not None:
        return _proven(case, maker, token0, token1, words)
    question = Question(case.address, view.FACTORY)
    answer = case.ask(question, zero_is_none=True)
    if answer is None:
        return None
    named = address_in(answer)
    asked = [
        factory
        for factory in case.factories
        if factory.init_code_hash is None and named in (None, bytes.fromhex(factory.address[2:]))
    ]
    lookups = [_lookup(factory, token0, token1, words) for factory in asked]
    found = [lookup and case.ask(lookup, zero_is_none=True) for lookup in lookups]
    for factory, pool in zip(asked, found, strict=True):
        if address_in(pool or None) == bytes.fromhex(case.address[2:]) and token0 < token1:
            return _proven(case, factory, token0, token1, words)
    if None in found:
        return None
    ours = named is None or f"0x{named.hex()}" in case.configured
    first = (*(Question(case.address, call) for call in (view.TOKEN0, view.TOKEN1, *own)), question)
    rests_on = (*first, *(lookup for lookup in lookups if lookup))
    return Refuted(Standing.FALSE if ours else Standing.UNSUPPORTED, rests_on, named or bytes(20))


def _calls_of(factories: Sequence[Maker]) -> list[str]:
    """What the kinds of these factories ask of a pool, besides its tokens."""
    calls: dict[str, None] = {}
    for factory in factories:
        calls |= dict.fromkeys(map(view.selector, factory.kind.proof.functions))
        if factory.kind.fee.value == OWN:
            calls[view.FEE] = None
    return list(calls)


def _known_words(factory: Maker, words: dict[str, int | None]) -> list[int] | None:
    """What the pool answered to what its kind asks; None if one is no word."""
    known = [words[view.selector(name)] for name in factory.kind.proof.functions]
    found = [word for word in known if word is not None]
    return found if len(found) == len(known) else None


def _by_address(case: Case, token0: bytes, token1: bytes, words: dict[str, int | None]) -> Maker | None:
    """The factory whose pool for these tokens has this address by CREATE2."""
    if token0 >= token1 or (words.get(view.FEE) or 0) >= FEE_LIMIT:
        return None
    wanted = bytes.fromhex(case.address[2:])
    for factory in case.factories:
        known = _known_words(factory, words)
        if known is None or factory.init_code_hash is None or factory.kind.proof.salt is None:
            continue
        if factory.pool_address(token0, token1, *known) == wanted:
            return factory
    return None


def _lookup(factory: Maker, token0: bytes, token1: bytes, words: dict[str, int | None]) -> Question | None:
    """What a factory is asked about its pool for these tokens; None if the pool did not say what it takes."""
    known = _known_words(factory, words)
    if known is None or not factory.lookup_function:
        return None
    return Question(factory.address, view.calling(factory.lookup_function, token0, token1, *known))


def _proven(case: Case, maker: Maker, token0: bytes, token1: bytes, words: dict[str, int | None]) -> Proven | None:
    """The pool, once its tick spacing is known where its kind has one."""
    fee = maker.fee_pips or ((words.get(view.FEE) or 0) if maker.kind.fee.value == OWN else 0)
    if fee >= FEE_LIMIT:
        return None
    spacing = (maker.kind.spacing_of_fee or {}).get(fee, 0)
    if spacing == 0 and maker.kind.spacing_of_fee is not None:
        answer = case.ask(Question(case.address, view.TICK_SPACING))
        if answer is None:
            return None
        spacing = word_of(answer) or 0
    return Proven(token0, token1, maker, fee, spacing if spacing <= LARGEST_SPACING else 0)
