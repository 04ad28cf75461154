"""Balancer V2: one Vault holds the coins of all pools and emits their swaps; a pool is named by an id of 32 bytes.

The first 20 bytes of an id are the pool's own contract, which prices; the Vault gave them out when it registered the
pool.  Weighted and stable pools swap alike here.  A composable stable pool counts its own share (BPT) among its
coins: a swap into or out of the BPT is a join or an exit of one coin, and is told as the swap that the Vault logs.
Joins and exits of the other form (PoolBalanceChanged) move several coins in one event and are no swaps.  A price
follows from balances, weights, amplification and rate providers, which no event says: there is **no quote**.

Sources: balancer/balancer-v2-monorepo IVault (Swap, getPool, getPoolTokens), PoolRegistry._toPoolId.
"""

from __future__ import annotations

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof
from producers.kinds.proving import Case, Proven, Refuted, Standing, Verdict, addresses_in, hub_of, ordered
from producers.node import view_calls as view
from producers.node.call_program import Question
from tlv.codes import Protocol
from tlv.layout import PoolSwap

MOST_TOKENS = 50
"""Of a managed pool; others have eight at most."""
TOKENS_WORDS = 3 + 2 * (1 + MOST_TOKENS)
"""getPoolTokens: two offsets and a block number, then tokens and balances with their counts."""
ADDRESS_BYTES = 20


def prove(case: Case) -> Verdict | None:
    """By the configured Vault's own word about the id.  It logs swaps of no pool that it does not have: where it says
    that it has none of this id, a node lacks its state."""
    vault = hub_of(case)
    if vault is None:
        return Refuted(Standing.UNSUPPORTED)
    pair = ordered(case.coins)
    if pair is None or len(case.pool_id) != 32:
        return Refuted(Standing.FALSE)
    registered = Question(vault.address, view.calling("getPool(bytes32)", case.pool_id), 2)
    listed = Question(vault.address, view.calling("getPoolTokens(bytes32)", case.pool_id), TOKENS_WORDS)
    said = [case.ask(question, zero_is_none=True, revert_is_none=True) for question in (registered, listed)]
    if None in said:
        return None
    pool = said[0].removeprefix("0x")[24:64] if isinstance(said[0], str) else ""
    tokens = addresses_in(said[1])
    if pool != case.pool_id[:ADDRESS_BYTES].hex() or tokens is None or not {pair.token0, pair.token1} <= set(tokens):
        return Refuted(Standing.FALSE, (registered, listed))
    coins = tuple(tokens) if len(tokens) > 2 else ()
    return Proven(pair.token0, pair.token1, vault, flipped=pair.flipped, coins=coins)


KIND = PoolKind(
    name="BALANCER_V2",
    code=Protocol.BALANCER_V2,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(bytes32 indexed pool, address indexed coin_in, address indexed coin_out, "
            "uint256 amount_in, uint256 amount_out)",
        ),
    ),
    proof=Proof(),
    fee=Fee.DYNAMIC,
    state=None,
    prove=prove,
    proven="`getPool(bytes32)` and `getPoolTokens(bytes32)` of the Vault, which is the emitter",
)
