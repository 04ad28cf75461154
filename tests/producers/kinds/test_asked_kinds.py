"""Kinds that are proven by what registries, factories and hubs say: on real swaps, and against contracts that lie.

The swaps are those of the bundled blocks, but for WOOFi's, which stands here.  What a registry answers is computed,
since no bundled block has it: which coins a pool has is public, and that they are the right ones is seen from what
the same transaction transferred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import msgspec
import pytest

from producers.chains.configuration import load_chain
from producers.decode.cold import RefusedLog, decode_log
from producers.kinds.emitter_key import coins_of, id_of, key_of, named_by
from producers.kinds.events import EVENT_OF_TOPIC, UNDERLYING
from producers.kinds.proving import Standing, addresses_in, ordered
from producers.kinds.registry import kind_named
from producers.node.call_program import NOTHING, REVERTED, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import BUNDLED, as_log, rows
from tests.producers.kinds.proofs import Said, address, chain_of, factory_of, inquire, proven, refuted
from tlv.codes import Protocol
from tlv.layout import PoolSwap
from tlv.venues import VENUES

FILES = ("ethereum/full_blocks_17686110-17686121_logs.jsonl.gz", "polygon/recording_2021-04-20_canonical_logs.jsonl.gz")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
NATIVE = "0x" + "ee" * 20
DAI, USDC, USDT, WBTC, WETH = (
    "0x6b175474e89094c44da98b954eedeac495271d0f",
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
    "0xdac17f958d2ee523a2206206994597c13d831ec7",
    "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599",
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
)
STETH = "0xae7ab96520de3a18e5e111b5eaab095312d7fe84"
AM_TOKENS = (
    "0x27f8d03b3a2196956ed754badc28d73be8830a6e",
    "0x1a13f4ca1d028320a707d99520abfefca3998b7f",
    "0x60d55f02a771d515e077c9c2403a1ef324885cec",
)
COINS = {
    "0xbebc44782c7db0a1a60cb6fe97d0b483032ff1c7": (DAI, USDC, USDT),
    "0xd51a44d3fae010294c616388b506acda1bfaae46": (USDT, WBTC, WETH),
    "0xb576491f1e6e5e62f1d8f26062ee822b40b0e0d4": (WETH, "0x4e3fbd56cd56c3e72c1403e103b45db9da5b9d2b"),
    "0xdc24316b9ae028f1497c275eb9192a3ea0f67022": (NATIVE, STETH),
    "0x7f86bf177dd4f3494b841a37e810a34dd56c829b": (USDC, WBTC, WETH),
    "0xf5f5b97624542d72a9e06f04804bf81baa15e2b4": (USDT, WBTC, WETH),
    "0xed279fdd11ca84beef15af5d39bb4d4bee23f0ca": (
        "0x5f98805a4e8be255a32880fdec7f6728c6568ba0",
        "0x6c3f90f043a72fa612cbac8115ee7e52bde6e490",
    ),
    "0x445fe580ef8d70ff569ab36e80c647af338db351": AM_TOKENS,
}
UNDERLYING_COINS = {
    "0xed279fdd11ca84beef15af5d39bb4d4bee23f0ca": (
        "0x5f98805a4e8be255a32880fdec7f6728c6568ba0",
        *(DAI, USDC, USDT),
    ),
    "0x445fe580ef8d70ff569ab36e80c647af338db351": (
        "0x8f3cf7ad23cd3cadbd9735aff958023239c6a063",
        "0x2791bca1f2de4661ed88a30c99a7a9449aa84174",
        "0xc2132d05d31c914a87c6611c10748aeb04b58e8f",
    ),
}
"""The Curve pools of the bundled blocks, with what is public of their coins."""
WOO_SWAP = Log(
    "0x3b3e4b4741e91af52d0e9ad8660573e951c88524",
    (
        "0x0e8e403c2d36126272b08c75823e988381d9dc47f2f0a9a080d95f891d95c469",
        "0x000000000000000000000000b31f66aa3c1e785363f0875a1b74e27b85fd66c7",
        "0x000000000000000000000000b97ef9ef8734c71904d8002f8b6bc66dd9c48a6e",
        "0x0000000000000000000000007c13d4c3e9dfa683e7a5792a9ff20cb5fd22b0c0",
    ),
    "0x"
    "0000000000000000000000000000000000000000000000004bd895685b40b000"
    "0000000000000000000000000000000000000000000000000000000004b22a88"
    "000000000000000000000000d4f65bee477ba1a9b892b23aec3725407035f0a0"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000004b2777d"
    "0000000000000000000000000000000000000000000000000000000000004cf5",
)
"""Avalanche, block 30806758, log 3; its neighbours are the transfers of these amounts to and from the pool."""


@pytest.fixture(scope="module")
def swaps() -> dict[int, list[tuple[Log, dict[str, set[int]]]]]:
    """The swaps of each kind in the bundled blocks, each with the amounts that its transaction moved, by token."""
    moved: dict[Any, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    found = []
    for name in FILES:
        for row in rows(BUNDLED / name):
            if not row["topics"]:
                continue
            if row["topics"][0] == TRANSFER and len(row["data"]) == 66:
                moved[row["transactionHash"]][row["address"]].add(int(row["data"], 16))
            event = EVENT_OF_TOPIC.get(row["topics"][0])
            if event is not None and event.record is PoolSwap:
                found.append((event.protocols[0], as_log(row)))
    of_kind: dict[int, list[tuple[Log, dict[str, set[int]]]]] = defaultdict(list)
    for protocol, log in found:
        of_kind[protocol].append((log, moved[log.transaction_hash]))
    return of_kind


def flows(record: PoolSwap) -> list[tuple[str, int]]:
    """Coin in and its amount, coin out and its amount."""
    token0, token1 = f"0x{record.token0.hex()}", f"0x{record.token1.hex()}"
    if record.amount0_in or record.amount1_out:
        assert record.amount1_in == record.amount0_out == 0
        return [(token0, record.amount0_in), (token1, record.amount1_out)]
    return [(token1, record.amount1_in), (token0, record.amount0_out)]


# Curve


def registry(form: str, to: str = address(9), coins: Any = COINS, beneath: Any = UNDERLYING_COINS) -> Said:
    """A registry that knows the pools of the bundled blocks, and the pools themselves."""
    table: dict[Any, Any] = {}
    for pool, listed in coins.items():
        table[to, ("get_coins(address)", pool)] = listing(form, listed)
        table |= {(pool, ("coins(uint256)", index)): (("address",), (coin,)) for index, coin in enumerate(listed)}
    for pool, listed in beneath.items():
        table[to, ("get_underlying_coins(address)", pool)] = listing(form, listed)
    return Said(table)


def listing(form: str, coins: Any) -> Any:
    """A list of addresses as `form` is returned: of a fixed length with zeros behind, or a dynamic one."""
    size = int(form[8:-1] or 0)
    return (form,), ([*coins, *[address(0)] * (size - len(coins))],)


@pytest.mark.parametrize("form", ["address[8]", "address[]"])
def test_curve_swaps_move_the_coins_that_their_transactions_transferred(swaps: Any, form: str) -> None:
    chain = chain_of(factory_of("CURVE", address(8)), factory_of("CURVE", address(9)))
    said = registry(form)
    beneath = 0
    for log, moved in swaps[Protocol.CURVE]:
        row = proven(chain, log, said)
        record = decode_log(log, row)
        assert isinstance(record, PoolSwap)
        assert (record.venue, record.protocol, record.pool.hex()) == (405, Protocol.CURVE, log.address[2:])
        for token, amount in flows(record):
            assert token in (NATIVE, STETH) or amount in moved[token], (token, log)
        beneath += bool((coins_of(key_of(log)) or (0,))[0] & UNDERLYING)
    assert (len(swaps[Protocol.CURVE]), beneath) == (14, 3)


def test_curve_pool_tells_all_its_coins_and_a_pair_none(swaps: Any) -> None:
    chain, said = chain_of(factory_of("CURVE", address(9))), registry("address[4]")
    for log, _ in swaps[Protocol.CURVE]:
        beneath = bool((coins_of(key_of(log)) or (0,))[0] & UNDERLYING)
        coins = (UNDERLYING_COINS if beneath else COINS)[log.address]
        told = [f"0x{coin.hex()}" for coin in inquire(chain, log, said).coins]
        assert told == (list(coins) if len(coins) > 2 else [])


def exchange(sold: int, bought: int, pool: str = next(iter(COINS)), topic: int = 0) -> Log:
    topics = [topic0 for topic0, event in EVENT_OF_TOPIC.items() if event.solidity_name.startswith("TokenExchange")]
    count = 4 + 2 * (topic == 2)
    words = [sold, 10, bought, 9, 0, 0][:count]
    data = "0x" + "".join(f"{value % (1 << 256):064x}" for value in words)
    return Log(pool, (topics[topic], f"0x{7:064x}"), data)


@pytest.mark.parametrize(("sold", "bought"), [(1, 1), (0, 3), (7, 0), (8, 0), (0, 15), (16, 0), (-1, 0), (1 << 200, 1)])
@pytest.mark.parametrize("topic", [0, 1, 3])
def test_curve_index_that_no_coin_has_is_no_pool(sold: int, bought: int, topic: int) -> None:
    pool = "0x445fe580ef8d70ff569ab36e80c647af338db351"
    chain = chain_of(factory_of("CURVE", address(9)))
    log = exchange(sold, bought, pool, topic)
    inquiry = inquire(chain, log, registry("address[8]"))
    assert inquiry.pool is None
    if max(sold, bought) >= 16 or min(sold, bought) < 0:
        assert key_of(log) == log.address, "it names no pair"


def test_curve_pair_that_cannot_be_is_refused_by_name() -> None:
    chain, said = chain_of(factory_of("CURVE", address(9))), registry("address[8]")
    assert refuted(chain, exchange(1, 1), said).standing is Standing.FALSE
    assert refuted(chain, exchange(0, 8), said).standing is Standing.FALSE
    assert refuted(chain, exchange(-1, 0), said).standing is Standing.FALSE
    assert refuted(chain, exchange(0, 3), said).standing is Standing.FALSE, "coins(3) reverts: the registry has three"


def test_curve_pool_that_says_other_coins_than_its_registry_is_false() -> None:
    said = registry("address[8]")
    pool = next(iter(COINS))
    lying = registry("address[8]", coins={pool: (DAI, WETH, USDT)})
    chain = chain_of(factory_of("CURVE", address(9)))
    both = lambda q: said(q) if q.to == address(9) else lying(q)  # noqa: E731
    assert refuted(chain, exchange(0, 1), both).standing is Standing.FALSE
    assert proven(chain, exchange(0, 2), both).token0 < proven(chain, exchange(0, 2), both).token1


def test_curve_pool_that_no_registry_knows_is_unsupported_and_one_that_is_silent_stays_open() -> None:
    chain, said = chain_of(factory_of("CURVE", address(8))), registry("address[8]")
    against = refuted(chain, exchange(0, 1), said)
    assert against.standing is Standing.UNSUPPORTED and len(against.rests_on) == 3
    silent = inquire(chain, exchange(0, 1), lambda q: NOTHING if q.to == address(8) else said(q))
    assert silent.pool is None and silent.against() is None and silent.open_questions()
    asked = address(8), ("get_coins(address)", next(iter(COINS)))
    empty = Said({asked: (("address[]",), ([],))})
    unlisted = inquire(chain, exchange(0, 1), lambda q: empty(q) if q.to == address(8) else said(q))
    assert unlisted.pool is None and unlisted.against() is None, "a list of none"


def test_curve_zeros_say_nothing_as_a_node_that_lags_says_them_too() -> None:
    chain, said = chain_of(factory_of("CURVE", address(8)), factory_of("CURVE", address(9))), registry("address[8]")
    log, zeros = exchange(0, 1), "0x" + "00" * 32
    for silent in (next(iter(COINS)), address(9)):
        heard: set[Question] = set()

        def late(question: Question, silent: str = silent, heard: set[Question] = heard) -> Answer:
            if question.to != silent or question in heard:
                return said(question)
            heard.add(question)
            return zeros

        assert proven(chain, log, late).token0 and heard
        nothing = inquire(chain, log, lambda q, silent=silent: zeros if q.to == silent else said(q))
        assert nothing.pool is None and nothing.against() is None and nothing.open_questions()


# Balancer


def vault(to: str, pool_id: bytes, tokens: list[str], pool: str | None = None) -> Said:
    """A Vault that has this pool."""
    table = {
        (to, ("getPool(bytes32)", pool_id)): (("address", "uint8"), (pool or f"0x{pool_id[:20].hex()}", 0)),
        (to, ("getPoolTokens(bytes32)", pool_id)): (
            ("address[]", "uint256[]", "uint256"),
            (tokens, [10**18] * len(tokens), 5),
        ),
    }
    return Said(table)


def test_balancer_swaps_are_of_the_configured_vault_and_a_pool_that_holds_both_coins(swaps: Any) -> None:
    chain = load_chain("ethereum")
    assert len(swaps[Protocol.BALANCER_V2]) == 6
    for log, _ in swaps[Protocol.BALANCER_V2]:
        pool_id, *coins = ((topic or "")[2:] for topic in log.topics[1:])
        tokens = sorted(f"0x{coin[24:]}" for coin in coins)
        row = proven(chain, log, vault(log.address, bytes.fromhex(pool_id), tokens))
        assert (row.pool.hex(), VENUES.name_of(row.venue)) == (pool_id, "ethereum.balancer")
        record = decode_log(log, row)
        assert isinstance(record, PoolSwap)
        amounts = [int((log.data or "")[2 + 64 * at : 66 + 64 * at], 16) for at in (0, 1)]
        assert flows(record) == list(zip((f"0x{coin[24:]}" for coin in coins), amounts, strict=True))


def test_balancer_pool_that_the_vault_does_not_have_so_is_false(swaps: Any) -> None:
    chain = load_chain("ethereum")
    log = swaps[Protocol.BALANCER_V2][0][0]
    pool_id = bytes.fromhex((log.topics[1] or "")[2:])
    coins = [f"0x{(topic or '')[26:]}" for topic in log.topics[2:]]
    denied = inquire(chain, log, Said({}))
    assert denied.pool is None and denied.against() is None, "the Vault logged it: the node lacks its state"
    for said in (
        vault(log.address, pool_id, [coins[0], DAI]),
        vault(log.address, pool_id, sorted(coins), pool=address(1)),
    ):
        assert refuted(chain, log, said).standing is Standing.FALSE
    same = msgspec.structs.replace(log, topics=(*log.topics[:3], log.topics[2]))
    assert refuted(chain, same, vault(log.address, pool_id, coins)).standing is Standing.FALSE
    other = msgspec.structs.replace(log, address=address(77))
    assert refuted(chain, other, vault(address(77), pool_id, coins)).standing is Standing.UNSUPPORTED


def test_balancer_pool_of_more_tokens_than_can_be_read_is_not_taken(swaps: Any) -> None:
    log = swaps[Protocol.BALANCER_V2][0][0]
    pool_id = bytes.fromhex((log.topics[1] or "")[2:])
    coins = sorted(f"0x{(topic or '')[26:]}" for topic in log.topics[2:])
    many = [*coins, *map(address, range(1, 49))]
    row = inquire(load_chain("ethereum"), log, vault(log.address, pool_id, many))
    assert row.pool is not None and len(row.coins) == 50


# DODO


def dodo(pool: str, base: str, quote: str, factory: str, pools: list[str]) -> Said:
    """A pool of these tokens, and a factory that lists pools under them."""
    return Said(dict(dodo_table(pool, base, quote, factory, pools)))


def dodo_table(pool: str, base: str, quote: str, factory: str, pools: list[str]) -> Iterator[tuple[Any, Any]]:
    yield (pool, "_BASE_TOKEN_()"), (("address",), (base,))
    yield (pool, "_QUOTE_TOKEN_()"), (("address",), (quote,))
    yield (factory, ("getDODOPool(address,address)", base, quote)), (("address[]",), (pools,))


def test_dodo_swap_is_of_a_pool_that_a_factory_lists_under_its_tokens(swaps: Any) -> None:
    chain = load_chain("ethereum")
    ((log, moved),) = swaps[Protocol.DODO]
    makers = [factory.address for factory in chain.factories if factory.protocol_code == Protocol.DODO]
    for maker in makers:
        row = proven(chain, log, dodo(log.address, DAI, USDT, maker, [address(3), log.address]))
        assert row.factory.hex() == maker[2:]
        record = decode_log(log, row)
        assert isinstance(record, PoolSwap)
        (coin_in, paid), (coin_out, got) = flows(record)
        assert (coin_in, coin_out) == (USDT, DAI) and paid in moved[USDT] and got in moved[DAI]
    assert len(makers) == 6


def test_dodo_pool_that_no_factory_lists_or_of_other_tokens_is_refused(swaps: Any) -> None:
    chain = load_chain("ethereum")
    ((log, _),) = swaps[Protocol.DODO]
    maker = next(factory.address for factory in chain.factories if factory.protocol_code == Protocol.DODO)
    makers = [factory.address for factory in chain.factories if factory.protocol_code == Protocol.DODO]

    def listed(*pools: str) -> Said:
        return Said(
            {key: answer for to in makers for key, answer in dodo_table(log.address, DAI, USDT, to, list(pools))}
        )

    assert refuted(chain, log, listed(address(3))).standing is Standing.UNSUPPORTED
    unlisted = inquire(chain, log, listed())
    assert unlisted.pool is None and unlisted.against() is None and unlisted.open_questions(), "a list of none"
    assert refuted(chain, log, dodo(log.address, DAI, USDC, maker, [log.address])).standing is Standing.FALSE
    assert refuted(chain, log, dodo(log.address, DAI, address(0xFFFF << 144), maker, [])).standing is Standing.FALSE
    assert refuted(chain, log, Said({})).standing is Standing.FALSE
    twice = msgspec.structs.replace(log, data=(log.data or "")[:66] + (log.data or "")[2:66] + (log.data or "")[130:])
    assert refuted(chain, twice, dodo(log.address, DAI, USDT, maker, [log.address])).standing is Standing.FALSE
    crowded = inquire(chain, log, dodo(log.address, DAI, USDT, maker, [address(number) for number in range(1, 201)]))
    assert crowded.pool is None and crowded.against() is None, "the list could not be read to its end"


# WOOFi


def test_woofi_swap_is_of_the_contract_at_its_fixed_address() -> None:
    chain = chain_of(factory_of("WOOFI", WOO_SWAP.address))
    said = Said({})
    row = proven(chain, WOO_SWAP, said)
    assert said.asked == []
    record = decode_log(WOO_SWAP, row)
    assert isinstance(record, PoolSwap)
    assert flows(record) == [
        ("0xb31f66aa3c1e785363f0875a1b74e27b85fd66c7", 0x4BD895685B40B000),
        ("0xb97ef9ef8734c71904d8002f8b6bc66dd9c48a6e", 0x4B22A88),
    ]
    assert record.recipient.hex() == "7c13d4c3e9dfa683e7a5792a9ff20cb5fd22b0c0"
    assert record.sender.hex() == "d4f65bee477ba1a9b892b23aec3725407035f0a0"
    other = msgspec.structs.replace(WOO_SWAP, address=address(5))
    assert refuted(chain, other, said).standing is Standing.UNSUPPORTED
    same = msgspec.structs.replace(WOO_SWAP, topics=(*WOO_SWAP.topics[:2], WOO_SWAP.topics[1], WOO_SWAP.topics[3]))
    assert refuted(chain, same, said).standing is Standing.FALSE


# By address


def test_pancake_pools_of_the_bundled_blocks_are_proven_by_address(swaps: Any) -> None:
    """The tokens are two of those that moved in the transaction."""
    chain = load_chain("ethereum")
    maker = next(factory for factory in chain.factories if factory.protocol_code == Protocol.PANCAKESWAP_V3)
    found = set()
    for log, moved in swaps[Protocol.PANCAKESWAP_V3]:
        pairs = [tuple(bytes.fromhex(token[2:]) for token in pair) for pair in combinations(sorted(moved), 2)]
        made = {maker.pool_address(*pair, fee).hex() for pair in pairs for fee in (100, 500, 2500, 10_000)}
        found |= {log.address} if log.address[2:] in made else set()
    assert found == {log.address for log, _ in swaps[Protocol.PANCAKESWAP_V3]} and len(found) == 5


QUICKSWAP_V4 = {
    "0xb3fa2feb8eb215562b3a98a7eeca4a79ecf37dfc": (
        "0d500b1d8e8ef31e21c99d1db9a6444d3adf1270",
        "3c499c542cef5e3811e1192ce70d8cc03d5c3359",
    ),
    "0x99da92949c86a68f7c6abc097cfb4681368a1bd1": (
        "3c499c542cef5e3811e1192ce70d8cc03d5c3359",
        "7ceb23fd6bc0add59e62ac25578270cff1b9f619",
    ),
    "0xeabfed942cddabab020685f84c4118a646b7b9ca": (
        "0d500b1d8e8ef31e21c99d1db9a6444d3adf1270",
        "7ceb23fd6bc0add59e62ac25578270cff1b9f619",
    ),
    "0x4902155f0db0a16194f25a75a280eecf406f4859": (
        "3c499c542cef5e3811e1192ce70d8cc03d5c3359",
        "c2132d05d31c914a87c6611c10748aeb04b58e8f",
    ),
    "0x624f9417f1bfe97b1eb3dc32637e8e3b8ec3101b": (
        "2791bca1f2de4661ed88a30c99a7a9449aa84174",
        "c2132d05d31c914a87c6611c10748aeb04b58e8f",
    ),
}
"""Pools of QuickSwap V4 on Polygon with their tokens, from a public list."""


def test_quickswap_v4_of_the_polygon_file_gives_the_address_of_real_pools() -> None:
    maker = next(one for one in load_chain("polygon").factories if one.protocol_code == Protocol.ALGEBRA_INTEGRAL)
    for pool, tokens in QUICKSWAP_V4.items():
        assert maker.pool_address(*map(bytes.fromhex, tokens)).hex() == pool[2:]


FRX_ETH_POOL = "0xfd7b111aa83b9b6f547e617c7601efd997f64703"
FRX_ETH = "0x5e8422345238f34275888049021821e8e08caa1f"
"""A real pool of Kyber Elastic on Ethereum: frxETH and WETH, ten fee units."""


def kyber(**more: Any) -> Said:
    table = {
        (FRX_ETH_POOL, "token0()"): (("address",), (FRX_ETH,)),
        (FRX_ETH_POOL, "token1()"): (("address",), (WETH,)),
        (FRX_ETH_POOL, "swapFeeUnits()"): (("uint24",), (10,)),
        (FRX_ETH_POOL, "tickDistance()"): (("int24",), (1,)),
    }
    return Said(table | more.get("table", {}))


def swap_of(pool: str) -> Log:
    topic0 = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
    words = (5, (1 << 256) - 4, 1 << 96, 10**18, 0)
    return Log(pool, (topic0, f"0x{1:064x}", f"0x{2:064x}"), "0x" + "".join(f"{word:064x}" for word in words))


def test_kyber_pool_is_proven_by_address_among_the_kinds_that_share_its_swap() -> None:
    row = proven(load_chain("ethereum"), swap_of(FRX_ETH_POOL), kyber())
    assert (row.protocol, VENUES.name_of(row.venue)) == (Protocol.KYBER_ELASTIC, "ethereum.kyberswap_elastic")
    assert (row.fee_pips, row.tick_spacing) == (0, 1)
    record = decode_log(swap_of(FRX_ETH_POOL), row)
    assert isinstance(record, PoolSwap) and (record.amount0_in, record.amount1_out) == (5, 4)


def test_kyber_pool_of_a_factory_without_hash_is_looked_up() -> None:
    chain = chain_of(factory_of("KYBER_ELASTIC", address(8)))
    lookup = ("getPool(address,address,uint24)", FRX_ETH, WETH, 10)
    said = kyber(
        table={
            (FRX_ETH_POOL, "factory()"): (("address",), (address(8),)),
            (address(8), lookup): (("address",), (FRX_ETH_POOL,)),
        }
    )
    assert proven(chain, swap_of(FRX_ETH_POOL), said).tick_spacing == 1
    units = kyber(
        table={
            (FRX_ETH_POOL, "swapFeeUnits()"): (("uint24",), (8,)),
            (FRX_ETH_POOL, "factory()"): (("address",), (address(8),)),
        }
    )
    against = refuted(chain, swap_of(FRX_ETH_POOL), units)
    assert against.standing is Standing.FALSE, "its factory has none of eight units"


def test_kyber_state_is_price_tick_and_base_liquidity() -> None:
    kind = kind_named("KYBER_ELASTIC")
    assert kind is not None and kind.state is not None
    state = kind.state.read([[1 << 96, (1 << 256) - 7, 0, 0], [10, 20, 30]])
    assert state is not None and (state.sqrt_price_x96, state.tick, state.liquidity) == (1 << 96, -7, 10)
    assert kind.state.read([[1 << 96, 0, 0, 0], [10]]) is None


# The forms


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], None),
        ([0, 0], []),
        ([9, 8, 0, 7], [9, 8]),
        ([32, 0], []),
        ([32, 2, 9, 8], [9, 8]),
        ([32, 3, 9, 8], None),
        ([32, 1 << 255, 9], None),
        ([96, 160, 5, 1, 9, 1, 7], [9]),
        ([32, 1, 0], None),
        ([1 << 200, 5], None),
        ([32], [32]),
    ],
)
def test_list_of_addresses_is_read_in_every_form(words: list[int], found: list[int] | None) -> None:
    answer = "0x" + "".join(f"{word:064x}" for word in words)
    read = addresses_in(answer)
    assert (None if read is None else [int.from_bytes(one, "big") for one in read]) == found
    assert addresses_in(REVERTED) is None and addresses_in(None) is None


def test_pair_is_ordered_and_knows_its_way() -> None:
    assert ordered((5, 9)) == ((5).to_bytes(20, "big"), (9).to_bytes(20, "big"), False)
    assert ordered((9, 5)) == ((5).to_bytes(20, "big"), (9).to_bytes(20, "big"), True)
    assert ordered((5, 5)) is ordered((0, 5)) is ordered(None) is None


def test_name_of_a_pool_is_the_same_however_digits_are_spelt_and_none_for_a_log_that_is_no_event() -> None:
    event = EVENT_OF_TOPIC[WOO_SWAP.topics[0] or ""]
    name = key_of(WOO_SWAP)
    assert name == WOO_SWAP.address + "".join((topic or "")[26:] for topic in WOO_SWAP.topics[1:3])
    assert id_of(name).hex() == WOO_SWAP.address[2:]
    loud = tuple((topic or "")[:2] + (topic or "")[2:].upper() for topic in WOO_SWAP.topics)
    assert named_by(msgspec.structs.replace(WOO_SWAP, topics=loud), event) == name
    for topics in (
        (WOO_SWAP.topics[0],),
        (WOO_SWAP.topics[0], None, None),
        (WOO_SWAP.topics[0], "0x" + "g" * 64, loud[2]),
    ):
        assert named_by(msgspec.structs.replace(WOO_SWAP, topics=topics), event) == WOO_SWAP.address
    spaced = (WOO_SWAP.topics[0], "0x" + " " * 64, loud[2])
    assert named_by(msgspec.structs.replace(WOO_SWAP, topics=spaced), event) == WOO_SWAP.address
    assert key_of(exchange(0, 1)) != key_of(exchange(0, 1, topic=3)), "underlying coins are others"
    for data in (None, "0x", "0x" + "0" * 100):
        assert key_of(msgspec.structs.replace(exchange(0, 1), data=data)) == exchange(0, 1).address


@pytest.mark.parametrize("high", [1 << 160, 1 << 255])
def test_coin_that_is_no_address_is_refused_by_the_decoder(high: int) -> None:
    row = proven(chain_of(factory_of("WOOFI", WOO_SWAP.address)), WOO_SWAP, Said({}))
    coin = f"0x{int(WOO_SWAP.topics[1] or '', 16) | high:064x}"
    wrong = msgspec.structs.replace(WOO_SWAP, topics=(WOO_SWAP.topics[0], coin, *WOO_SWAP.topics[2:]))
    with pytest.raises(RefusedLog, match="no address"):
        decode_log(wrong, row)
