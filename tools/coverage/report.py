"""What `alphapulse coverage` says of an account: rows by kind and factory, emitters, and text.

Owns names and order.  Keys of the JSON are a promise (docs/swaps.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from producers.chains.configuration import ChainConfig
from producers.kinds.registry import name_of
from tlv.codes import NotPublished
from tlv.venues import VENUES
from tools.coverage.account import NO_ADDRESS, SwapAccount
from tools.coverage.unknown_factories import unknown_factories

COLUMNS = ("published", "unproven", "unsupported", "no_pool", "filtered", "refused")
"""What becomes of a swap."""
SHOWN = 10
"""Emitters in the text; the JSON has all."""
Row = tuple[str, str, str]
"""Kind, venue and factory, "" where unknown."""


def to_dict(account: SwapAccount, chain: ChainConfig | None) -> dict[str, Any]:
    """The account as JSON."""
    rows = _rows(account, chain)
    totals: Counter[str] = Counter()
    for counts in rows.values():
        totals.update(counts)
    order = sorted(rows, key=lambda row: (-rows[row].total(), row))
    return {
        "swaps": account.swaps,
        "published": totals["published"],
        "uncounted": account.uncounted,
        "share": round(totals["published"] / account.swaps, 6) if account.swaps else None,
        "outcomes": {outcome: totals[outcome] for outcome in COLUMNS},
        "by_kind": [
            {"kind": kind, "venue": venue, "factory": factory}
            | {outcome: rows[kind, venue, factory][outcome] for outcome in COLUMNS}
            for kind, venue, factory in order
        ],
        "emitters": list(_emitters(account)),
        "unknown_factories": unknown_factories(account, chain),
        "blocks": account.blocks,
        "cut_blocks": account.cut,
        "open_blocks": account.open,
        "late_ends": account.late,
        "miscounted": [
            {"number": one.number, "hash": f"0x{one.hash.hex()}", "uncounted": one.uncounted}
            for one in account.miscounted
        ],
        "gaps": [gap._asdict() for gap in account.gaps],
    }


def _rows(account: SwapAccount, chain: ChainConfig | None) -> dict[Row, Counter[str]]:
    venues = {bytes.fromhex(one.address[2:]): one.venue_code for one in chain.factories} if chain is not None else {}
    venues |= account.venue_of
    rows: dict[Row, Counter[str]] = {}
    for pool, swaps in account.published.items():
        factory = account.factory_of.get(pool.address, NO_ADDRESS)
        rows.setdefault(_row(pool.protocol, pool.venue, factory), Counter())["published"] += swaps
    for (_, protocol), found in account.emitters.items():
        row = rows.setdefault(_row(protocol, venues.get(found.factory, 0), found.factory), Counter())
        for reason, swaps in found.swaps.items():
            row[reason.name.lower()] += swaps
    return rows


def _row(protocol: int, venue: int, factory: bytes) -> Row:
    name = VENUES.name_of(venue) or str(venue) if venue else ""
    return name_of(protocol).upper(), name, "" if factory == NO_ADDRESS else f"0x{factory.hex()}"


def _emitters(account: SwapAccount) -> Iterator[dict[str, Any]]:
    """Each of which swaps are not published, the busiest first."""
    found = sorted(account.emitters.items(), key=lambda one: (-one[1].swaps.total(), one[0]))
    for (emitter, protocol), counts in found:
        yield {
            "emitter": "" if not any(emitter) else f"0x{emitter.hex()}",
            "kind": name_of(protocol).upper(),
            "factory": "" if counts.factory == NO_ADDRESS else f"0x{counts.factory.hex()}",
            "swaps": counts.swaps.total(),
        } | {reason.name.lower(): counts.swaps[reason] for reason in NotPublished}


def lines(said: dict[str, Any]) -> Iterator[str]:
    """The same as text."""
    if not said["swaps"]:
        yield f"{said['blocks']} blocks, no swap in them"
    else:
        yield (
            f"{said['swaps']:,} swaps in {said['blocks']:,} blocks: {said['published']:,} published "
            f"({100 * said['share']:.2f} %), {said['uncounted']:,} uncounted"
        )
        yield from _table(said["by_kind"])
    for block in said["miscounted"]:
        yield f"block {block['number']} ({block['hash']}) does not add up: {block['uncounted']:+} swaps"
    yield from _missing(said)
    named = [one for one in said["emitters"] if one["emitter"]]
    if named:
        yield ""
        yield "emitters whose swaps are not published, the busiest first"
    for one in named[:SHOWN]:
        why = ", ".join(f"{one[outcome]:,} {outcome}" for outcome in COLUMNS[1:] if one[outcome])
        yield f"  {one['emitter']}  {one['kind']}  {why}"
    if len(named) > SHOWN:
        yield f"  and {len(named) - SHOWN:,} others (--json names all)"
    for one in said["unknown_factories"]:
        yield ""
        yield f"# {one['swaps']:,} swaps of {one['emitters']:,} emitters name this factory.  For a chain file:"
        yield one["toml"].rstrip("\n")


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    head = ("kind", "venue or factory", *COLUMNS)
    cells = [
        (one["kind"], one["venue"] or one["factory"] or "-", *(f"{one[name]:,}" for name in COLUMNS)) for one in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row in (head, *cells):
        texts = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(texts).rstrip()


def _missing(said: dict[str, Any]) -> Iterator[str]:
    for gap in said["gaps"]:
        yield f"{gap['scope']} {gap['first']} to {gap['last']} are missing"
    if said["cut_blocks"]:
        yield f"{said['cut_blocks']:,} blocks are left out: a part of what was said of them is missing here"
    if said["open_blocks"]:
        yield f"{said['open_blocks']:,} blocks have not ended"
    if said["late_ends"]:
        yield f"{said['late_ends']:,} ends of blocks that were added up already are left out"
