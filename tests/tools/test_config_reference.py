"""docs/configuration.md is what the code says, and says of each number what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.command.sections import SECTIONS
from tools.config_reference import as_markdown, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
PLAIN = {
    *("restarts", "port", "chain_id", "first_block", "disconnects", "seed", "instance", "replicas"),
    "start",  # a sequence
    "speed",  # times the recorded pace
}
"""Numbers without a unit."""


def test_configuration_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text() == as_markdown(), "alphapulse config reference --write"


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_configuration_reference_has_a_unit_for_every_number_and_a_meaning_for_every_key(section: str) -> None:
    for row in rows(section):
        assert row["meaning"], row
        if "number" in row["kind"] and row["key"] not in PLAIN:
            assert row["unit"], row
