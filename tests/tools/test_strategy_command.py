"""`alphapulse strategy` with strategies of one's own: which, with which parameters, into which rings, how it ends."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.recorder import Recorder
from ringbuf import Reader, Writer
from tests.consumers.recorded_market import canonical_frames
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST, SignalIdentity
from tlv.message import parse
from tools.command.checking import mistakes
from tools.command.claims import claims_of
from tools.command.config import load_config
from tools.strategy import command, parameters_by_name, rings_of

MINE = """
import msgspec
from consumers.strategy import Strategy
from tlv.layout import PoolSync

class Params(msgspec.Struct):
    every: int = 1
    note: str = ""

class Every(Strategy):
    name = "every"
    params = Params
    wants = frozenset({PoolSync})
    def __init__(self, params):
        super().__init__()
        self.every, self.seen = params.every, 0
    def on_event(self, record, origin):
        print("seen", self.seen)
        self.seen += 1
        if self.seen % self.every == 0:
            self.emit()

class Broken(Strategy):
    name = "broken"
    def on_event(self, record, origin):
        raise LookupError("of no use")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a strategy's file; what the command does to signals and modules ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_strategies.py").write_text(MINE)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    sys.modules.pop("own_strategies", None)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def market(new_ring_name: Callable[[], str]) -> str:
    """A closed ring with the recording."""
    name = new_ring_name()
    with Writer.create(name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writer:
        for _, _, data in canonical_frames():
            writer.publish(data)
        writer.close()
    return name


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    """Run the command with --json; exit status, lines and stderr."""

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        code = command.main([*arguments, "--until-closed", "--json"], standalone_mode=False)
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


def names_in(ring: str) -> list[str]:
    """Which strategies' signals a ring has."""
    with Reader.attach(ring, start="oldest") as reader:
        found = []
        while frames := reader.poll():
            found += [parse(frame.payload).first(SignalIdentity) for frame in frames]
    return [identity.strategy for identity in found if identity is not None]


def test_strategy_of_a_file_runs_with_its_parameters_and_says_what_it_did(
    market: str, new_ring_name: Callable[[], str], run: Run
) -> None:
    signals = new_ring_name()
    Path("params.toml").write_text("every = 7\nnote = 'from the file'\n")
    arguments = ("own_strategies.py:Every", "--ring", market, "--signals", signals, "--params", "params.toml")
    code, (ready, found), err = run(*arguments, "--set", "every=5")
    assert (code, ready) == (0, {"ready": True, "ring": market, "signals": signals})
    assert found["params"] == {"every": 5, "note": "from the file"}
    assert found["strategy"] == "every" and found["signals"] == len(names_in(signals)) > 10
    assert (found["orders"], found["withdrawn"], found["again"], found["poisoned"]) == (0, 0, 0, 0)
    assert "seen 0" in err, "what a strategy prints is no line of the command"
    again = run(*arguments, "--set", "every=5")[1][1]
    assert (again["signals"], again["again"], again["order_hash"]) == (0, found["signals"], found["order_hash"])


def test_strategy_gives_one_hash_on_a_ring_and_on_its_journal(
    market: str, new_ring_name: Callable[[], str], tmp_path: Path, run: Run
) -> None:
    with Recorder(market, tmp_path / "journal", report=print) as recorder:
        recorder.run(lambda: False, until_closed=True)
    live = run("own_strategies.py:Every", "--ring", market, "--signals", new_ring_name())[1][-1]
    past = run("own_strategies.py:Every", "--journal", "journal", "--signals", new_ring_name())[1][-1]
    assert live["order_hash"] == past["order_hash"] and live["signals"] == past["signals"] > 10


def test_strategies_at_once_have_rings_of_their_own_and_one_that_fails_stops_alone(
    market: str, new_ring_name: Callable[[], str], run: Run
) -> None:
    prefix = new_ring_name()
    arguments = ("own_strategies.py:Every", "own_strategies.py:Broken", "--ring", market, "--signals", prefix)
    code, lines, err = run(*arguments, "--set", "every.every=3", "--stats-json", "stats.json")
    assert code == 1
    assert lines[0]["strategies"] == [{"strategy": name, "signals": f"{prefix}.{name}"} for name in ("every", "broken")]
    every, broken = lines[1:]
    assert every["signals"] == len(names_in(f"{prefix}.every")) > 10 and every["frames"] == len(canonical_frames())
    assert (broken["signals"], broken["poisoned"]) == (0, 10)
    assert json.loads(Path("stats.json").read_text()) == {"strategies": [every, broken]}
    assert "strategy broken: 10 poison frames" in err and 'own_strategies.py", line' in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.py:Every",), "expected a file"),
        (("own_strategies.py:Every", "--set", "evry=3"), "parameter evry: there is none; did you mean every?"),
        (("own_strategies.py:Every", "own_strategies.py:Every"), "two are named 'every'"),
        (
            ("own_strategies.py:Every", "own_strategies.py:Broken", "--set", "every=3"),
            "with several strategies expected",
        ),
        (("own_strategies.py:Every", "--handler-limit", "nan"), "--handler-limit: expected seconds from 0"),
        (
            ("own_strategies.py:Every", "--stats-json", "no/where.json"),
            "--stats-json no/where.json: expected a folder no",
        ),
        (("own_strategies.py:Every", "--gross"), "--gross has no effect but with flash_arbitrage"),
        (("own_strategies.py:Every", "--journal", "x", "--relay", "y"), "--relay and --journal: expected one of them"),
        (
            ("own_strategies.py:Every", "--relay", "y", "--start", "7"),
            "--start: expected oldest or latest with --relay",
        ),
        (("own_strategies.py:Every", "--symbol", "A/B/C"), "expected a token such as WMATIC, or a pair"),
        (("own_strategies.py:Every", "--pool", "0x12"), "0x12"),
    ],
)
def test_strategy_mistakes_are_told(market: str, run: Run, arguments: tuple[str, ...], says: str) -> None:
    source = () if {"--journal", "--relay"} & set(arguments) else ("--ring", market)
    with pytest.raises(UsageError, match=".*".join(map(_escaped, [says]))):
        run(*arguments, *source)


