"""Strategies by reference: what is found, under which name, and what each mistake is told as; and their parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.loading import load_records, load_strategy, make_strategy
from consumers.native import NativeStrategy
from consumers.own_counts import shown_counts
from consumers.parameters import shown_parameters
from tlv.errors import UsageError
from tools.command.records import load_records as load_option

GOOD = """
import msgspec
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated
from consumers.strategy import Strategy

class Side(Enum):
    BUY = "buy"
    SELL = "sell"

class Inner(msgspec.Struct, frozen=True):
    units: dict[str, int] = {}
    tip: int = 1

class Params(msgspec.Struct):
    window: Annotated[int, msgspec.Meta(ge=1)] = 8
    limit: float = 0.5
    token: str = ""
    tokens: tuple[str, ...] = ()
    gas: Inner = Inner()
    most: int = 0
    folder: Path = Path()
    price: Decimal = Decimal()
    side: Side = Side.BUY
    inners: list[Inner] = []
    by_block: dict[int, int] = {}
    hedged: bool = False

class Mover(Strategy):
    name = "mover"
    params = Params
    def __init__(self, params):
        super().__init__()
        self.given = params
        if params.window == 13:
            raise ValueError("a window of 13")
    def on_event(self, record, origin):
        pass

class Other(Strategy):
    name = "other"
    def on_block(self, block):
        pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in; modules of strategies that were loaded from it are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def strategy(body: str, head: str = "") -> str:
    """The text of a file with a strategy of this body."""
    return f"{head}\nfrom consumers.strategy import Strategy\nclass Mine(Strategy):\n{body}\n"


STRUCT = "import msgspec\nclass P(msgspec.Struct):\n    size: int = 1"


def refusal(reference: str) -> str:
    """Why a reference is refused."""
    with pytest.raises(UsageError) as found:
        load_strategy(reference)
    assert str(found.value).startswith(f"strategy {reference}")
    assert "\n" not in str(found.value)
    return str(found.value).removeprefix(f"strategy {reference}: ")


def test_reference_to_a_file_loads_it_once_under_its_own_name() -> None:
    Path("sub").mkdir()
    write("sub/helper_of_mover.py", "VALUE = 7")
    write("sub/my_mover.py", GOOD + "\nfrom helper_of_mover import VALUE\n")
    first = load_strategy("sub/my_mover.py:Mover")
    assert (first.__module__, first.__name__, first.name) == ("my_mover", "Mover", "mover")
    assert load_strategy("./sub/../sub/my_mover.py:Other").__module__ == "my_mover"
    assert load_strategy("sub/my_mover.py:Mover") is first


def test_reference_to_a_file_of_a_taken_name_shadows_nothing() -> None:
    for name in ("numpy.py", "signal.py", "my-mover.py"):
        write(name, GOOD)
        assert load_strategy(f"{name}:Mover").__module__ not in {"numpy", "signal", "my-mover"}
    assert "strategy" not in str(sys.modules["numpy"].__file__)


def test_reference_to_a_module_is_found_below_the_current_folder() -> None:
    Path("desk_of_mine").mkdir()
    write("desk_of_mine/fast.py", GOOD)
    assert load_strategy("desk_of_mine.fast:Mover").name == "mover"


def test_reference_without_a_class_means_the_only_one() -> None:
    write("only_one.py", strategy("    def on_block(self, block): pass"))
    assert load_strategy("only_one.py").__name__ == "Mine"
    write("two_of_them.py", GOOD)
    assert "two_of_them has 2 strategies (there: Mover, Other)" in refusal("two_of_them.py")
    assert load_strategy() is load_strategy("flash_arbitrage") is FlashArbitrage


