"""The alert rules and the board as files: promtool's word on them, and that every alert is tested and documented."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.tools.obs.prometheus_rig import program

ROOT = Path(__file__).parents[3]
OBS = ROOT / "tools" / "obs"
ALERTS = re.findall(r"^ +- alert: (\w+)$", (OBS / "alerts.yml").read_text(), re.MULTILINE)


def promtool(*arguments: str) -> str:
    ended = subprocess.run(
        [program("promtool"), *arguments], cwd=OBS, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_rules_are_what_promtool_takes_for_rules() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", "alerts.yml")


def test_configuration_is_what_promtool_takes_for_one() -> None:
    assert "prometheus.yml is valid" in promtool("check", "config", "prometheus.yml")


def test_rules_fire_at_their_trouble_and_at_nothing_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_rules_have_each_a_case_that_fires_it() -> None:
    cases = (OBS / "alerts_test.yml").read_text()
    assert [name for name in ALERTS if f'alertname="{name}"' not in cases] == []
    assert len(ALERTS) == len(set(ALERTS)) > 10


@pytest.mark.parametrize("name", ALERTS)
def test_rule_has_an_entry_in_the_runbook_that_it_names(name: str) -> None:
    rule = (OBS / "alerts.yml").read_text().partition(f"- alert: {name}\n")[2].partition("- alert:")[0]
    assert f"runbook: docs/obs.md#{name.lower()}\n" in rule
    entry = (ROOT / "docs" / "obs.md").read_text().partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    assert len(entry) > 100, "what it means and what to do"


def test_board_names_each_panel_once_and_leaves_no_two_on_one_place() -> None:
    panels = json.loads((OBS / "board.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
