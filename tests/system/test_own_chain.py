"""docs/own-chain.md, command by command, on a real node with contracts; and what `chain check` says of mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.chains.chain_keys import CHAIN
from producers.chains.configuration import ChainConfig, Factory, VenueDeclaration, load_chain
from producers.chains.keys import TableKey
from tests.producers.collected import read_story
from tlv.addresses import checksummed, read_address
from tlv.codes import Protocol
from tlv.errors import UsageError
from tlv.layout import PoolState, Session
from tools.rig.evm.node import Node
from tools.rig.evm.world import World, bytecode_hash

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-chain.md"


def alphapulse(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.command.main", *arguments]
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=folder, env=os.environ | {"PYTHONPATH": root}
    )


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Node, World]]:
    with Node() as node:
        yield node, World.build(node.rpc)


def filled_in(text: str, world: World) -> str:
    """The file of `chain new` with the document's tables: a V2 factory with its init code hash, and V3 without."""
    hashed, looked_up = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    own = hashed.replace('"0x..."', f'"{checksummed(world.exchanges[0].factory)}"')
    own = re.sub(r'init_code_hash = "0x[0-9a-f]+"', f'init_code_hash = "{bytecode_hash("V2Pair").upper()}"', own)
    v3 = looked_up.replace('"0x..."', f'"{world.v3_factory}"')
    return text.replace("0x" + "0" * 40, world.wrapped_native) + own.replace("0X", "0x") + "\n" + v3


def test_own_chain_as_documented_goes_from_nothing_to_events(
    scene: tuple[Node, World], tmp_path: Path, ring_name: str
) -> None:
    node, world = scene
    commands = [
        line.removeprefix("alphapulse ").replace("ws://127.0.0.1:8545", node.url).replace("market.mychain", ring_name)
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("alphapulse ")
    ]
    new, check, prove, collect, dump = commands
    made = alphapulse(*new.split(), folder=tmp_path)
    assert made.returncode == 0, made.stderr
    again = alphapulse(*new.split(), folder=tmp_path)
    assert again.returncode == 2
    assert "mychain.toml: exists already" in again.stderr
    file = tmp_path / "mychain.toml"
    assert alphapulse(*check.split(), folder=tmp_path).returncode == 0, "the file is whole before anything is filled in"
    file.write_text(filled_in(file.read_text(), world))
    for command in (check, prove):
        found = alphapulse(*command.split(), folder=tmp_path)
        assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("is proven") == 2
    world.v2_swap(0, world.weth, 10**15)
    world.v3_swap(world.weth, 10**15)
    options = ["--ring", ring_name, "--until-idle", "1", "--pool-cache", "none"]
    collected = alphapulse(*collect.split(), *options, folder=tmp_path)
    assert collected.returncode == 0, collected.stderr
    story = read_story(ring_name)
    sessions = [message.records[0] for message in story.messages if isinstance(message.records[0], Session)]
    assert [f"0x{session.genesis.hex()}" for session in sessions] == [
        node.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
    ]
    proven = {
        record.protocol for message in story.messages for record in message.records if isinstance(record, PoolState)
    }
    assert Protocol.UNISWAP_V3 in proven, "by its factory's lookup"
    dumped = alphapulse(*dump.split(), folder=tmp_path)
    assert dumped.returncode == 0
    assert "mychain.myswap" in dumped.stdout


def test_chain_check_of_a_wrong_code_hash_names_the_right_one_and_a_wrong_lookup_itself(
    scene: tuple[Node, World], tmp_path: Path
) -> None:
    node, world = scene
    text = filled_in(alphapulse_new(tmp_path, node), world)
    file = tmp_path / "wrong.toml"
    text = re.sub(r'(?m)^init_code_hash = ".*"$', f'init_code_hash = "0x{"12" * 32}"', text)
    file.write_text(f'{text}lookup = "getPair(address,address,uint24)"\n')
    ended = alphapulse("chain", "check", str(file), "--url", node.url, "--json")
    assert ended.returncode == 1
    said = json.loads(ended.stdout)
    assert not said["valid"]
    wrong = {check["name"]: check for check in said["checks"] if check["verdict"] == "fail"}
    assert list(wrong) == ["factories[0] mychain.myswap pool", "factories[1] mychain.myswap pool"]
    assert (
        "getPair(address,address,uint24) of it answers something else"
        in wrong["factories[1] mychain.myswap pool"]["found"]
    )
    assert wrong["factories[0] mychain.myswap pool"]["advice"] == f'init_code_hash = "{bytecode_hash("V2Pair")}"'


