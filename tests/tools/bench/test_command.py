"""The command around benchmarks: what it keeps, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tlv.errors import UsageError
from tools.bench import command as bench
from tools.bench.result import BenchResult
from tools.command.needs import is_installed

Bench = Callable[..., tuple[int, dict[str, Any]]]


def result(name: str, value: float = 2.0, target: float | None = None) -> BenchResult:
    return BenchResult(name, value, "M/s", "baseline", 1.0, value, target)


def sound(seconds: float) -> list[BenchResult]:
    return [result("sound")]


def broken(seconds: float) -> Iterator[BenchResult]:
    yield result("half", target=3.0)
    raise ValueError("expected a frame, found none")


def ended(seconds: float) -> Iterator[BenchResult]:
    yield result("before the end")
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs the command over benchmarks of this file; returns its exit code, and the JSON."""
    for made in (sound, broken, ended):
        module = types.ModuleType(f"made_{made.__name__}")
        module.run = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(bench, "LIBRARIES", {"lacking": ("nats",)})
    monkeypatch.setattr(bench, "is_installed", lambda library: library != "nats" and is_installed(library))

    def run_command(*arguments: str, of: tuple[str, ...] = (), code: str = "sound") -> tuple[int, dict[str, Any]]:
        table = {name: f"made_{name if name in ('sound', 'broken', 'ended') else code}" for name in of}
        monkeypatch.setattr(bench, "BENCHMARKS", table)
        status = bench.command.main(["--json", *arguments], standalone_mode=False)
        out = capsys.readouterr().out
        return status, json.loads(out) if out else {}

    return run_command


def test_bench_that_fails_is_named_with_its_reason_and_the_others_run(run: Bench) -> None:
    status, found = run(of=("broken", "sound", "lacking"))
    assert status == 1
    assert [row["name"] for row in found["results"]] == ["half", "sound"]
    assert [failure["benchmark"] for failure in found["failed"]] == ["lacking", "broken"]
    assert "pip install 'alphapulse[nats]'" in found["failed"][0]["reason"]
    assert found["failed"][1]["reason"] == "ValueError: expected a frame, found none"
    assert found["done"] == ["sound"] and found["interrupted"] is False
    assert {"cores", "pinned", "processor"} <= found["machine"].keys()
    assert found["results"][0]["meets_target"] is False
    assert found["results"][0]["disturbance"].keys() >= {"steal_share", "others_share", "longest_gap_us"}


def test_bench_of_nothing_that_is_installed_is_a_usage_error(run: Bench) -> None:
    with pytest.raises(UsageError, match="alphapulse\\[nats\\]"):
        run(of=("lacking",))


def test_bench_that_is_interrupted_keeps_its_readings_and_resumes(run: Bench, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    status, found = run("--output", str(file), of=("sound", "ended", "never"))
    assert (status, found["interrupted"]) == (130, True)
    assert [row["name"] for row in found["results"]] == ["sound", "before the end"]
    assert json.loads(file.read_text()) == found
    status, resumed = run("--output", str(file), "--resume", of=("sound", "again", "never"))
    assert status == 1  # what was chosen is in the file, and there is no `ended` here
    assert [failure["benchmark"] for failure in resumed["failed"]] == ["ended"]
    assert [row["benchmark"] for row in resumed["results"]] == ["sound", "never"]
    assert resumed["when"] == found["when"] and resumed["interrupted"] is False
    assert run("--output", str(file), "--resume", of=("sound",))[1]["chosen"] == ["sound"]  # it is finished: a new one
    with pytest.raises(UsageError, match="--resume: expected --output"):
        run("--resume", of=("sound",))


def test_bench_compares_with_an_earlier_run_and_reads_one_without_measuring(run: Bench, tmp_path: Path) -> None:
    before, now = tmp_path / "before.json", tmp_path / "now.json"
    run("--rounds", "3", "--output", str(before), of=("sound",))
    kept = json.loads(before.read_text())
    assert kept["results"][0]["rounds"] == [2.0, 2.0, 2.0] and kept["results"][0]["noise"] == 0.0
    for row in kept["results"]:
        row["disturbed"], row["value"] = False, 1.0
    now.write_text(json.dumps(kept))
    status, found = run("--read", str(now), "--compare", str(before), "--strict", of=())
    assert (status, [change["verdict"] for change in found["changes"]["changes"]]) in [
        (1, ["slower"]),
        (0, ["disturbed"]),
    ]
    status, found = run("--read", str(now), "--compare", str(now), "--strict", of=())
    assert (status, found["changes"]["changes"][0]["verdict"]) == (0, "same")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "Input data was truncated"),
        ("[1]", "Expected `object`, got `array`"),
        ('{"machine": {}, "seconds": 1}', "missing required field `results`"),
        ('{"machine": {}, "seconds": 1, "results": [{"name": 3}]}', r"results\[0\].name"),
    ],
)
def test_bench_refuses_what_is_no_earlier_run(run: Bench, tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "run.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=rf"run.json: expected the JSON of an earlier run.*{said}"):
        run("--compare", str(file), of=("sound",))


def test_bench_quick_is_within_a_minute_and_says_what_had_no_time(run: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "QUICK_LIMIT_S", 0.0)
    status, found = run("--quick", "--seconds", "9", of=("sound",))
    assert (status, found["seconds"], found["interrupted"]) == (0, bench.QUICK_SECONDS, False)
    assert [one["benchmark"] for one in found["left_out"]] == ["sound"]


def test_bench_that_is_terminated_prints_what_it_has_measured() -> None:
    arguments = [sys.executable, "-m", "tools.command.main", "bench", "--only", "tlv", "--only", "start"]
    process = subprocess.Popen(
        [*arguments, "--seconds", "0.01", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "measuring start" in line:
            process.send_signal(signal.SIGTERM)
            break
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    found = json.loads(out)
    assert found["interrupted"] is True and found["done"] == ["tlv"]
    assert {row["benchmark"] for row in found["results"]} == {"tlv"}
    assert said[0].startswith("measuring tlv (1 of 2; some ") and "measuring start (2 of 2; some " in said[1]
