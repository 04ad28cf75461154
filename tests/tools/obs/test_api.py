"""The answers of /api and their schema, as `docs/obs.md` has them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from consumers.runner import StrategyCounts
from ringbuf import SharedCounters, Writer
from tests.tools.obs.asking import ask
from tests.tools.test_feed_stat import beat, publish
from tests.tools.test_ringstat import ringstat
from tlv.layout import LAYOUT_DIGEST
from tools.dashboard.shapes import DASHBOARD_ANSWERS
from tools.obs.api import ANSWERS
from tools.obs.app import make_app
from tools.obs.look import Looking
from tools.ringstat import RingStat

DOCUMENT = Path(__file__).parents[3] / "docs" / "obs.md"


@pytest.fixture
def app(ring_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Starlette]:
    """Asks about a collector's ring, a strategy beside it and a socket without a relay."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "alphapulse").mkdir(mode=0o700)
    (tmp_path / "alphapulse" / "signal.sock").touch()
    counts = StrategyCounts(signals=3)
    with (
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        closing(SharedCounters.create(StrategyCounts, ring_name, "strategy")) as first,
        closing(SharedCounters.create(StrategyCounts, ring_name, "strategy")) as second,
        closing(Looking((ring_name,))) as looking,
    ):
        publish(writer, beat())
        for shared, duration in ((first, 1000), (second, 5000)):
            shared.bind(counts)
            counts.ring_to_signal.add(duration)
            shared.put(counts)
        yield make_app(looking)


@pytest.mark.parametrize("path", ANSWERS)
def test_api_answer_is_what_its_schema_says(app: Starlette, path: str) -> None:
    answer = ask(app, path)
    assert answer.status == (503 if path in ("/healthz", "/readyz") else 200)
    assert answer.headers["content-type"] == "application/json"
    decoded = msgspec.json.decode(answer.body, type=ANSWERS[path])
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == json.loads(answer.body), "no field too many"


def test_ringstat_json_has_the_rings_of_api_rings_each_with_its_health(app: Starlette, ring_name: str) -> None:
    found = json.loads(ringstat(ring_name, "--once", "--json").stdout)
    schema = ask(app, "/api/schema").json()["$defs"]["RingStat"]
    assert set(found) == {"healthy", "rings"}
    (ring,) = found["rings"]
    assert ring.pop("healthy") is found["healthy"] is (not ring["problem"])
    assert set(ring) == set(schema["properties"])
    assert json.loads(msgspec.json.encode(msgspec.convert(ring, RingStat))) == ring


def test_api_schema_describes_every_answer(app: Starlette) -> None:
    schema = ask(app, "/api/schema").json()
    assert set(schema["paths"]) == {*ANSWERS, *DASHBOARD_ANSWERS}
    for path in ANSWERS:
        assert schema["paths"][path]["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def test_api_histograms_are_of_each_process_and_of_all(app: Starlette, ring_name: str) -> None:
    hops = ask(app, "/api/histograms").json()["hops"]
    ours = {hop["process"]: hop for hop in hops if hop["hop"] == "ring_to_signal"}
    assert ours[f"{ring_name}-strategy"]["longest_ns"] == 1000
    assert ours[f"{ring_name}-strategy.2"]["p50_ns"] == 5000
    assert ours[""]["count"] >= 2 and ours[""]["longest_ns"] >= 5000


def test_api_health_names_what_is_wrong(app: Starlette) -> None:
    problems = ask(app, "/healthz").json()["problems"]
    assert [problem["text"] for problem in problems if problem["subject"].endswith("signal.sock")] == [
        "does not answer"
    ]


def test_api_other_methods_and_paths_are_refused(app: Starlette) -> None:
    assert ask(app, "/api/rings", method="POST").status == 405
    assert ask(app, "/api/nothing").status == 404


def fields_of(shape: Any) -> Iterator[str]:
    """Every field of an answer, those of what it is made of included."""
    for name, definition in msgspec.json.schema_components([shape])[1].items():
        yield from (f"{name}.{field}" for field in definition.get("properties", {}))


def test_document_has_a_row_for_every_field_of_every_answer_and_no_other() -> None:
    rows = set(re.findall(r"^\| `(\w+\.\w+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert rows == {field for shape in ANSWERS.values() for field in fields_of(shape)}


def test_answers_are_dataclasses_whose_docstring_is_their_path() -> None:
    found: dict[str, Any] = {path: shape.__doc__ for path, shape in ANSWERS.items()}
    assert all(dataclasses.is_dataclass(shape) for shape in ANSWERS.values())
    assert found == {path: path for path in ANSWERS}
