"""The dashboard of a real pipeline, looked at by twenty pages without a browser: node, collector, strategy and obs are
processes, some are killed, and what the pages have is what the rings hold."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from ringbuf import Reader
from tests.system.test_obs import PATIENCE_S, running
from tests.tools.dashboard.pages import PageModel, page
from tlv.codes import Completeness, Flag
from tlv.layout import LAYOUT_DIGEST, ArbitrageSignal, Block, BlockEnd, Economics, Gap, PoolSwap, Reorg
from tlv.message import Message, parse
from tools.command.ports import free_port
from tools.dashboard.opportunities import SIGNALS
from tools.dashboard.view import BLOCKS, SWAPS

LAST_BLOCK = 13522298
"""Of the bundled recording."""
PAGES = 20


def messages(ring: str) -> list[tuple[int, Message]]:
    """Every message that a ring holds, with its sequence."""
    with closing(Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)) as reader:
        found = []
        while len(poll := reader.poll(4096)):
            found += [(frame.sequence, parse(bytes(frame.payload))) for frame in poll]
        return found


def swaps_held(found: list[tuple[int, Message]]) -> dict[int, Any]:
    """Of each swap what went in, what came out, and whether it is a removed copy."""
    held = {}
    for sequence, message in found:
        swap = message.first(PoolSwap)
        if swap is not None:
            sold = [str(units) for units in (swap.amount0_in, swap.amount1_in) if units]
            bought = [str(units) for units in (swap.amount0_out, swap.amount1_out) if units]
            held[sequence] = (sold, bought, bool(message.header.flags & Flag.REMOVED))
    return held


def blocks_held(found: list[tuple[int, Message]]) -> dict[tuple[int, str], str]:
    """The verdict of each block, by number and hash."""
    held: dict[tuple[int, str], str] = {}
    for _, message in found:
        match message.records[0] if message.records else None:
            case Block() as block:
                held[block.number, f"0x{block.hash.hex()}"] = "open"
            case BlockEnd() as end:
                held[end.number, f"0x{end.hash.hex()}"] = Completeness(end.verdict).name.lower()
            case Reorg() as reorg:
                held |= {key: "removed" for key in held if key[0] > reorg.fork_number}
    return held


def signals_held(found: list[tuple[int, Message]]) -> dict[int, tuple[str, str, str]]:
    """Size, gross and net of each signal."""
    held = {}
    for sequence, message in found:
        arbitrage, worth = message.first(ArbitrageSignal), message.first(Economics)
        if arbitrage is not None and worth is not None:
            held[sequence] = (str(arbitrage.amount_in), str(worth.gross), str(worth.net))
    return held


def newest(held: dict[Any, Any], most: int) -> dict[Any, Any]:
    return dict([*held.items()][-most:])


def assert_shows(model: PageModel, market: list[tuple[int, Message]], signals: str) -> None:
    """What a page has is what the rings hold; of signals, which may still come, no other."""
    rows = model.rows
    swaps = {
        row.sequence: ([one.units for one in row.sold], [one.units for one in row.bought], "removed" in row.flags)
        for row in rows["swaps"].values()
    }
    assert newest(swaps, SWAPS) == newest(swaps_held(market), SWAPS)
    blocks = {(row.number, row.hash): row.verdict for row in rows["blocks"].values()}
    assert newest(blocks, BLOCKS) == newest(blocks_held(market), BLOCKS)
    found = {row.sequence: (row.amount_in.units, row.gross.units, row.net.units) for row in rows["signals"].values()}
    assert found and found.items() <= newest(signals_held(messages(signals)), SIGNALS).items()
    summary = model.newest["summary"]
    assert (summary.lost_frames, summary.refused_frames) == (0, 0)
    counted = [sum(message.first(kind) is not None for _, message in market) for kind in (PoolSwap, Reorg, Gap)]
    assert [summary.swaps, summary.reorgs, summary.gaps] == counted


def unwell(model: PageModel) -> set[tuple[str, str]]:
    return {(box.kind, box.name) for box in model.newest["health"].boxes if not box.ok}


def test_twenty_pages_show_what_the_rings_hold_while_collector_and_obs_are_killed(
    tmp_path: Path, new_ring_name: Callable[[], str], tell: Callable[[str], None]
) -> None:
    market, signals, port = new_ring_name(), new_ring_name(), str(free_port())
    collect = ("collect", "--ring", market, "--pool-cache", "none", "--json")
    strategy = ("strategy", "--ring", market, "--signals", signals, "--start", "oldest", "--json")
    obs = ("obs", "--port", port, "--ring", market, "--ring", signals, "--json")

    def shown(model: PageModel) -> list[tuple[int, Message]] | None:
        """What the ring holds, once all of the recording is in it and the page shows it."""
        held = messages(market)
        blocks = blocks_held(held)
        if "open" in blocks.values() or max(blocks, default=(0, ""))[0] < LAST_BLOCK:
            return None
        try:
            assert_shows(model, held, signals)
        except AssertionError:
            return None
        return held

    with ExitStack() as opened, running(tmp_path, "node", "--speed", "max", "--json") as (_, ready):
        collector, _ = opened.enter_context(running(tmp_path, *collect, "--url", ready["ws"]))
        opened.enter_context(running(tmp_path, *strategy))
        with running(tmp_path, *obs) as (killed, ready_obs), ExitStack() as watching:
            pages = [watching.enter_context(page(ready_obs["url"])) for _ in range(PAGES)]
            for one in pages:
                held = one.until(shown)
            tell(f"{PAGES} pages: {len(swaps_held(held))} swaps, {len(blocks_held(held))} blocks as the ring has them")
            collector.send_signal(signal.SIGKILL)
            collector.wait(PATIENCE_S)
            for one in pages:
                one.until(lambda model: {("ring", market), ("process", f"{market}-collector")} <= unwell(model))
            killed.send_signal(signal.SIGKILL)
            killed.wait(PATIENCE_S)
        with running(tmp_path, *obs) as (_, again), page(again["url"]) as one:
            one.until(lambda model: ("ring", market) in unwell(model) and shown(model))
            opened.enter_context(running(tmp_path, *collect, "--url", ready["ws"]))
            one.until(lambda model: ("ring", market) not in unwell(model))
