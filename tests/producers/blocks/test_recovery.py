"""What survives a restart: the story in the ring, the position and the pools on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from producers.blocks import state_file
from producers.blocks.block import Block, Progress
from producers.blocks.chain import Chain
from producers.blocks.recovery import recover, restore
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.node.errors import StateFileError
from producers.node.rpc_types import Head
from producers.pools.cache import PoolCache
from producers.pools.verification import Finding, Standing, Token
from tests.producers.collected import canonical_events, read_story, recorded_rows
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import Domain, InvalidationScope, Protocol, Reason, Source, Venue
from tlv.layout import Reorg, Session, StateInvalidation
from tlv.message import build, parse
from tools.recording import RecordingNode
from tools.warm import warm_collector, warm_ring


async def collect_in_turns(ring: str, stops: int, state: Path | None = None, second_ring: str | None = None) -> None:
    """One node; collectors that are stopped after some blocks, one after the other, and a last one that finishes."""
    warm_ring()
    warm_collector()
    async with RecordingNode(speed=60.0) as node:
        for turn in range(stops + 1):
            last = turn == stops
            options = CollectorOptions(
                chain=load_chain("polygon"),
                urls=(node.ws_url,),
                ring=second_ring if second_ring and last else ring,
                until_idle_s=2.0 if last else None,
                state_file=state,
            )
            collector = Collector(options)
            work = asyncio.create_task(collector.run())
            begin = collector.statistics.blocks
            while not (work.done() or last or collector.statistics.blocks >= begin + 20):
                await asyncio.sleep(0.01)
            if not last:
                collector.stop()
            await work


def test_collectors_in_turns_tell_one_story(ring_name: str) -> None:
    asyncio.run(collect_in_turns(ring_name, stops=4))
    story = read_story(ring_name)
    assert story.standing == canonical_events()
    assert not story.twice.total()
    sessions = [message.records[0] for message in story.messages if isinstance(message.records[0], Session)]
    assert [session.epoch for session in sessions] == [1, 2, 3, 4, 5]
    assert any(isinstance(message.records[0], Reorg) for message in story.messages)


def test_collector_without_its_ring_resumes_at_its_state(new_ring_name: Callable[[], str], tmp_path: Path) -> None:
    first, second = new_ring_name(), new_ring_name()
    asyncio.run(collect_in_turns(first, stops=1, state=tmp_path / "state.json", second_ring=second))
    both = read_story(first).standing | read_story(second).standing
    assert both == canonical_events()


def test_block_whose_repair_was_cut_off_is_fetched_again() -> None:
    """A late log opened it again, and the process died before its second end."""
    conversation = Conversation(new_feed())
    payloads: list[bytes] = []
    conversation.story.add = lambda message: payloads.append(  # type: ignore[method-assign]
        build(
            Domain(message.header.domain),
            message.header.source,
            message.records,
            sequence=message.header.sequence,
            timestamp_ns=message.header.timestamp_ns,
            flags=message.header.flags,
        )
    )
    conversation.connect()
    for _ in range(12):
        conversation.step()
    repaired = parse(payloads[-1]).header.sequence
    assert repaired > 12
    before = recover(payloads)
    block = [block for block in before.blocks if block.progress is Progress.CLOSED][-2]
    told = StateInvalidation(block.number, InvalidationScope.ALL_POOLS, Reason.LATE_LOGS, bytes(20))
    payloads.append(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [told], sequence=repaired + 1, timestamp_ns=0))
    after = recover(payloads)
    assert [found.number for found in after.blocks if found.progress is Progress.WANTED] == [
        block.number,
        *(found.number for found in before.blocks if found.progress is Progress.WANTED),
    ]
    chain = Chain(256)
    assert restore(chain, after) == block.number - 1


def headers() -> list[Head]:
    return [msgspec.json.decode(line, type=Head) for line in recorded_rows("recording_2021-04-20_headers")]


def test_state_file_saved_is_loaded_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert state_file.load(path, 137) is None
    for head in headers()[:3]:
        state_file.save(path, 137, Block(head, 0))
        recovered = state_file.load(path, 137)
        assert recovered is not None
        assert [(block.hash, block.number, block.ended) for block in recovered.blocks] == [
            (head.hash, int(head.number, 16), True)
        ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_state_file_of_another_chain_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state_file.save(path, 137, Block(headers()[0], 0))
    with pytest.raises(StateFileError, match="expected chain 1, found 137"):
        state_file.load(path, 1)
    for damaged in (b"", b"{", b"\xff", path.read_bytes()[:-9], path.read_bytes().replace(b"0x", b"0y")):
        path.write_bytes(damaged)
        with pytest.raises(StateFileError, match=str(path)):
            state_file.load(path, 137)


def finding(number: int, *, settled: bool = True) -> Finding:
    pool = VerifiedEmitter(
        pool=number.to_bytes(20, "big"),
        token0=bytes.fromhex("11" * 20),
        token1=number.to_bytes(20, "little"),
        venue=Venue.QUICKSWAP_V2,
        decimals0=18,
        decimals1=6,
        factory=bytes.fromhex(load_chain("polygon").factories[0].address[2:]),
        fee_pips=3000,
        protocol=Protocol.UNISWAP_V2,
    )
    return Finding(Standing.VERIFIED, pool, Token(18, "ONE"), Token(6, "TWO", settled))


def test_pool_cache_gives_back_what_was_appended(tmp_path: Path) -> None:
    cache = PoolCache(tmp_path / "deep" / "pools.jsonl", load_chain("polygon"))
    table, tokens = PoolTable(), dict[bytes, Token]()
    assert cache.load(table, tokens) == 0
    cache.append([finding(1), finding(2, settled=False)])
    cache.append([])
    cache.append([finding(3)])
    assert cache.load(table, tokens) == 2
    assert set(table.row_of) == {f"0x{number:040x}" for number in (1, 3)}
    assert VerifiedEmitter.unpack(table.rows[0].tobytes()) == finding(1).pool
    assert tokens[bytes.fromhex("11" * 20)] == Token(18, "ONE")
    assert (tmp_path / "deep" / "pools.jsonl").stat().st_mode & 0o777 == 0o600


def test_pool_cache_cut_anywhere_loses_at_most_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    cache = PoolCache(path, load_chain("polygon"))
    cache.append([finding(1), finding(2)])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        cache.append([finding(3)])
        table = PoolTable()
        cache.load(table, {})
        kept = whole[:cut].count(b"}")  # a line without its newline is whole
        assert len(table) == kept + 1
        assert f"0x{3:040x}" in table.row_of


def test_pool_cache_of_another_chain_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    PoolCache(path, load_chain("polygon")).append([finding(1)])
    assert PoolCache(path, load_chain("ethereum")).load(PoolTable(), {}) == 0