def test_parameters_of_several_strategies_are_of_the_longest_name_that_fits() -> None:
    tables, texts = parameters_by_name(["a", "a.b"], {"a": {"x": 1}}, ["a.y=2", "a.b.x=3"])
    assert tables == {"a": {"x": 1}, "a.b": {}}
    assert texts == {"a": ["y=2"], "a.b": ["x=3"]}


def _escaped(text: str) -> str:
    return text.replace("?", r"\?").replace(".", r"\.")


def test_strategies_in_a_configuration_have_tables_of_parameters(tmp_path: Path) -> None:
    path = tmp_path / "alphapulse.toml"
    path.write_text(
        '[strategy]\nrun = ["own_strategies.py:Every"]\n[strategy.params]\nevery = 7\n'
        '[strategy.fast]\nset = ["note=a"]\n[strategy.slow]\nsignals = "signal.slow"\n'
        "[strategy.slow.params]\nevery = 9\n"
    )
    found = load_config(path, {})
    assert mistakes(found) == []
    assert found.processes["strategy.fast"].values["params"] == {"every": 7}
    assert found.processes["strategy.slow"].values == {
        "run": [str(tmp_path / "own_strategies.py:Every")],
        "signals": "signal.slow",
        "params": {"every": 9},
    }
    assert [claim.what for claim in claims_of("strategy", {"run": ["own_strategies.py:Every"], "signals": None})] == [
        "signal.every"
    ]
    assert rings_of((), None) == ["signal.flash_arbitrage"]
    path.write_text('[strategy]\nrun = ["own_strategies.py:Evry"]\n')
    assert mistakes(load_config(path, {})) == [
        f"strategy: strategy {tmp_path}/own_strategies.py:Evry: no class Evry in own_strategies; did you mean Every? "
        "(there: Every, Broken)"
    ]
