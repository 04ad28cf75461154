"""The page's modules that know no browser, by Node.js' own test runner."""

from __future__ import annotations

import json
import os
import random
import subprocess
from decimal import Context, Decimal
from pathlib import Path

from tools.rig.evm.javascript import node_command

TESTS = sorted(Path(__file__).parent.glob("page/*.test.js"))


def amounts() -> list[dict[str, str | int]]:
    """Amounts of every length up to 78 digits, with the texts that Python's decimals give them."""
    exact = Context(prec=300)
    chance = random.Random(12)
    vectors: list[dict[str, str | int]] = []
    for digits in range(1, 79):
        for decimals in {0, 1, 6, 18, 77, 254, digits, max(0, digits - 1)}:
            units = chance.choice((1, -1)) * int(
                chance.choice("123456789") + "".join(chance.choices("0123456789", k=digits - 1))
            )
            text = f"{exact.scaleb(Decimal(units), -decimals):,f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            vectors.append({"units": str(units), "decimals": decimals, "text": text})
    return [*vectors, {"units": "0", "decimals": 18, "text": "0"}, {"units": "100", "decimals": 2, "text": "1"}]


def test_page_modules_pass_their_tests(tmp_path: Path) -> None:
    vectors = tmp_path / "amounts.json"
    vectors.write_text(json.dumps(amounts()))
    done = subprocess.run(
        [node_command(), "--test", "--test-reporter=tap", *map(str, TESTS)],
        env=os.environ | {"AMOUNTS": str(vectors), "NODE_NO_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(TESTS) == 3
