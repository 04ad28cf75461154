"""`make metadata`: what the recording node knows of tokens and pools, made anew from public facts.

Owns `tokens.jsonl.gz` and `pools.jsonl.gz` of the bundled recordings.

    tokens   what the published lists say of every token that a bundled log is of or a bundled pool trades; and of every
             token of Polygon, whose node people try things on, that the lists of its exchanges have
    pools    the rows that are there: proven where a factory of `factories.toml` computes to the address, with symbols
             and decimals from the tokens

It must never guess: what no list says stays null, what no factory computes to stays unproven.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from producers.chains.configuration import load_chain
from producers.chains.create2 import create2_address
from producers.kinds.registry import kind_named
from tools.recording.bundle import RECORDED, bundled_recording
from tools.recording.contracts import PROVEN
from tools.rig.token_lists import LISTS, ListedToken, agreed, read_lists

TOKENS, POOLS = "tokens.jsonl.gz", "pools.jsonl.gz"
FACTORIES, PROVENANCE = "factories.toml", "PROVENANCE.md"
CHECKSUM = re.compile(r"^\| `([^`]+)` \| `[0-9a-f]{64}` \|$", re.MULTILINE)
WHOLE = {137: {token_list.source for token_list in LISTS[:3]}}
"""Of which chains every token is taken, of which lists."""
FEE_TIERS = (100, 500, 3000, 10000)
Row = dict[str, Any]


def main() -> None:
    """Write both files of every recorded chain and their checksums, and say what is in them."""
    said = read_lists()
    for chain in RECORDED:
        tokens = make_tokens(chain, said)
        pools = make_pools(chain, tokens)
        write(bundled_recording(chain) / TOKENS, tokens)
        write(bundled_recording(chain) / POOLS, pools)
        proven = sum(row["method"] == PROVEN for row in pools)
        print(f"{chain}: {len(tokens)} tokens, {len(pools)} pools of which {proven} are proven", file=sys.stderr)
    renew_checksums()


def make_tokens(chain: str, said: dict[tuple[int, str], list[ListedToken]]) -> list[Row]:
    """The rows of a chain's tokens, by address."""
    chain_id = load_chain(chain).chain_id
    wanted = set(seen_addresses(chain))
    rows = [
        agreed(of_token)
        for (of_chain, address), of_token in said.items()
        if of_chain == chain_id
        and (address in wanted or any(one.source in WHOLE.get(chain_id, ()) for one in of_token))
    ]
    return sorted(rows, key=lambda row: str(row["address"]))


def seen_addresses(chain: str) -> Iterator[str]:
    """Whose logs are bundled, and what the bundled pools trade."""
    for path in bundled_recording(chain).glob("*_logs.jsonl.gz"):
        yield from (row["address"] for row in read(path))
    for row in read(bundled_recording(chain) / POOLS):
        yield from (row[name] for name in ("token0", "token1") if row[name])
        yield from (*row.get("coins", ()), *row.get("underlying_coins", ()))


def make_pools(chain: str, tokens: list[Row]) -> list[Row]:
    """The rows of a chain's pools: proven where they can be, named where their tokens are."""
    known = {row["address"]: row for row in tokens}
    return [_named(_proven(row), known) for row in read(bundled_recording(chain) / POOLS)]


def _proven(row: Row) -> Row:
    """The row with its factory, if one computes to its address."""
    if row["method"] == PROVEN or row["token0"] is None or row["token1"] is None:
        return row
    for factory in factories():
        if factory["chain_id"] != row["chainId"]:
            continue
        for fee in [factory["fee_pips"]] if "fee_pips" in factory else FEE_TIERS:
            if pool_address(row, factory, fee) == row["pool"]:
                made = {"dex": factory["dex"], "factory_or_deployer": factory["address"], "fee_pips": fee}
                return row | made | {"method": PROVEN}
    return row


def pool_address(row: Row, factory: Row, fee: int) -> str:
    """What a factory's pool of the row's tokens has for an address; the fee counts where its kind's salt has it."""
    kind = kind_named(factory["protocol"])
    assert kind is not None and kind.proof.salt is not None
    token0, token1 = (bytes.fromhex(row[name][2:]) for name in ("token0", "token1"))
    salt = kind.proof.salt(token0, token1, (fee,) if kind.proof.functions else ())
    made = create2_address(bytes.fromhex(factory["address"][2:]), salt, bytes.fromhex(factory["init_code_hash"][2:]))
    return f"0x{made.hex()}"


def _named(row: Row, tokens: dict[str, Row]) -> Row:
    """The row with what the lists say of its tokens."""
    named = dict(row)
    for which in "01":
        token = tokens.get(row[f"token{which}"] or "", {})
        named[f"symbol{which}"], named[f"decimals{which}"] = token.get("symbol"), token.get("decimals")
    return named


@cache
def factories() -> tuple[Row, ...]:
    """The factories beside those of the chain files."""
    return tuple(tomllib.loads((bundled_recording().parent / FACTORIES).read_text())["factories"])


def read(path: Path) -> list[Row]:
    """The rows of a file."""
    return [msgspec.json.decode(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write(path: Path, rows: Iterable[Row]) -> None:
    """The rows as a file, the same bytes for the same rows."""
    text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    path.write_bytes(gzip.compress(text, 9, mtime=0))


def renew_checksums() -> None:
    """The checksums that the provenance states, those of the files as they are."""
    folder = bundled_recording().parent

    def renewed(line: re.Match[str]) -> str:
        return f"| `{line[1]}` | `{hashlib.sha256((folder / line[1]).read_bytes()).hexdigest()}` |"

    page = folder / PROVENANCE
    page.write_text(CHECKSUM.sub(renewed, page.read_text()))


if __name__ == "__main__":
    main()
