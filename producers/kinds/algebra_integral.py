"""Algebra Integral, as QuickSwap V4 runs it: concentrated liquidity whose fee a plugin may set anew for each swap.

Pools of two forms are deployed.  That of integral-core 1.2.10 emits Uniswap V3's Swap and Burn word for word, and
says fees in a SwapFee of its own; the other appends `overrideFee` and `pluginFee` to Swap, and `pluginFee` to Burn.
Where no plugin overrides it, a swap pays the pool's `lastFee`, which its event does not repeat.  So `fee_pips` is 0
here, what the next swap pays is a plugin's to say, and there is **no quote**.

A factory has one pool for two tokens, and one more for each of its custom deployers, whose address is part of the
CREATE2 salt.  A pool does not say who its deployer is: a chain file names those that count (`custom_deployers`).

Sources: cryptoalgebra/Algebra (integral) IAlgebraPoolEvents, IAlgebraPoolState, AlgebraFactory.computePoolAddress
and computeCustomPoolAddress, AlgebraPoolDeployer.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds import algebra
from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.pair_proof import prove_pair, spacing_in
from producers.kinds.proving import Case, Maker, Proven, Verdict, address_in
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state
from producers.node import view_calls as view
from producers.node.call_program import Question
from tlv.codes import Protocol
from tlv.layout import PoolBurn, PoolCreated, PoolSwap

CUSTOM_LOOKUP = "customPoolByPair(address,address,address)"


def salt(token0: bytes, token1: bytes, words: tuple[int, ...]) -> bytes:
    """Hash of the ABI-encoded tokens, behind the custom deployer's address if one is given."""
    parts = (*(word.to_bytes(32, "big") for word in words), token0.rjust(32, b"\0"), token1.rjust(32, b"\0"))
    return keccak(b"".join(parts))


def prove(case: Case) -> Verdict | None:
    """As a pair's; one that its factory does not have under its tokens alone is sought among the custom ones."""
    verdict = prove_pair(case)
    makers = [factory for factory in case.factories if factory.custom_deployers]
    token0, token1 = (
        address_in(case.ask(Question(case.address, call), zero_is_none=True)) for call in (view.TOKEN0, view.TOKEN1)
    )
    if isinstance(verdict, Proven) or not makers or token0 is None or token1 is None or token0 >= token1:
        return verdict
    wanted = bytes.fromhex(case.address[2:])
    for factory in makers:
        deployers = [int(deployer, 16) for deployer in factory.custom_deployers]
        if factory.init_code_hash is not None and wanted in (
            factory.pool_address(token0, token1, deployer) for deployer in deployers
        ):
            return _custom(case, factory, token0, token1)
    said = case.ask(Question(case.address, view.FACTORY), zero_is_none=True)
    if said is None:
        return None
    asked = [
        (factory, Question(factory.address, view.calling(CUSTOM_LOOKUP, bytes.fromhex(deployer[2:]), token0, token1)))
        for factory in makers
        if factory.init_code_hash is None and address_in(said) in (None, bytes.fromhex(factory.address[2:]))
        for deployer in factory.custom_deployers
    ]
    found = [case.ask(lookup, zero_is_none=True) for _, lookup in asked]
    for (factory, _), answer in zip(asked, found, strict=True):
        if address_in(answer) == wanted:
            return _custom(case, factory, token0, token1)
    if verdict is None or None in found:
        return None
    return verdict._replace(rests_on=(*verdict.rests_on, *(lookup for _, lookup in asked)))


def _custom(case: Case, factory: Maker, token0: bytes, token1: bytes) -> Verdict | None:
    """A pool of a custom deployer, once its tick spacing is known."""
    spacing = case.ask(Question(case.address, view.TICK_SPACING), zero_is_none=True)
    return None if spacing is None else Proven(token0, token1, factory, 0, spacing_in(spacing))


KIND = PoolKind(
    name="ALGEBRA_INTEGRAL",
    code=Protocol.ALGEBRA_INTEGRAL,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, "
            "uint160 sqrt_price_x96, uint128 liquidity, int24 tick, uint24 _, uint24 _)",
        ),
        event(
            "burn",
            Role.POOL,
            PoolBurn,
            "Burn(address indexed owner, int24 indexed tick_lower, int24 indexed tick_upper, "
            "uint128 amount, uint256 amount0, uint256 amount1, uint24 _)",
        ),
        event(
            "pool_created",
            Role.FACTORY,
            PoolCreated,
            "CustomPool(address indexed _, address indexed token0, address indexed token1, address pool)",
        ),
    ),
    shares=(*POOL_EVENTS, *algebra.FACTORY_EVENTS),
    proof=Proof(salt, lookup="poolByPair(address,address)"),
    fee=Fee.DYNAMIC,
    state=StateRule(("globalState()", "liquidity()"), read_state),
    spacing_of_fee={},
    factory_keys=("custom_deployers",),
    prove=prove,
    proven="its address (CREATE2), or `poolByPair` or `customPoolByPair` of the factory",
)