def alphapulse_new(folder: Path, node: Node) -> str:
    file = folder / "new.toml"
    made = alphapulse("chain", "new", "mychain", "--output", str(file), "--url", node.url)
    assert made.returncode == 0, made.stderr
    return file.read_text()


def test_chain_check_against_another_chain_says_which(scene: tuple[Node, World], tmp_path: Path) -> None:
    node, world = scene
    text = filled_in(alphapulse_new(tmp_path, node), world)
    file = tmp_path / "other.toml"
    genesis = node.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
    file.write_text(text.replace(genesis, "0x" + "ab" * 32))
    ended = alphapulse("chain", "check", str(file), "--url", node.url)
    assert ended.returncode == 1
    assert re.search(rf"fail +identity: expected block 0 to be 0x(ab)+, found {genesis}", ended.stdout)
    file.write_text(text.replace("chain_id = 137", "chain_id = 138"))
    ended = alphapulse("chain", "check", str(file), "--url", node.url)
    assert "chain_id: expected 138, found 137" in ended.stdout
    assert ended.stdout.count("\n") == 3, "nothing else that this node says is of any use"


def test_chain_check_without_a_node_says_so(tmp_path: Path) -> None:
    ended = alphapulse("chain", "check", "polygon", "--url", "ws://127.0.0.1:1")
    assert ended.returncode == 1
    assert "fail  connection: cannot connect to 127.0.0.1" in ended.stdout


MISTAKES = """
name = "A B"
chain_id = 0
sorce = "x"
source = "BSC"
ring = "1"
wrapped_native = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756CC2"
[[venues]]
code = 5
name = "x"
[[factories]]
venue = "no"
protocol = "NOBODYSWAP"
fee_pips = true
"""


def test_chain_check_names_every_mistake_at_once_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(MISTAKES)
    ended = alphapulse("chain", "check", str(file), "--json")
    assert ended.returncode == 1
    mistakes = {mistake["key"]: mistake["text"] for mistake in json.loads(ended.stdout)["mistakes"]}
    assert mistakes.keys() == {
        "name",
        "chain_id",
        "sorce",
        "source",
        "ring",
        "wrapped_native",
        "finality_blocks",
        "venues[0].code",
        "factories[0].venue",
        "factories[0].protocol",
        "factories[0].fee_pips",
        "factories[0].address",
    }
    assert mistakes["sorce"] == "unknown key; did you mean source?"
    assert "ETHEREUM_COLLECTOR, POLYGON_COLLECTOR" in mistakes["source"]
    assert "UNISWAP_V2, UNISWAP_V3, ALGEBRA" in mistakes["factories[0].protocol"]
    assert "polygon.quickswap_v2" in mistakes["factories[0].venue"]
    assert "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2 by its checksum" in mistakes["wrapped_native"]
    with pytest.raises(UsageError, match=r"chain_id: expected a whole number.*factories"):
        load_chain(str(file))
    assert alphapulse("chain", "check", str(tmp_path / "none.toml")).returncode == 2
    assert alphapulse("chain", "check", "polygon").returncode == 0


def test_every_field_of_a_chain_has_its_key_and_every_key_its_field() -> None:
    tables = {key.name: key for key in CHAIN if isinstance(key, TableKey)}
    assert {key.name for key in CHAIN} == set(ChainConfig.__struct_fields__)
    assert {key.name for key in tables["factories"].keys} == set(Factory.__struct_fields__)
    assert {key.name for key in tables["venues"].keys} == set(VenueDeclaration.__struct_fields__)


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_address_of_eip_55_is_read_in_every_spelling_but_a_wrong_one(address: str) -> None:
    lower = address.lower()
    assert checksummed(lower) == address
    for spelling in (address, lower, "0x" + address[2:].upper()):
        assert read_address(spelling) == lower
    with pytest.raises(ValueError, match=f"expected {address} by its checksum"):
        read_address("0x" + address[2:].swapcase())
