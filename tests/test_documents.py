"""What the documents claim and a machine can check."""

from __future__ import annotations

import re
from pathlib import Path

from tlv.layout import LAYOUT_DIGEST

ROOT = Path(__file__).parent.parent


def test_changelog_names_the_current_layout_digest() -> None:
    digests = re.findall(r"Layout digest `(0x[0-9a-f]+)`", (ROOT / "CHANGELOG.md").read_text())
    assert int(digests[0], 16) == LAYOUT_DIGEST


def test_architecture_decisions_are_numbered_without_a_hole_in_each_part() -> None:
    parts: dict[str, list[int]] = {}
    for letter, number in re.findall(r"^- \*\*([A-Z])(\d+)\. ", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE):
        parts.setdefault(letter, []).append(int(number))
    assert "".join(parts) == "WRFSLT"
    assert parts == {letter: list(range(1, len(numbers) + 1)) for letter, numbers in parts.items()}


def test_documents_name_only_files_that_exist() -> None:
    pattern = r"(?:\]\(|`)((?:tlv|ringbuf|producers|consumers|tools|tests)/[\w./-]+|[A-Z]+\.md)(?:\)|`)"
    for document in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        missing = [name for name in re.findall(pattern, (ROOT / document).read_text()) if not (ROOT / name).exists()]
        assert missing == [], document