def test_reference_what_a_file_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    write("talks.py", strategy("    def on_block(self, block): pass", head="print('hello')"))
    load_strategy("talks.py")
    assert capfd.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\nclass Mine(\n", "it does not import: bad.py, line 2: SyntaxError: '(' was never closed"),
        ("import numpy\nimport no_such_package\n", "bad.py, line 2: ModuleNotFoundError: No module named"),
        ("from numpy import no_such_name\n", "bad.py, line 1: ImportError: cannot import name"),
        ("def f():\n  return 1 // 0\nf()\n", "bad.py, line 2: ZeroDivisionError: integer division or modulo by zero"),
        ("import sys\nsys.exit(3)\n", "bad.py, line 2: SystemExit: 3; what it runs as a program belongs behind"),
        ("f = lambda: f()\nf()\n", "bad.py, line 1: RecursionError"),
        ("class Odd(BaseException): pass\nraise Odd('a\\nb')\n", "bad.py, line 2: Odd: a b"),
        ("a\0b", "SyntaxError: source code string cannot contain null bytes"),
        ("", "no class Mine in bad (there: none)"),
        (
            "from consumers.strategy import Strategy\nclass Mines(Strategy): pass\n",
            "did you mean Mines? (there: Mines)",
        ),
        ("class Mine: pass", "expected a subclass of Strategy or NativeStrategy, found class Mine"),
        ("Mine = 5", "expected a subclass of Strategy or NativeStrategy, found 5"),
        ("from consumers.strategy import Strategy as Mine", "found class Strategy"),
        (strategy("    pass"), "a class without methods; expected at least one of on_message, on_event,"),
        (strategy("    def on_evnt(self, record, origin): pass"), "on_evnt is no method of a strategy; did you mean"),
        (strategy("    on_block = 5"), "on_block: expected a method, found 5"),
        (
            strategy("    async def on_block(self, block): pass"),
            "on_block: expected a plain method, found one with async",
        ),
        (strategy("    def on_block(self, block): yield"), "on_block: expected a plain method"),
        (
            strategy("    def on_event(self, record): pass"),
            "on_event: expected on_event(self, record, origin), found on_event(self, record)",
        ),
        (
            strategy("    name = 'twenty_one_bytes_long'\n    def on_block(self, block): pass"),
            "name: expected at most 20 bytes, found 21: 'twenty_one_bytes_long'",
        ),
        (strategy("    name = 'äöüäöüäöüäö'\n    def on_block(self, block): pass"), "at most 20 bytes, found 22"),
        (strategy("    name = '\\ud800'\n    def on_block(self, block): pass"), "name: expected UTF-8"),
        (strategy("    name = 5\n    def on_block(self, block): pass"), "name: expected a text, found 5"),
        (strategy("    version = -1\n    def on_block(self, block): pass"), "version: expected"),
        (strategy("    source = 300\n    def on_block(self, block): pass"), "source: expected"),
        (strategy("    wants = {int}\n    def on_block(self, block): pass"), "wants: type <class 'int'>"),
        (strategy("    records = (int,)\n    def on_block(self, block): pass"), "records: expected registered Record"),
        (
            strategy("    records = int\n    def on_block(self, block): pass"),
            "records: expected a tuple or a set, found",
        ),
        (
            strategy("    symbols = 'A/B'\n    def on_block(self, block): pass"),
            "symbols: expected a tuple or a set, found",
        ),
        (strategy("    symbols = {5}\n    def on_block(self, block): pass"), "symbols: expected texts such as"),
        (
            strategy("    def __init__(self, a, b): pass\n    def on_block(self, block): pass"),
            "expected __init__(self) of a class that declares no params, found __init__(self, a, b)",
        ),
        (
            strategy("    params = P\n    def __init__(self): pass\n    def on_block(self, block): pass", head=STRUCT),
            "expected __init__(self, params) of a class that has params, found __init__(self)",
        ),
        (
            "import abc\nfrom consumers.strategy import Strategy\nclass Mine(Strategy, abc.ABC):\n"
            "    @abc.abstractmethod\n    def size(self): ...\n    def on_block(self, block): pass\n",
            "Mine is abstract; expected a subclass of it that has size",
        ),
        (
            "from dataclasses import dataclass\nfrom consumers.strategy import Strategy\n@dataclass(frozen=True)\n"
            "class Mine(Strategy):\n    def on_block(self, block): pass\n",
            "expected a class whose attributes can be set, found a frozen dataclass",
        ),
        (
            strategy("    trigger = 5\n    def on_block(self, block): pass"),
            "trigger: every strategy has this attribute, set by its host; expected another name",
        ),
        ("from .near import Base", "; a file of a package is named as a module, package.module:Class, from the folder"),
        (
            "from tlv.layout import PoolSwap\nfrom tlv.record import Record, record\nfrom tlv.fields import I64\n"
            "@record(type=PoolSwap.layout.type)\nclass Own(Record, frozen=True):\n    pips: I64\n",
            "it does not import: bad.py, line 4: Own: type 11 is tlv.layout.PoolSwap's already",
        ),
        (strategy("    params = dict\n    def on_block(self, block): pass"), "params: expected a msgspec.Struct class"),
    ],
)
def test_reference_to_what_could_not_run_is_refused_in_one_line(text: str, expected: str) -> None:
    write("bad.py", text)
    assert expected in refusal("bad.py:Mine")
    assert ("bad" in sys.modules) == ("does not import" not in refusal("bad.py:Mine"))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("flash_arbitrag", "expected module:Class or file.py:Class, or flash_arbitrage; did you mean flash_arbitrage?"),
        (":Mine", "expected module:Class or file.py:Class"),
        ("there.py:", "expected module:Class or file.py:Class"),
        ("thre.py:Mine", "/thre.py, found none; did you mean there.py?"),
        ("no_folder/at_all.py:Mine", "/no_folder/at_all.py, found none"),
        ("no.such.module:Mine", "there is no module no"),
        ("there_not:Mine", "there is no module there_not"),
        ("price_mover", "; did you mean consumers.examples.price_mover?"),
        ("imports.py", "written in imports, found none; it imports Mover"),
        ("desk of mine:Mine", "expected a module's whole name, found 'desk of mine'"),
        ("consumers.strategy:Strateg", "no class Strateg in consumers.strategy"),
        ("there.py:Mover.name.upper", "expected a subclass of Strategy or NativeStrategy, found <built-in method"),
    ],
)
def test_reference_to_nothing_says_what_is_near(reference: str, expected: str) -> None:
    write("there.py", GOOD)
    write("imports.py", "from there import Mover")
    assert expected in refusal(reference)


