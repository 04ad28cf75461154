"""What is wrong with a native strategy is said in one line, with the file and line of the user's code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.native import NativeDriver, NativeStrategy
from tests.consumers.native.market import recorded_table
from tests.consumers.recorded_market import RING
from tlv.errors import UsageError

HEAD = """import numpy as np
from consumers.native import NativeStrategy, add, has, signal, view
from tlv.jit import kernel
from tlv.layout import PoolSync
@kernel
def inner(frame):
    return frame.nope
class Mine(NativeStrategy):
    name = "mine"
    state = np.dtype([("seen", "<i8")])
"""
JITTED = "    @kernel\n    def handler(state, frame, drafts):\n"
BODY = 13
"""The line on which a handler's body begins, as lines are counted in `HEAD` and `JITTED`."""
HANDLER = BODY - 2
"""Where it is said of a handler as a whole."""
BODIES = {
    "state['sene'] += 1": "Field 'sene' was not found in record with fields ('seen',)",
    "state['seen'] += nothing": "name 'nothing' is not defined",
    "state['seen'] = frame.sequenze": "Unknown attribute 'sequenze' of type NativeFrame",
    "state['seen'] = frame.lost + 'a'": "No implementation of function add found",
    "view(frame, 11)": "No implementation of function view found for signature: view(NativeFrame",
    "state['seen'] = view(frame, PoolSync)['reserve9']": "Field 'reserve9' was not found in record",
    "state['seen'] = view(frame, PoolSync)['reserve0']": "No implementation of function setitem found",
    "raise ValueError('no')": "a handler cannot raise",
    "x = [frame.lost]; state['seen'] = len(x)": "",
    "x = np.zeros(3); state['seen'] = x[0]": "No implementation of function zeros found",
}


@pytest.fixture
def module(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Loads a text as a module of its own file."""

    def load(text: str) -> ModuleType:
        path = tmp_path / "mine.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("mine_of_test", path)
        assert spec is not None and spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        sys.modules["mine_of_test"] = found
        spec.loader.exec_module(found)
        return found

    yield load
    sys.modules.pop("mine_of_test", None)


def fault_of(found: ModuleType) -> str:
    """What is said of its class."""
    with pytest.raises(UsageError) as caught:
        NativeDriver(found.Mine(), bytes(16))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 400
    return said


@pytest.mark.parametrize("body", BODIES)
def test_body_that_does_not_compile_is_one_line_with_its_place(module: Any, tmp_path: Path, body: str) -> None:
    said = fault_of(module(HEAD + JITTED + f"        {body}\n"))
    line = BODY if BODIES[body] else HANDLER
    assert said.startswith(f"{tmp_path / 'mine.py'}:{line}: Mine.handler: ")
    assert (BODIES[body] or "it makes an array, a list or another object") in said


def test_fault_in_a_kernel_that_the_handler_calls_has_a_place(module: Any, tmp_path: Path) -> None:
    said = fault_of(module(HEAD + JITTED + "        state['seen'] = inner(frame)\n"))
    assert said.startswith(f"{tmp_path / 'mine.py'}:") and "Unknown attribute 'nope' of type NativeFrame" in said


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("", "expected a kernel handler(state, frame, drafts), found no handler"),
        ("    def handler(state, frame, drafts): pass\n", "found a plain function: write @kernel above it"),
        ("    handler = 7\n", "expected a kernel handler(state, frame, drafts), found 7"),
        ("    @kernel\n    def handler(state, frame): pass\n", "found handler(state, frame)"),
        ("    @kernel\n    def handler(state, frame, *drafts): pass\n", "found handler(state, frame, *drafts)"),
        ("    @kernel\n    def handler(state, frame, drafts, book): pass\n", "`keeps_book = True` adds the book"),
        (JITTED + "        return 1\n", "expected no return value"),
        (JITTED + "        yield 1\n", "found a generator"),
        (JITTED + "        pass\n    state = np.dtype([('x', 'O')])\n", "or arrays of them, found object"),
        (JITTED + "        pass\n    state = np.dtype([('x', 'U5')])\n", "found <U5: texts are arrays of u1"),
        (JITTED + "        pass\n    state = np.dtype([('x', 'f2')])\n", "floats of 4 or 8 bytes"),
        (JITTED + "        pass\n    state = np.dtype([('x', [('y', '>i8')])])\n", "field 'x.y': expected"),
        (JITTED + "        import math\n", "mine.py:13: Mine.handler: an import within it; expected it at the top"),
        (JITTED + "        pass\n    state = np.dtype('<i8')\n", "expected a numpy dtype with named fields"),
        (JITTED + "        pass\n    state = None\n", "expected a numpy dtype with named fields, found None"),
        (JITTED + "        pass\n    name = 'x' * 21\n", ".name: expected 1 to 20 bytes of text"),
        (JITTED + "        pass\n    version = -1\n", ".version: expected an integer from 0 to 4294967295"),
        (JITTED + "        pass\n    source = 256\n", ".source: expected an integer from 0 to 255"),
    ],
)
def test_class_that_cannot_run_is_one_line_with_its_place(
    module: Any, tmp_path: Path, members: str, expected: str
) -> None:
    said = fault_of(module(HEAD + members))
    assert said.startswith(f"{tmp_path / 'mine.py'}:") and expected in said


def test_inlined_loops_say_what_the_others_say() -> None:
    buffer, table = recorded_table()
    said = []
    for inline in (False, True):
        strategy: NativeStrategy = NativeMover(MoverParams(threshold_pips=2_000))
        driver = NativeDriver(strategy, RING, inline=inline)
        messages = driver.run_over(buffer, table, 0, table.shape[1])
        said.append(([bytes(message.payload) for message in messages], strategy.memory.tobytes(), driver.frames))
    assert said[0] == said[1] and len(said[0][0]) > 20
