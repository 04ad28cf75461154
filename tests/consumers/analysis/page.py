"""The code of docs/analysis.md, as it stands."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "analysis.md"


def blocks(heading: str, language: str) -> list[str]:
    """The blocks of code in a language under a heading of the page."""
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def claims(heading: str) -> dict[str, str]:
    """What the page says that queries give: the lines `query -- value: what follows from it`."""
    lines = [line for block in blocks(heading, "sql") for line in block.splitlines() if " -- " in line]
    parts = [line.partition(" -- ") for line in lines]
    return {query.strip(): said.partition(": ")[0] for query, _, said in parts}
