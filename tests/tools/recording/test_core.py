"""The node without I/O, on the bundled Polygon sessions: what it answers and pushes, step by step."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak

from tools.recording import Faults, Recording, bundled_recording, load_recording
from tools.recording.contracts import MOVED, SELECTORS, answers
from tools.recording.core import NodeCore
from tools.recording.rows import TokenRow

P = "recording_2021-04-20"
LAST_OF_SESSION = {1: 13522169, 2: 13522230, 3: 13522298}
ORPHAN_194 = "0x6f01a5163724e4bfbbcac469a9a2aafd16bc1a50f15c346b1ab1347561fb7c4d"
WINNER_194 = "0xe5a6598d287904b84988b7ae0bc6566b79abebf46e2abc90a5579827fa0af3ce"
HEAD_195 = "0x66926e"
A_239 = "0xc73a1047034dd7b03cd01950e4bff4621b79321e8120b623744cf8cfc93f3efd"
B_239 = "0x2d878239f4b2dff2bb9776a87d5dcbcf8a99bd6a1f8e2897abd20e86da899f35"
B_240 = "0x8add914454ed7ee33c9a533a545555c376f37f3fdffb56f9daf0e848a2ff268a"
REFUSED_ONCE = "0x5302a16d0efa4681a9c6ea6f540759e1730e1de77d086f23f860b4d72517f71f"
WMATIC = "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"


@cache
def polygon() -> Recording:
    return load_recording(bundled_recording())


def rows(name: str) -> list[dict[str, Any]]:
    path = bundled_recording() / f"{name}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def identities(logs: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter((log["blockHash"], log["transactionHash"], log["logIndex"]) for log in logs)


def ask(core: NodeCore, method: str, *params: Any, client: int | None = None) -> Any:
    """The result of a call, or its error object."""
    text = core.receive(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}), client)
    assert text is not None
    answer = json.loads(text)
    assert answer["id"] == 7
    return answer["result"] if "result" in answer else answer["error"]


def pushed(core: NodeCore) -> list[dict[str, Any]]:
    """The results of the notifications of the next step, of all clients."""
    return [json.loads(text)["params"]["result"] for delivery in core.step() for text in delivery.texts]


def play(core: NodeCore) -> Iterator[list[dict[str, Any]]]:
    while core.due_ns is not None:
        yield pushed(core)


def play_until(core: NodeCore, reached: Callable[[], bool]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    while not reached():
        told += pushed(core)
    return told


def listening(faults: Faults | None = None, *kinds: Any) -> NodeCore:
    """A node with one client that follows heads and logs (or `kinds`)."""
    core = NodeCore(polygon(), faults)
    client = core.connect()
    for kind in kinds or (["newHeads"], ["logs", {}]):
        assert ask(core, "eth_subscribe", *kind, client=client).startswith("0x")
    return core


def test_core_whole_recording_pushes_every_log_and_every_polled_head() -> None:
    told = [result for step in play(listening()) for result in step]
    logs = [result for result in told if "topics" in result]
    heads = [result["hash"] for result in told if "parentHash" in result]
    expected = identities(rows(f"{P}_canonical_logs") + rows(f"{P}_orphaned_logs"))
    returned = identities([log for log in rows(f"{P}_canonical_logs") if log["blockHash"] == A_239])
    assert identities(logs) == expected + returned
    assert [log for log in logs if log["removed"]] == []
    assert len(heads) == len(set(heads)) == 178 - 3


def test_core_reorg_announces_a_head_whose_parent_was_never_announced() -> None:
    core = listening()
    told = play_until(core, lambda: core.head_number == 13522195)
    head = told[-1]
    assert head["hash"].startswith(HEAD_195)
    assert head["parentHash"] == WINNER_194
    assert WINNER_194 not in {result.get("hash") for result in told}
    assert {log["blockHash"] for log in pushed(core)} == {WINNER_194}
    assert {log["blockHash"] for log in pushed(core)} == {head["hash"]}


def test_core_reorg_leaves_the_orphan_fetchable_by_hash_and_replaces_it_by_number() -> None:
    core = listening()
    play_until(core, lambda: core.head_number == 13522194)
    assert ask(core, "eth_getBlockByNumber", hex(13522194), False)["hash"] == ORPHAN_194
    assert ask(core, "eth_getBlockByHash", WINNER_194, False) is None
    play_until(core, lambda: core.head_number == 13522195)
    assert ask(core, "eth_getBlockByNumber", hex(13522194), False)["hash"] == WINNER_194
    assert ask(core, "eth_getBlockByHash", ORPHAN_194, False)["hash"] == ORPHAN_194
    assert len(ask(core, "eth_getLogs", {"blockHash": ORPHAN_194})) == 60


def test_core_third_session_goes_from_one_branch_to_the_other_and_back() -> None:
    core = listening()
    chains = []
    for head in (13522239, 13522240, 13522241):
        play_until(core, lambda head=head: core.head_number == head)  # type: ignore[misc]
        chains.append([ask(core, "eth_getBlockByNumber", hex(number))["hash"] for number in range(13522239, head + 1)])
    assert chains[0] == [A_239]
    assert chains[1] == [B_239, B_240]
    assert chains[2][0] == A_239
    assert len(chains[2]) == 3


def test_core_logs_of_a_block_fail_as_often_as_recorded() -> None:
    core = listening()
    refused = {"code": -32000, "message": "unknown block"}
    assert ask(core, "eth_getLogs", {"blockHash": REFUSED_ONCE}) == refused  # not there yet: this does not count
    list(play(core))
    assert [ask(core, "eth_getLogs", {"blockHash": B_240}) for _ in range(4)] == [refused] * 4
    assert ask(core, "eth_getLogs", {"blockHash": REFUSED_ONCE}) == refused
    assert identities(ask(core, "eth_getLogs", {"blockHash": REFUSED_ONCE})) == identities(
        [log for log in rows(f"{P}_canonical_logs") if log["blockHash"] == REFUSED_ONCE]
    )


def test_core_whole_range_at_the_end_is_the_canonical_set_in_order() -> None:
    core = NodeCore(polygon())
    list(play(core))
    assert ask(core, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}) == rows(f"{P}_canonical_logs")


def test_core_blocks_between_the_sessions_are_history_it_no_longer_has() -> None:
    core = NodeCore(polygon())
    list(play(core))
    missing = [*range(13522170, 13522175), *range(13522231, 13522239)]
    pruned = {"code": 4444, "message": "pruned history unavailable"}
    assert [ask(core, "eth_getBlockByNumber", hex(number), False) for number in missing] == [pruned] * 13
    present = [ask(core, "eth_getBlockByNumber", hex(last))["number"] for last in LAST_OF_SESSION.values()]
    assert present == [hex(last) for last in LAST_OF_SESSION.values()]


def test_core_before_the_first_step_shows_the_first_block_alone() -> None:
    core = NodeCore(polygon())
    assert ask(core, "eth_blockNumber") == hex(13522111)
    assert ask(core, "eth_getBlockByNumber", "latest", True)["number"] == hex(13522111)
    assert ask(core, "eth_getBlockByNumber", hex(13522112), True) is None
    assert len(ask(core, "eth_getLogs", {"fromBlock": "0x0"})) == 9


@pytest.mark.parametrize("tag", ["earliest", "pending", "safe", "finalized"])
def test_core_block_tag_about_which_nothing_was_recorded_is_null(tag: str) -> None:
    assert ask(NodeCore(polygon()), "eth_getBlockByNumber", tag, False) is None


def test_core_heads_carry_the_recorded_header_without_notes_of_ours() -> None:
    head = pushed(listening())[0]
    (recorded,) = [row for row in rows(f"{P}_headers") if row["hash"] == head["hash"]]
    assert head.items() <= recorded.items()
    assert {"logsBloom", "receiptsRoot", "extraData", "timestamp"} <= head.keys()
    assert [name for name in head if name.startswith("_")] == []


def test_core_logs_subscription_filters_by_address_and_topics() -> None:
    everything = rows(f"{P}_canonical_logs") + rows(f"{P}_orphaned_logs")
    ((pool, _),) = Counter(log["address"] for log in everything if log["topics"][:1] == [SYNC]).most_common(1)
    core = listening(None, ["logs", {"address": pool.upper().replace("X", "x"), "topics": [[SYNC]]}])
    logs = [result for step in play(core) for result in step]
    expected = [log for log in everything if log["address"] == pool and log["topics"][:1] == [SYNC]]
    assert len(expected) > 5
    assert set(identities(logs)) == set(identities(expected))


@pytest.mark.parametrize(
    ("topics", "keeps"),
    [
        ([], lambda topics: True),
        ([None], lambda topics: len(topics) >= 1),
        ([[]], lambda topics: len(topics) >= 1),
        ([[SYNC, None]], lambda topics: len(topics) >= 1),
        ([SYNC], lambda topics: topics[:1] == [SYNC]),
        ([None, None, None, None], lambda topics: len(topics) == 4),
    ],
)
def test_core_get_logs_matches_topics_by_position(topics: list[Any], keeps: Callable[[list[str]], bool]) -> None:
    core = NodeCore(polygon())
    list(play(core))
    expected = [log for log in rows(f"{P}_canonical_logs") if keeps(log["topics"])]
    assert expected
    assert ask(core, "eth_getLogs", {"fromBlock": "0x0", "topics": topics}) == expected


def test_core_unsubscribe_ends_the_notifications() -> None:
    core = NodeCore(polygon())
    client = core.connect()
    subscription = ask(core, "eth_subscribe", "newHeads", client=client)
    assert ask(core, "eth_unsubscribe", subscription, client=client) is True
    assert ask(core, "eth_unsubscribe", subscription, client=client)["message"] == "subscription not found"
    assert [result for step in play(core) for result in step] == []


def test_core_subscribe_where_nobody_can_be_notified_is_refused() -> None:
    error = ask(NodeCore(polygon()), "eth_subscribe", "newHeads")
    assert error == {"code": -32601, "message": "notifications not supported"}


def test_selectors_are_the_hashes_of_their_signatures() -> None:
    assert {name: "0x" + keccak(name.encode())[:4].hex() for name in SELECTORS} == SELECTORS


def test_core_call_of_a_proven_pool_answers_what_the_metadata_proves() -> None:
    core = NodeCore(polygon())
    pool = next(row for row in rows("pools") if row["dex"] == "UniswapV3" and row["fee_pips"] == 500)
    factory, pair = pool["factory_or_deployer"], [pool["token0"], pool["token1"]]

    def call(to: str, signature: str, arguments: str = "") -> str:
        result: str = ask(core, "eth_call", {"to": to, "data": SELECTORS[signature] + arguments}, "latest")
        return result

    words = [token[2:].rjust(64, "0") for token in pair]
    for order in (words, words[::-1]):
        found = call(factory, "getPool(address,address,uint24)", "".join(order) + f"{500:064x}")
        assert decode(["address"], bytes.fromhex(found[2:])) == (pool["pool"],)
    results = [call(pool["pool"], name) for name in ("token0()", "token1()", "factory()", "fee()")]
    assert [decode(["address"], bytes.fromhex(text[2:]))[0] for text in results[:3]] == [*pair, factory]
    assert decode(["uint24"], bytes.fromhex(results[3][2:])) == (500,)


def test_core_call_of_a_pair_factory_finds_the_pair() -> None:
    core = NodeCore(polygon())
    pool = next(row for row in rows("pools") if row["dex"] == "QuickSwapV2")
    words = pool["token1"][2:].rjust(64, "0") + pool["token0"][2:].rjust(64, "0")
    call = {"to": pool["factory_or_deployer"], "input": SELECTORS["getPair(address,address)"] + words}
    assert decode(["address"], bytes.fromhex(ask(core, "eth_call", call)[2:])) == (pool["pool"],)


def test_core_call_of_a_token_answers_what_the_lists_say() -> None:
    core = NodeCore(polygon())
    listed = [token for token in rows("tokens") if token["decimals"] is not None]
    assert len(listed) == len(rows("tokens")) - 1
    for token in listed:
        texts = [
            ask(core, "eth_call", {"to": token["address"], "data": SELECTORS[name]}, "latest")
            for name in ("symbol()", "name()", "decimals()")
        ]
        symbol, name, decimals = (bytes.fromhex(text[2:]) for text in texts)
        assert decode(["string"], symbol) == (token["symbol"],)
        assert decode(["string"], name) == (token["name"],)
        assert decode(["uint8"], decimals) == (token["decimals"],)


def test_core_call_of_a_token_on_whose_decimals_the_lists_differ_says_its_symbol_alone() -> None:
    core = NodeCore(polygon())
    (token,) = (token for token in rows("tokens") if token["decimals"] is None)
    symbol = ask(core, "eth_call", {"to": token["address"], "data": SELECTORS["symbol()"]}, "latest")
    assert decode(["string"], bytes.fromhex(symbol[2:])) == (token["symbol"],)
    error = ask(core, "eth_call", {"to": token["address"], "data": SELECTORS["decimals()"]}, "latest")
    assert error["message"].startswith("missing trie node ")


@pytest.mark.parametrize(
    ("name", "call"), [("coins", "coins(uint256)"), ("underlying_coins", "underlying_coins(uint256)")]
)
def test_core_call_of_a_pool_of_several_coins_answers_each_and_refuses_one_more(name: str, call: str) -> None:
    core = NodeCore(polygon())
    (pool,) = (row for row in rows("pools") if row["method"] == MOVED)

    def coin(index: int) -> Any:
        return ask(core, "eth_call", {"to": pool["pool"], "data": SELECTORS[call] + f"{index:064x}"}, "latest")

    assert [decode(["address"], bytes.fromhex(coin(index)[2:]))[0] for index in range(3)] == pool[name]
    assert coin(3) == {"code": 3, "message": "execution reverted"}
    assert coin(4)["message"].startswith("missing trie node ")


@pytest.mark.parametrize("name", ["coins", "underlying_coins"])
def test_core_call_of_the_registry_lists_the_coins_of_its_pool_with_zeros_behind(name: str) -> None:
    core = NodeCore(polygon())
    (pool,) = (row for row in rows("pools") if row["method"] == MOVED)

    def listed(of: str) -> Any:
        data = SELECTORS[f"get_{name}(address)"] + of[2:].rjust(64, "0")
        return ask(core, "eth_call", {"to": pool["factory_or_deployer"], "data": data}, "latest")

    (coins,) = decode(["address[8]"], bytes.fromhex(listed(pool["pool"])[2:]))
    assert list(coins) == [*pool[name], *["0x" + "0" * 40] * 5]
    assert listed(WMATIC)["message"].startswith("missing trie node ")


def unproven_pool() -> str:
    return str(next(row for row in rows("pools") if row["method"] == "inferred_from_transfers")["pool"])


def algebra_pool() -> str:
    return str(next(row for row in rows("pools") if row["dex"] == "QuickSwapV3(Algebra)")["pool"])


@pytest.mark.parametrize(
    ("to", "signature"),
    [
        (unproven_pool(), "token0()"),
        (algebra_pool(), "factory()"),
        (algebra_pool(), "fee()"),
        ("0x" + "12" * 20, "symbol()"),
        (WMATIC, "token0()"),
    ],
)
def test_core_call_that_nothing_proves_fails_as_a_node_without_that_state(to: str, signature: str) -> None:
    error = ask(NodeCore(polygon()), "eth_call", {"to": to, "data": SELECTORS[signature]}, "latest")
    assert error["code"] == -32000
    assert error["message"].startswith("missing trie node ")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -32700),
        ("{", -32700),
        (b"\xff\xfe", -32700),
        ("[" * 100_000, -32700),
        ('{"jsonrpc":"2.0","id":1,"method":NaN}', -32700),
        ("[]", -32600),
        ("1", -32600),
        ("[1]", -32600),
        ('{"id":1}', -32600),
        ('{"id":[],"method":"eth_chainId"}', -32600),
        ('{"id":1,"method":"eth_mine"}', -32601),
        ('{"id":1,"method":"eth_chainId","params":{"a":1}}', -32602),
        ('{"id":1,"method":"eth_getBlockByNumber"}', -32602),
        ('{"id":1,"method":"eth_getBlockByNumber","params":[1]}', -32602),
        ('{"id":1,"method":"eth_getBlockByNumber","params":["0x01"]}', -32602),
        ('{"id":1,"method":"eth_getBlockByHash","params":["0x12"]}', -32602),
        ('{"id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x2","toBlock":"0x1"}]}', -32602),
        ('{"id":1,"method":"eth_getLogs","params":[{"address":"0x12"}]}', -32602),
        ('{"id":1,"method":"eth_getLogs","params":[{"topics":[null,null,null,null,null]}]}', -32602),
        ('{"id":1,"method":"eth_getLogs","params":[{"blockHash":"' + A_239 + '","toBlock":"0x1"}]}', -32602),
        ('{"id":1,"method":"eth_call","params":[{"data":"0x"}]}', -32602),
        ('{"id":1,"method":"eth_subscribe","params":["syncing"]}', -32602),
        ('{"id":1,"method":"eth_unsubscribe","params":[]}', -32602),
    ],
)
def test_core_request_that_is_wrong_gets_the_standard_error(text: str | bytes, code: int) -> None:
    core = NodeCore(polygon())
    answer = json.loads(core.receive(text, core.connect()) or b"null")
    (error,) = answer if isinstance(answer, list) else [answer]
    assert error["error"]["code"] == code


def test_core_batch_answers_each_call_and_no_notification() -> None:
    calls = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": None, "method": "net_version"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
    ]
    core = NodeCore(polygon())
    replies = json.loads(core.receive(json.dumps(calls)) or b"")
    assert [(answer["id"], answer.get("result")) for answer in replies] == [("a", "0x89"), (None, "137"), (2, None)]
    assert core.receive(json.dumps(calls[1:2])) is None


def test_core_batch_of_too_many_is_refused_whole() -> None:
    calls = json.dumps([{"id": n, "method": "eth_chainId"} for n in range(1001)])
    assert json.loads(NodeCore(polygon()).receive(calls) or b"")["error"]["code"] == -32600


def test_answers_of_a_token_without_symbol_or_decimals_are_missing() -> None:
    token = TokenRow(chain_id=1, address="0x" + "12" * 20, symbol=None, name="Nameless", decimals=None)
    assert [data for _, data in answers([], [token])] == [SELECTORS["name()"]]


def test_core_same_seed_pushes_the_same_mischief() -> None:
    def texts(seed: int) -> list[Any]:
        return list(play(listening(Faults(duplicate=0.2, reorder=0.3, seed=seed))))

    assert texts(5) == texts(5)
    assert texts(5) != texts(6)


def test_core_duplicates_and_disorder_change_neither_the_set_nor_the_order_of_blocks() -> None:
    smooth = [result for step in play(listening()) for result in step]
    rough = [result for step in play(listening(Faults(duplicate=0.3, reorder=0.5, seed=3))) for result in step]
    texts = [list(dict.fromkeys(json.dumps(result) for result in told)) for told in (smooth, rough)]
    assert sorted(texts[0]) == sorted(texts[1])
    assert texts[0] != texts[1]
    assert len(rough) - len(smooth) == pytest.approx(0.3 * len(smooth), rel=0.2)
    orders = [list(dict.fromkeys(r.get("blockHash") or r["hash"] for r in told)) for told in (smooth, rough)]
    assert orders[0] == orders[1]


def test_core_disorder_puts_some_heads_after_their_logs() -> None:
    told = [result for step in play(listening(Faults(reorder=0.5, seed=1))) for result in step]
    late = 0
    with_logs: set[str] = set()
    for result in told:
        with_logs.add(result.get("blockHash", ""))
        late += "parentHash" in result and result["hash"] in with_logs
    assert 40 < late < 130


def test_core_cuts_as_many_connections_as_asked_if_the_client_comes_back() -> None:
    core = NodeCore(polygon(), Faults(disconnects=30, seed=9))
    codes: list[int] = []
    while core.due_ns is not None:
        if not core.has_subscriber:
            client = core.connect()
            ask(core, "eth_subscribe", "newHeads", client=client)
            ask(core, "eth_subscribe", "logs", client=client)
        codes += [delivery.close_code for delivery in core.step() if delivery.close_code is not None]
    assert len(codes) == core.counts.disconnects == 30
    assert len(set(codes)) > 3


def test_core_cut_client_is_told_nothing_more() -> None:
    core = listening(Faults(disconnects=1, seed=2))
    deliveries = [delivery for _ in polygon().steps for delivery in core.step()]
    assert deliveries[-1].close_code is not None
    assert [delivery.close_code for delivery in deliveries[:-1] if delivery.close_code] == []
    assert core.due_ns is None
    assert not core.has_subscriber
