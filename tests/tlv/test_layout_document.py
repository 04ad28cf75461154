"""LAYOUT.md says what the code does, and the command that writes it says so too."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from tlv.codes import Venue
from tlv.layout import LAYOUT_DIGEST, LAYOUTS
from tools.layout import as_markdown, command

DOCUMENT = Path(__file__).parents[2] / "LAYOUT.md"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(arguments), standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value, result.output


def test_layout_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == as_markdown(), "run: alphapulse layout --write"
    assert run("--check", str(DOCUMENT)) == (0, "")


def test_layout_prints_the_document_by_default() -> None:
    assert run() == (0, as_markdown())


def test_layout_document_names_every_struct_field_and_code() -> None:
    text = as_markdown()
    for layout in LAYOUTS:
        assert f"### {layout.name} (" in text
        for name, kind in layout.kinds.items():
            assert f"| {layout.offsets[name]} | {kind.name} | `{name}` |" in text
    for venue in Venue:
        assert f"| {venue.value} | {venue.name} |" in text


def test_layout_check_of_another_document_fails_and_write_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "LAYOUT.md"
    path.write_text("| 0 | u64 | `magic` |\n")
    code, output = run("--check", str(path))
    assert (code, "out of date" in output) == (1, True)
    assert run("--write", str(path)) == (0, "")
    assert run("--check", str(path)) == (0, "")


def test_layout_json_holds_every_field() -> None:
    said = json.loads(run("--json")[1])
    assert said["digest"] == f"{LAYOUT_DIGEST:#018x}"
    found = {(s["name"], s["type"], s["size"], f["name"], f["offset"]) for s in said["layouts"] for f in s["fields"]}
    assert found == {
        (layout.name, layout.type, layout.size, name, layout.offsets[name])
        for layout in LAYOUTS
        for name in layout.kinds
    }


def test_layout_options_that_exclude_each_other_are_a_usage_error() -> None:
    result = CliRunner().invoke(command, ["--check", "--json"])
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_layout_help_shows_an_example() -> None:
    assert "Example:  alphapulse layout --check LAYOUT.md" in CliRunner().invoke(command, ["--help"]).output
