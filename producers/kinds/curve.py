"""Curve: pools of two to eight coins, which their events name by index.

Three forms of TokenExchange are deployed: indices as int128 (stable pools, old and ng), as uint256 (crypto pools),
and with fee and price scale behind them (tricrypto-ng, twocrypto-ng).  TokenExchangeUnderlying counts other coins:
those beneath a lending pool's, or a metapool's first coin and then its base pool's; so a swap of underlying coins is
told as a pair of its own.  Of a metapool it may be both coins of the base pool: then the base pool logs the same
trade itself.

A pool is proven by a registry or factory of the chain file that knows it: all of them have `get_coins(address)`, one or
another form, which is zeros, empty or reverts for a contract that is not theirs.  Zeros and a list of none say nothing,
as a node that lags says them too: a pool that some registry answers so, and none knows, stays unproven.  A pool's price
follows from balances, amplification, rates and dynamic fees that no swap says: there is **no quote**.

Sources: curvefi/curve-contract StableSwap templates, curve-contract-polygon StableSwapAave, curve-crypto-contract
CurveCryptoSwap, stableswap-ng CurveStableSwapNG and CurveStableSwapMetaNG, tricrypto-ng CurveTricryptoOptimizedWETH
(events); curve-pool-registry Registry and CryptoRegistry, curve-factory FactorySidechains, stableswap-ng
CurveStableSwapFactoryNG, tricrypto-ng CurveTricryptoFactory, metaregistry MetaRegistry (`get_coins`).
"""

from __future__ import annotations

from producers.kinds.events import UNDERLYING, Role, event
from producers.kinds.kind import Fee, PoolKind, Proof
from producers.kinds.proving import Case, Proven, Refuted, Standing, Verdict, address_in, addresses_in, ordered
from producers.node import view_calls as view
from producers.node.call_program import Question
from tlv.codes import Protocol
from tlv.layout import PoolSwap

MOST_COINS = 8
LIST_WORDS = 2 + MOST_COINS
"""A list's offset and count, and the coins; or eight coins."""


def prove(case: Case) -> Verdict | None:
    """By a configured registry that knows the pool, and the pool's own `coins`."""
    if case.coins is None or case.coins[0] == case.coins[1]:
        return Refuted(Standing.FALSE)
    underlying = bool(case.coins[0] & UNDERLYING)
    indices = [coin & ~UNDERLYING for coin in case.coins]
    if max(indices) >= MOST_COINS:
        return Refuted(Standing.FALSE)
    own = [case.of_pool("coins(uint256)", index) for index in ([0] if underlying else indices)]
    function = "get_underlying_coins(address)" if underlying else "get_coins(address)"
    lists = [Question(factory.address, view.calling(function, _pool(case)), LIST_WORDS) for factory in case.factories]
    claims, known = ([case.ask(question, zero_is_none=True) for question in some] for some in (own, lists))
    if None in claims:
        return None
    claimed = [address_in(claim) for claim in claims if isinstance(claim, str)]  # the first pools take an int128
    if None in claimed:
        return Refuted(Standing.FALSE, tuple(own))
    for factory, question, answer in zip(case.factories, lists, known, strict=True):
        coins = addresses_in(answer) or []
        if not coins:
            continue
        if max(indices) >= len(coins):
            return Refuted(Standing.FALSE, (question,))
        coin_in, coin_out = (coins[index] for index in indices)
        pair = ordered((int.from_bytes(coin_in, "big"), int.from_bytes(coin_out, "big")))
        if pair is None or (claimed and not underlying and claimed != [coin_in, coin_out]):
            return Refuted(Standing.FALSE, (*own, question))
        several = tuple(coins) if len(coins) > 2 else ()
        return Proven(pair.token0, pair.token1, factory, flipped=pair.flipped, coins=several)
    return None if None in known else Refuted(Standing.UNSUPPORTED, (*own, *lists))


def _pool(case: Case) -> bytes:
    return bytes.fromhex(case.address[2:])


EXCHANGE = (
    "{name}(address indexed sender, {index} {coin}_in, uint256 amount_in, {index} {coin}_out, uint256 amount_out{more})"
)


KIND = PoolKind(
    name="CURVE",
    code=Protocol.CURVE,
    events=tuple(
        event("swap", Role.POOL, PoolSwap, EXCHANGE.format(name=name, index=index, coin=coin, more=more))
        for name, index, coin, more in (
            ("TokenExchange", "int128", "coin", ""),
            ("TokenExchange", "uint256", "coin", ""),
            ("TokenExchange", "uint256", "coin", ", uint256 _, uint256 _"),
            ("TokenExchangeUnderlying", "int128", "underlying", ""),
        )
    ),
    proof=Proof(),
    fee=Fee.DYNAMIC,
    state=None,
    prove=prove,
    proven="`get_coins(address)` of a registry, which must agree with its own `coins(uint256)`",
)
