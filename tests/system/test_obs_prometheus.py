"""A real Prometheus scrapes obs beside the demo: every expression of the board and of the rules finds its series."""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumers.live import Live
from ringbuf import collect_garbage, list_rings
from tests.system.test_demo import segments_of, start_live
from tests.system.test_obs import running
from tests.tools.obs.prometheus_rig import PrometheusServer, program
from tools.obs.metrics import PREFIX

OBS = Path(__file__).parents[2] / "tools" / "obs"
PATIENCE_S = 120.0
QUIET = {"alphapulse_condition_ok == 0", 'alphapulse_feed_reason{ring=~"$ring"} == 1'}
"""Expressions of the board that may find nothing."""
BOARD = {
    target["expr"]
    for panel in json.loads((OBS / "board.json").read_text())["panels"]
    for target in panel.get("targets", ())
}


@contextmanager
def client_of(path: Path) -> Iterator[None]:
    """Somebody reads the relay's stream."""
    with Live(path, start="latest", reconnect=False) as live:
        thread = threading.Thread(target=lambda: [None for _ in live], daemon=True)
        thread.start()
        yield
        live.close()
        thread.join()


@pytest.fixture(scope="module")
def scraped() -> Iterator[PrometheusServer]:
    """A Prometheus with the shipped configuration, of an obs that looks at a demo with a relay's client and a watch for
    anomalies."""
    with tempfile.TemporaryDirectory(prefix="ap") as place, ExitStack() as stack:
        demo, name = start_live(Path(place))
        stack.callback(demo.communicate)
        stack.callback(demo.terminate)
        stack.enter_context(client_of(Path(place) / "alphapulse" / name / "market_data.sock"))
        stack.callback(collect_garbage, closed=True, prefix=f"{name}.anomalies")
        watch = ("anomalies", "--ring", f"{name}.market.polygon", "--health", f"{name}.anomalies", "--json")
        stack.enter_context(running(Path(place), *watch))
        rings = [ring for ring in list_rings() if ring.startswith(f"{name}.")]
        options = [part for ring in rings for part in ("--ring", ring)]
        _, ready = stack.enter_context(running(Path(place), "obs", "--port", "0", "--json", *options))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "alerts.yml").write_text((OBS / "alerts.yml").read_text())
        configuration = (OBS / "prometheus.yml").read_text()
        assert "127.0.0.1:9464" in configuration
        configuration = configuration.replace("127.0.0.1:9464", ready["url"].removeprefix("http://"))
        server = stack.enter_context(PrometheusServer(directory, configuration))
        yield server
    assert segments_of(name) == []


def evaluated(server: PrometheusServer, expression: str) -> list[Any]:
    """What an expression of the board finds for every ring, over a window that a short run fills."""
    asked = expression.replace("$__rate_interval", "10s").replace("$ring", ".*")
    found: list[Any] = server.ask("query", query=asked)["result"]
    return found


def until_found(server: PrometheusServer, expression: str) -> list[Any]:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := evaluated(server, expression)):
        assert time.monotonic() < deadline, f"no series: {expression}"
        time.sleep(0.2)
    return found


def test_board_every_expression_finds_series_of_the_demo(scraped: PrometheusServer) -> None:
    for expression in sorted(BOARD - QUIET):
        until_found(scraped, expression)
    for expression in QUIET:
        evaluated(scraped, expression)
    assert QUIET <= BOARD


@pytest.mark.parametrize("hop", ["receive_to_ring", "loop_late", "ring_to_client", "ring_to_journal"])
def test_hop_of_the_demo_has_percentiles_in_prometheus(scraped: PrometheusServer, hop: str) -> None:
    expression = f'histogram_quantile(0.5, sum by (le) (alphapulse_hop_seconds_bucket{{hop="{hop}"}}))'
    deadline = time.monotonic() + PATIENCE_S
    while math.isnan(median := float(until_found(scraped, expression)[0]["value"][1])):
        assert time.monotonic() < deadline, "nothing was counted"
        time.sleep(0.2)
    assert 0 < median < 60


def test_rules_are_evaluated_without_an_error(scraped: PrometheusServer) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in scraped.ask("rules")["groups"] for rule in group["rules"]]

    deadline = time.monotonic() + PATIENCE_S
    while any(rule["health"] == "unknown" for rule in rules()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {rule["name"]: rule["lastError"] for rule in rules() if rule["health"] != "ok"} == {}


def test_rules_name_only_metrics_that_obs_serves(scraped: PrometheusServer) -> None:
    named = set(re.findall(rf"\b{PREFIX}_\w+", (OBS / "alerts.yml").read_text().replace("|", " ")))
    served = set(scraped.ask("label/__name__/values"))
    # The bridge does not run here; what is in a pattern is not named whole.
    assert {name for name in named if not name.endswith("_")} - served == set()


def test_metrics_are_what_promtool_takes_for_good_ones(scraped: PrometheusServer) -> None:
    (target,) = scraped.ask("targets")["activeTargets"]
    with urllib.request.urlopen(target["scrapeUrl"]) as answer:
        text = answer.read()
    ended = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, b"")
