"""`eth_call` answered from proven metadata.

Owns the table of the calls that can be answered.  It must never know about blocks: everything in it is fixed at a
contract's creation (a pool's tokens, fee and factory; a token's name, symbol and decimals).

A pool is proven when its address was recomputed from factory, init code and tokens (`CREATE2_verified`), and a pool of
several coins when each coin is the one whose transfers are its recorded events' amounts; its registry says these coins.
About any other contract nothing is known, not even whether a call reverts, so there is no answer in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.recording.rows import PoolRow, TokenRow

PROVEN = "CREATE2_verified"
MOVED = "amounts_match_transfers"
"""How coins are known: in the transactions of its recorded events, the pool received and paid exactly their amounts."""
REVERTS = "revert"
"""In the place of return data: the call is refused."""

# The first four bytes of keccak256 of the signature; a test recomputes them.
SELECTORS = {
    "token0()": "0x0dfe1681",
    "token1()": "0xd21220a7",
    "factory()": "0xc45a0155",
    "fee()": "0xddca3f43",
    "name()": "0x06fdde03",
    "symbol()": "0x95d89b41",
    "decimals()": "0x313ce567",
    "getPair(address,address)": "0xe6a43905",
    "getPool(address,address,uint24)": "0x1698ee82",
    "coins(uint256)": "0xc6610657",
    "underlying_coins(uint256)": "0xb9947eb0",
    "get_coins(address)": "0x9ac90d3d",
    "get_underlying_coins(address)": "0xa77576ef",
}

# Their metadata name the contract that deploys the pools, which is not the one that `factory()` returns.
DEPLOYED_APART = {"QuickSwapV3(Algebra)"}
REGISTRY_COINS = 8
"""What a registry of pools of several coins returns: so many addresses, zeros behind a pool's own."""
WITH_FEE_TIERS = {"UniswapV3", "SushiSwapV3", "RetroV3"}

Answer = tuple[str, str, str]


def answers(pools: Iterable[PoolRow], tokens: Iterable[TokenRow]) -> dict[tuple[str, str], str]:
    """What every answerable call returns, by (contract, call data): lower-case hex with 0x, or `REVERTS`."""
    table = {}
    for pool in pools:
        if pool.method == PROVEN:
            table.update({(to, data): result for to, data, result in _pool_answers(pool)})
        elif pool.method == MOVED:
            table.update({(to, data): result for to, data, result in _coin_answers(pool)})
    for token in tokens:
        table.update({(to, data): result for to, data, result in _token_answers(token)})
    return table


def _pool_answers(pool: PoolRow) -> Iterator[Answer]:
    if pool.token0 is None or pool.token1 is None:
        return
    yield pool.pool, SELECTORS["token0()"], "0x" + _address(pool.token0)
    yield pool.pool, SELECTORS["token1()"], "0x" + _address(pool.token1)
    tiered = pool.dex in WITH_FEE_TIERS and pool.fee_pips is not None
    if tiered:
        yield pool.pool, SELECTORS["fee()"], "0x" + _word(pool.fee_pips or 0)
    factory = pool.factory_or_deployer
    if factory is None or pool.dex in DEPLOYED_APART:
        return
    yield pool.pool, SELECTORS["factory()"], "0x" + _address(factory)
    for one, other in ((pool.token0, pool.token1), (pool.token1, pool.token0)):
        pair = _address(one) + _address(other)
        if tiered:
            lookup = SELECTORS["getPool(address,address,uint24)"] + pair + _word(pool.fee_pips or 0)
        else:
            lookup = SELECTORS["getPair(address,address)"] + pair
        yield factory, lookup, "0x" + _address(pool.pool)


def _coin_answers(pool: PoolRow) -> Iterator[Answer]:
    for call, coins in (("coins(uint256)", pool.coins), ("underlying_coins(uint256)", pool.underlying_coins)):
        for index, coin in enumerate(coins):
            yield pool.pool, SELECTORS[call] + _word(index), "0x" + _address(coin)
        if coins:
            yield pool.pool, SELECTORS[call] + _word(len(coins)), REVERTS
        if coins and pool.factory_or_deployer is not None:
            listed = "".join(map(_address, coins)).ljust(64 * REGISTRY_COINS, "0")
            yield pool.factory_or_deployer, SELECTORS[f"get_{call[:-9]}(address)"] + _address(pool.pool), "0x" + listed


def _token_answers(token: TokenRow) -> Iterator[Answer]:
    if token.decimals is not None:
        yield token.address, SELECTORS["decimals()"], "0x" + _word(token.decimals)
    for call, text in (("symbol()", token.symbol), ("name()", token.name)):
        if text is not None:
            yield token.address, SELECTORS[call], "0x" + _string(text)


def _word(value: int) -> str:
    return f"{value:064x}"


def _address(address: str) -> str:
    return address[2:].rjust(64, "0")


def _string(text: str) -> str:
    """ABI encoding of one dynamic string: its offset, its length, its bytes padded to full words."""
    content = text.encode()
    padded = content.hex().ljust(-(-len(content) // 32) * 64, "0")
    return _word(32) + _word(len(content)) + padded