def test_reference_to_a_folder_or_a_file_that_is_no_text_is_refused() -> None:
    Path("folder.py").mkdir()
    assert "found a folder" in refusal("folder.py:Mine")
    Path("latin.py").write_bytes(b"x = '\xff\xfe'\n")
    assert "it does not import: " in refusal("latin.py:Mine")


@pytest.mark.parametrize(
    ("table", "sets", "shown"),
    [
        ({}, (), {"window": 8}),
        ({"window": 3, "gas": {"tip": 2}}, ("limit=2",), {"window": 3, "limit": 2.0}),
        (
            {"window": 3},
            ("window=4", "gas.tip=9", "gas.units.a=1"),
            {"window": 4, "gas": {"units": {"a": 1}, "tip": 9}},
        ),
        (
            {},
            ("token=0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270",),
            {"token": "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"},
        ),
        ({}, ("token=12",), {"token": "12"}),
        ({}, ("token=WMATIC/USDC",), {"token": "WMATIC/USDC"}),
        ({}, ('tokens=["a", "b"]',), {"tokens": ("a", "b")}),
        ({}, (f"most={2**255}",), {"most": 2**255}),
        ({}, ("folder=/tmp/here",), {"folder": "/tmp/here"}),
        ({}, ("price=1.000000000000000000000000000001",), {"price": "1.000000000000000000000000000001"}),
        ({}, ("side=sell", "by_block.7=8"), {"side": "sell", "by_block": {7: 8}}),
    ],
)
def test_parameters_come_from_the_table_and_over_it_from_the_texts(
    table: dict[str, object], sets: tuple[str, ...], shown: dict[str, object]
) -> None:
    write("good_params.py", GOOD)
    made = make_strategy(load_strategy("good_params.py:Mover"), table, sets)
    given = shown_parameters(vars(made)["given"])
    assert {key: given[key] for key in shown} == shown


@pytest.mark.parametrize(
    ("table", "sets", "expected"),
    [
        ({}, ("windw=3",), "strategy mover, parameter windw: there is none; did you mean window? (there: window,"),
        ({"gas": {"tips": 1}}, (), "parameter gas.tips: there is none; did you mean tip? (there: units, tip)"),
        ({}, ("window=abc",), "parameter window: expected int, found 'abc'"),
        ({}, ("window=0",), "parameter window: expected int >= 1, found 0"),
        ({}, ("window=1.5",), "parameter window: expected int, found 1.5"),
        ({"window": True}, (), "parameter window: expected int, found True"),
        ({"tokens": ["a", 3]}, (), "parameter tokens[1]: expected str, found 3"),
        ({"gas": 5}, (), "parameter gas: expected object, found 5"),
        ({}, ("gas.units.a=x",), "parameter gas.units[...]: expected int, found {'a': 'x'}"),
        ({"gas": 5}, ("gas.tip=1",), "--set gas.tip: gas is no table, found 5"),
        ({}, ("limit=nan",), "parameter limit: expected a number, found nan"),
        ({}, ("price=nan",), "parameter price: expected a number, found nan"),
        ({}, ("limit=1e400",), "parameter limit: expected float, found '1e400'"),
        ({}, ("window=1\nmost=2",), "parameter window: expected int, found '1\\nmost=2'"),
        ({}, ("side=BUY",), "parameter side: expected one of buy, sell, found 'BUY'"),
        ({}, ("hedged=yes",), "parameter hedged: expected bool, true or false, found 'yes'"),
        ({}, ("inners=[{tips=1}]",), "parameter inners[0].tips: there is none; did you mean tip? (there: units, tip)"),
        ({}, ("by_block.a=1",), "parameter by_block: a key: expected int, found {'a': 1}"),
        ({"folder": 5}, (), "parameter folder: expected Path, found 5"),
        ({}, ("window",), "--set: expected key=value, found 'window'"),
        ({}, ("=3",), "--set: expected key=value, found '=3'"),
        ({}, ("window=" + "9" * 5_000,), "parameter window: expected int, found '999"),
        ({}, ("window=13",), "making it failed: good_params.py, line 38: ValueError: a window of 13"),
    ],
)
def test_parameters_that_are_none_are_refused_by_name(
    table: dict[str, object], sets: tuple[str, ...], expected: str
) -> None:
    write("good_params.py", GOOD)
    loaded = load_strategy("good_params.py:Mover")
    with pytest.raises(UsageError) as found:
        make_strategy(loaded, table, sets)
    assert expected in str(found.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    def __init__(self): raise GeneratorExit", "line 4: GeneratorExit"),
        ("    def __init__(self): self.emit()", "it emits in its constructor; expected it in a method"),
    ],
)
def test_strategy_whose_constructor_does_what_it_must_not_is_refused(body: str, expected: str) -> None:
    write("makes.py", strategy(f"{body}\n    def on_block(self, block): pass"))
    with pytest.raises(UsageError, match=expected):
        make_strategy(load_strategy("makes.py"))


