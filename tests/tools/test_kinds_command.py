"""The tables of docs/coverage.md and README.md are what kinds and chain files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from producers.chains.configuration import BUNDLED, load_chain
from tlv.errors import UsageError
from tools.kinds import DOCUMENTS, chains, command, kinds, renewed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_tables_of_the_document_are_what_the_code_says(document: Path) -> None:
    text = (ROOT / document).read_text()
    assert text == renewed(text, document), "alphapulse kinds --write"


def test_every_kind_and_every_factory_of_every_bundled_chain_is_listed() -> None:
    found = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert {one["kind"] for one in found["kinds"]} == {kind.name for kind in kinds()}
    assert [len(found["chains"][name]) for name in BUNDLED] == [len(load_chain(name).factories) for name in BUNDLED]
    text = CliRunner().invoke(command, []).stdout
    for factory in (factory for chain in chains() for factory in chain.factories):
        assert factory.address in text
        assert next(one for one in found["kinds"] if one["kind"] == factory.protocol)["quotes"]


def test_stale_table_is_found_and_renewed_and_nothing_else_is_touched(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: covered -->\nold\n<!-- end of covered -->\nbehind\n")
    checked = CliRunner().invoke(command, ["--check", str(page)], standalone_mode=False)
    assert checked.return_value == 1 and "page.md is out of date" in checked.stderr
    assert CliRunner().invoke(command, ["--write", str(page)], standalone_mode=False).return_value == 0
    assert CliRunner().invoke(command, ["--check", str(page)], standalone_mode=False).return_value == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nbehind\n") and "old" not in text and "| Polygon |" in text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plain\n", "found none"),
        ("<!-- generated: birds -->\n<!-- end of birds -->\n", "expected one of kinds, venues, covered .* 'birds'"),
        ("<!-- generated: kinds -->\n", "expected <!-- end of kinds --> behind"),
    ],
)
def test_document_without_a_place_for_a_table_is_refused(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        renewed(text, Path("page.md"))
