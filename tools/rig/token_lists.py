"""What published token lists say of a token: symbol, name and decimals, read from their npm packages.

Owns which lists are read and in which order.  It must never change what a list says; where lists differ, `agreed` says
what is taken:

    symbol, name   those of the first list that has the token, in the order of `LISTS`
    decimals       what every list says that has the token; None if two differ, since a wrong power of ten is worse
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from tools.rig.evm.packages import Package, path_of

FEWEST_DECIMALS, MOST_DECIMALS = 0, 254
"""255 stands for unknown in every record."""


class ListedToken(NamedTuple):
    """What one list says of one token."""

    chain_id: int
    address: str
    symbol: str
    name: str
    decimals: int
    source: str


class TokenList(NamedTuple):
    """A package that lists tokens, and the form that its file has."""

    package: Package
    form: Literal["token-list", "table", "source"]

    @property
    def source(self) -> str:
        """As it stands in a row of `tokens`."""
        return f"npm:{self.package.spec}"


LISTS = (
    TokenList(
        Package(
            "quickswap-default-token-list@1.2.59",
            "391b393f3767cfa05964628e787078b3618c7dfcb562762f993041279668d607",
            ("build/quickswap-default.tokenlist.json",),
        ),
        "token-list",
    ),
    TokenList(
        Package(
            "@uniswap/default-token-list@22.21.0",
            "11efb39debab2f71e28ceca8ff74bd444677aea781d20bf7aa50ebe05612a70c",
            ("build/uniswap-default.tokenlist.json",),
        ),
        "token-list",
    ),
    TokenList(
        Package(
            "@sushiswap/default-token-list@43.3.0",
            "dc8545788ea52bd289f36b9e6fda0c9c78eb429c1fe26aa9b150cbc37a0f6898",
            ("build/sushiswap-default.tokenlist.json",),
        ),
        "token-list",
    ),
    TokenList(
        Package(
            "@1delta/asset-registry@0.0.99",
            "4c09267ec196282c864b91b97143ebd0c432b6cf7abc6a43d8c45d0427c78e83",
            ("src/data/assetMeta.ts",),
        ),
        "table",
    ),
    TokenList(
        Package(
            "@beefyfinance/blockchain-addressbook@0.59.18",
            "e02d793121c598484b4e174f0b15551fa0833e38f31633672869a8243fb3ae6f",
            ("dist/address-book/polygon/tokens/tokens.js", "dist/address-book/ethereum/tokens/tokens.js"),
        ),
        "source",
    ),
)
"""In the order of precedence: a DEX's own list of its chain first, collections of lists last."""

CHAIN_LINE = re.compile(r'^"(\d+)": \{')
TOKEN_LINE = re.compile(r'^"(0x[0-9a-f]{40})": (\{.*\}),?$')
BRACES = re.compile(r"\{[^{}]*\}")
FIELD = re.compile(r'^\s*(name|symbol|address|decimals|chainId): (".*"|\d+),?$', re.MULTILINE)


def read_lists(lists: Iterable[TokenList] = LISTS) -> dict[tuple[int, str], list[ListedToken]]:
    """What the lists say, by chain id and address, in their order.

    Raises:
        UsageError: a package cannot be fetched, or is not what is pinned.
    """
    found: dict[tuple[int, str], list[ListedToken]] = {}
    for token_list in lists:
        for member in token_list.package.members:
            text = path_of(token_list.package, member).read_text(encoding="utf-8")
            for said in read_list(text, token_list):
                found.setdefault((said.chain_id, said.address), []).append(said)
    return found


def read_list(text: str, token_list: TokenList) -> Iterator[ListedToken]:
    """The tokens of one file that have everything a row needs."""
    entries = {"token-list": _token_list, "table": _table, "source": _source}[token_list.form](text)
    for entry in entries:
        chain_id, address, decimals = entry.get("chainId"), entry.get("address"), entry.get("decimals")
        symbol, name = entry.get("symbol"), entry.get("name")
        if not (isinstance(chain_id, int) and isinstance(address, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", address)):
            continue
        if not (isinstance(decimals, int) and FEWEST_DECIMALS <= decimals <= MOST_DECIMALS):
            continue
        if isinstance(symbol, str) and isinstance(name, str):
            yield ListedToken(chain_id, address.lower(), symbol, name, decimals, token_list.source)


def agreed(said: list[ListedToken]) -> dict[str, Any]:
    """The row of a token of which at least one list says something."""
    first, decimals = said[0], {one.decimals for one in said}
    return {
        "chainId": first.chain_id,
        "address": first.address,
        "symbol": first.symbol,
        "name": first.name,
        "decimals": first.decimals if len(decimals) == 1 else None,
        "sources": list(dict.fromkeys(one.source for one in said)),
    }


def _token_list(text: str) -> list[dict[str, Any]]:
    """The Uniswap token-list schema."""
    tokens: list[dict[str, Any]] = json.loads(text)["tokens"]
    return tokens


def _table(text: str) -> Iterator[dict[str, Any]]:
    """A TypeScript table by chain id and address, one JSON object a line."""
    chain_id = 0
    for line in text.splitlines():
        if chain := CHAIN_LINE.match(line):
            chain_id = int(chain[1])
        elif token := TOKEN_LINE.match(line):
            yield {"chainId": chain_id, "address": token[1]} | json.loads(token[2])


def _source(text: str) -> Iterator[dict[str, Any]]:
    """JavaScript object literals with one field a line."""
    for block in BRACES.finditer(text):
        yield {name: json.loads(value) for name, value in FIELD.findall(block[0])}