def test_counts_of_a_strategy_are_shown_whatever_it_counts() -> None:
    write("counts.py", strategy("    def on_block(self, block): pass"))
    made = make_strategy(load_strategy("counts.py"))
    made.counts.update({"seen": 3, "none": 0, "text": "x", 5: 6, "share": 0.5})  # type: ignore[dict-item]
    assert shown_counts(made.counts) == {"seen": 3, "text": "'x'", "5": 6, "share": 0.5}
    assert shown_counts(None) == {}


def test_parameters_required_or_none_at_all() -> None:
    write(
        "needs.py",
        "import msgspec\nfrom consumers.strategy import Strategy\nclass Needs(msgspec.Struct):\n    size: int\n"
        "class Mine(Strategy):\n    params = Needs\n    def on_block(self, block): pass\n",
    )
    with pytest.raises(UsageError, match="parameter size: missing"):
        make_strategy(load_strategy("needs.py"))
    write("none_at_all.py", strategy("    def on_block(self, block): pass"))
    with pytest.raises(UsageError, match="it has no parameters, found window"):
        make_strategy(load_strategy("none_at_all.py"), {}, ["window=3"])


def test_parameters_of_the_arbitrage_are_its_configuration() -> None:
    made = make_strategy(load_strategy(), {"gross": True, "gas": {"tip_wei": 5}}, ["max_state_age_blocks=7"])
    assert isinstance(made, FlashArbitrage)
    assert (made.config.gross, made.config.gas.tip_wei, made.config.max_state_age_blocks) == (True, 5, 7)
    assert made.config.early == ArbitrageConfig().early
    with pytest.raises(UsageError, match=r"parameter gas: swap_units_by_venue\.no_such_venue: there is no such venue"):
        make_strategy(load_strategy(), {"gas": {"swap_units_by_venue": {"no_such_venue": 1}}})


NATIVE = """
import msgspec
import numpy as np
from consumers.native import NativeStrategy
from tlv.jit import kernel

class Params(msgspec.Struct, frozen=True):
    seen: int = 3

class Native(NativeStrategy):
    name = "native_one"
    params = Params
    state = np.dtype([("seen", "<i8")])

    @kernel
    def handler(state, frame, drafts):
        state["seen"] += 1

class Bare(Native):
    def __init__(self, params):
        pass

class Wrong(NativeStrategy):
    state = np.dtype([("seen", "<i8")])
    def handler(state, frame):
        pass
"""


def test_reference_to_a_native_strategy_is_checked_and_made_as_a_plain_one() -> None:
    write("native_ones.py", NATIVE)
    made = make_strategy(load_strategy("native_ones.py:Native"), {}, ["seen=7"])
    assert isinstance(made, NativeStrategy) and made.memory[0]["seen"] == 7
    with pytest.raises(UsageError, match=r"its constructor makes no memory; expected super\(\)"):
        make_strategy(load_strategy("native_ones.py:Bare"))
    assert "native_ones.py:" in refusal("native_ones.py:Wrong") and "handler" in refusal("native_ones.py:Wrong")


def test_records_that_strategies_declare_are_registered_by_their_reference() -> None:
    write(
        "with_records.py",
        "from consumers.examples.native_mover import PriceMove\n"
        + strategy("    records = (PriceMove,)\n    def on_block(self, block): pass"),
    )
    expected = ["PriceMove"]
    assert [cls.__name__ for cls in load_records("with_records.py")] == expected
    assert [cls.__name__ for cls in load_records("with_records.py:Mine")] == expected
    load_option(Path("with_records.py"))
    write("without_records.py", strategy("    def on_block(self, block): pass"))
    with pytest.raises(UsageError, match=r"without_records.py: expected records = \(...,\)"):
        load_records("without_records.py")
