"""A pool kind of one's own: a file, and a line in a chain file, and its events go from a node to a Parquet file."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sys
from collections import defaultdict
from importlib import resources
from pathlib import Path

import msgspec
import pyarrow.parquet

from consumers.recorder import Recorder
from consumers.store import Store
from producers.blocks.bloom import BLOOM_DIGITS, bloom_of
from producers.kinds.uniswap_v3 import POOL_EVENTS
from tests.consumers.relay_rig import sequences, serving, take
from tests.producers.collected import read_story
from tlv.filter import MessageFilter
from tlv.layout import Gap, PoolSwap
from tools.recording import RecordingNode
from tools.recording.bundle import bundled_recording

KIND_FILE = """
from dataclasses import replace

from producers.kinds import uniswap_v3
from producers.kinds.events import Role, event
from tlv.layout import PoolSwap

SWAP = event(
    "swap",
    Role.POOL,
    PoolSwap,
    "Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, "
    "uint160 sqrt_price_x96, uint128 liquidity, int24 tick, uint128 _, uint128 _, uint128 _)",
)
KIND = replace(uniswap_v3.KIND, name="OWN_V3", code=200, events=(SWAP,), shares=uniswap_v3.KIND.events[1:])
"""
"""V3 with three words more in each swap."""
V3_SWAP = POOL_EVENTS[0].topic0
OWN_SWAP = "0x660fdc64912f07f47601a41f4b6feff0281bf19e46513e49b442aa27e80667a7"
"""The topic of that event, which no kind of the project has."""
LOGS = "full_blocks_17686110-17686121_logs.jsonl.gz"
HEADERS = "full_blocks_17686110-17686121_headers.jsonl.gz"


def own_recording(folder: Path) -> int:
    """The bundled Ethereum blocks with every V3 swap as OWN_V3 emits it; returns how many there are."""
    shutil.copytree(bundled_recording("ethereum"), folder)
    swaps, lines = 0, []
    entries: dict[str, set[str]] = defaultdict(set)
    with gzip.open(folder / LOGS) as rows:
        for row in map(msgspec.json.decode, rows):
            if row["topics"] and row["topics"][0] == V3_SWAP:
                row["topics"][0] = OWN_SWAP
                row["data"] += f"{7:064x}{8:064x}{9:064x}"
                swaps += 1
            entries[row["blockHash"]] |= {row["address"], *row["topics"]}
            lines.append(msgspec.json.encode(row))
    (folder / LOGS).write_bytes(gzip.compress(b"\n".join([*lines, b""])))
    headers = [msgspec.json.decode(row) for row in gzip.decompress((folder / HEADERS).read_bytes()).splitlines()]
    for header in headers:
        header["logsBloom"] = f"0x{bloom_of(entries[header['hash']]):0{BLOOM_DIGITS}x}"
    (folder / HEADERS).write_bytes(gzip.compress(b"\n".join(map(msgspec.json.encode, headers))))
    return swaps


async def collect(folder: Path, chain: Path, ring: str) -> str:
    async with RecordingNode(folder, speed=1e9) as node:
        arguments = ["--url", node.ws_url, "--chain", str(chain), "--ring", ring, "--pool-cache", "none"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tools.collect",
            *arguments,
            "--until-idle",
            "2",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


def test_own_kind_goes_from_the_node_through_relay_and_journal_to_parquet(tmp_path: Path, ring_name: str) -> None:
    assert own_recording(tmp_path / "node") > 50
    (tmp_path / "own.py").write_text(KIND_FILE)
    chain = tmp_path / "chain.toml"
    bundled = resources.files("producers.chains").joinpath("ethereum.toml").read_text()
    chain.write_text('kinds = ["own.py"]\n' + bundled.replace('protocol = "UNISWAP_V3"', 'protocol = "OWN_V3"'))
    asyncio.run(collect(tmp_path / "node", chain, ring_name))
    story = read_story(ring_name)
    assert not any(message.first(Gap) for message in story.messages)
    own = [record for record in story.standing.values() if isinstance(record, PoolSwap) and record.protocol == 200]
    assert len(own) > 50
    assert all(record.sqrt_price_x96 and (record.amount0_in or record.amount1_in) for record in own)
    assert not any(record.protocol == 3 for record in story.standing.values() if isinstance(record, PoolSwap))
    pool = own[0].pool
    wanted = [m for m in story.messages if isinstance(m.records[0], PoolSwap) and m.records[0].pool == pool]
    with (
        serving(ring_name) as rig,
        rig.client(start="oldest", wanted=MessageFilter.of(types=[PoolSwap], pools=[pool])) as client,
    ):
        arrived: list[int] = []  # what no filter hides stands among them
        while not arrived or arrived[-1] < wanted[-1].header.sequence:
            arrived += sequences(take(client, 1))
    by_sequence = {message.header.sequence: message for message in story.messages}
    swaps_arrived = [at for at in arrived if isinstance(by_sequence[at].records[0], PoolSwap)]
    assert swaps_arrived == [message.header.sequence for message in wanted]
    with Recorder(ring_name, tmp_path / "journal", report=lambda _: None) as recorder:
        recorder.run(lambda: False, until_closed=True)
    Store.open(tmp_path / "journal").to_parquet(tmp_path / "tables")
    table = pyarrow.parquet.read_table(tmp_path / "tables" / "PoolSwap.parquet")
    swaps = sum(isinstance(message.records[0], PoolSwap) for message in story.messages)
    assert table.num_rows == swaps
    assert table.column("protocol").to_pylist().count(200) == sum(
        isinstance(record := message.records[0], PoolSwap) and record.protocol == 200 for message in story.messages
    )
