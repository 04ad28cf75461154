"""Published token lists: what is taken of each form, and what counts where they differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.rig.evm.packages import Package
from tools.rig.token_lists import ListedToken, TokenList, agreed, read_list

ADDRESS = "0xAb" + "cd" * 19
TOKEN: dict[str, Any] = {"chainId": 137, "address": ADDRESS, "symbol": "A", "name": "A token", "decimals": 18}


def a_list(form: Any) -> TokenList:
    return TokenList(Package("some-list@1.0.0", "", ("file",)), form)


def said(symbol: str, decimals: int, source: str) -> ListedToken:
    return ListedToken(137, ADDRESS.lower(), symbol, f"{symbol} token", decimals, source)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("token-list", json.dumps({"tokens": [TOKEN]})),
        (
            "table",
            'export const META = {\n"1": {\n},\n"137": {\n'
            f'"{ADDRESS.lower()}": {{"decimals":18,"name":"A token","symbol":"A","group":"x"}},\n}},\n}}',
        ),
        (
            "source",
            'const A = {\n\tname: "A token",\n\tsymbol: "A",\n'
            f'\taddress: "{ADDRESS}",\n\tchainId: 137,\n\tdecimals: 18,\n\ttags: ["X"]\n}};\nconst tokens = {{ A }};\n',
        ),
    ],
)
def test_list_of_each_form_says_the_same_of_the_same_token(form: str, text: str) -> None:
    assert list(read_list(text, a_list(form))) == [
        ListedToken(137, ADDRESS.lower(), "A", "A token", 18, "npm:some-list@1.0.0")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"decimals": 255},
        {"decimals": -1},
        {"decimals": "18"},
        {"decimals": None},
        {"address": "0x12"},
        {"address": ADDRESS + "00"},
        {"address": None},
        {"chainId": "137"},
        {"symbol": None},
        {"name": 7},
    ],
)
def test_entry_that_makes_no_row_is_left_out(change: dict[str, Any]) -> None:
    text = json.dumps({"tokens": [TOKEN | change, TOKEN]})
    assert len(list(read_list(text, a_list("token-list")))) == 1


def test_lists_that_differ_give_the_first_symbol_and_no_decimals() -> None:
    row = agreed([said("A", 18, "one"), said("A", 18, "one"), said("B", 18, "two")])
    assert (row["symbol"], row["name"], row["decimals"], row["sources"]) == ("A", "A token", 18, ["one", "two"])
    assert agreed([said("A", 18, "one"), said("A", 9, "two")])["decimals"] is None
