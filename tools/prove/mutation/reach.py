"""Which tests reach a line: only these can notice that it is changed.

Owns the measurement: one run of a package's tests under coverage, which notes for each line the test functions that
were running, how long each took, and which of them failed, which say nothing about a mutant.  It must never run a
mutant.

    a line that runs in tests     these tests
    one that runs at import       those of the lines that mention a name which its statement binds
    any other (compiled kernels,  all, the file's own first, then its folder's: fixtures, threads and other processes
    other processes)              run it, or no test does

Of these the quickest, for as long as `MOST_S`.  Tests marked `untraced` are not measured.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from coverage import CoverageData

SOME_FAILED = 1
"""What pytest ends with if tests failed; with more if it could not run them."""
MOST_S = 120.0
"""So long may the tests of one mutant take, by what they took unchanged."""


class Reach:
    """The tests of one package, by the lines of its files that they run."""

    def __init__(self, data: Path, report: Path) -> None:
        self._data = CoverageData(str(data))
        self._data.read()
        self._took_s: defaultdict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        for case in ET.parse(report).iter("testcase"):
            function = case.attrib["name"].partition("[")[0]
            name = _node_id(f"{case.attrib['classname']}.{function}")
            self._took_s[name] += float(case.attrib["time"])
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.add(name)
        self._mentions: defaultdict[str, list[tuple[Path, set[int]]]] = defaultdict(list)

    def seconds(self, tests: Sequence[str]) -> float:
        """How long tests took, by the names of functions, files or folders."""
        return sum(took for name, took in self._took_s.items() if name.startswith(tuple(tests)))

    def tests(self, file: Path, number: int) -> list[str]:
        """The tests that may notice a change of line `number` of a file, as pytest names them, in the order in which to
        run them."""
        own, folder = f"tests/{file.parent}/test_{file.stem}.py::", f"tests/{file.parent}/"
        lines = statement(file.read_text(), number)
        found = self._of_lines(file, lines)
        if not found or "" in found:
            found = {test for name in bound(file.read_text(), number) for test in self._of_name(name)}
            if found:
                found |= {name for name in self._took_s if name.startswith(own)}
        found &= self._took_s.keys() - self.failed  # hypothesis has functions of its own that are called test_...
        tests = sorted(found or self._took_s.keys() - self.failed, key=lambda name: (self._took_s[name], name))
        if not found:
            tests.sort(key=lambda name: (not name.startswith(own), not name.startswith(folder)))
        total = accumulate(self._took_s[name] for name in tests)
        return [name for name, until_s in zip(tests, total, strict=True) if until_s <= MOST_S] or tests[:1]

    def _of_lines(self, file: Path, lines: Iterable[int]) -> set[str]:
        found = self._data.contexts_by_lineno(str(file))
        return {_node_id(context) if context else "" for line in lines for context in found.get(line, [])}

    def _of_name(self, name: str) -> set[str]:
        """The tests that run a line which mentions it."""
        if not self._mentions:
            for file in map(Path, self._data.measured_files()):
                for mentioned, lines in mentions(file.read_text()).items():
                    self._mentions[mentioned].append((file, lines))
        return {test for file, lines in self._mentions[name] for test in self._of_lines(file, lines)} - {""}


def measure(package: str, folders: Sequence[str], tree: Path, environment: dict[str, str], kept: Path) -> Reach:
    """Run the tests in `folders` in a copy of the project, for the lines of `package`; what is found is kept in the
    folder `kept`, and taken from there if it is there already.

    Raises:
        subprocess.CalledProcessError: they could not be run.
    """
    data, settings, report = (kept / f"{package}{suffix}" for suffix in (".coverage", ".ini", ".xml"))
    if report.exists():
        return Reach(data, report)
    settings.write_text(
        f"[run]\nsource = {package}\nrelative_files = True\ndynamic_context = test_function\ndata_file = {data}\n"
    )
    part = report.with_suffix(".part")  # what an interrupted run leaves is no report
    command = ["-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    wanted = ["-m", "not soak and not untraced", *folders]
    run = subprocess.run(
        [sys.executable, *command, f"--junitxml={part}", *wanted],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, SOME_FAILED):
        raise subprocess.CalledProcessError(run.returncode, run.args, run.stdout, run.stderr)
    part.rename(report)
    return Reach(data, report)


def statement(source: str, number: int) -> range:
    """The lines of the innermost statement around a line; of a compound one, those before its body."""
    innermost = range(number, number + 1)
    for node in _statements(ast.parse(source)):
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or node.lineno
        if node.lineno <= number <= end:
            innermost = range(node.lineno, end + 1)
    return innermost


def bound(source: str, number: int) -> set[str]:
    """The names that the statement around a line binds where it runs at import: variables, fields, a function."""
    lines = statement(source, number)
    names: set[str] = set()
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            decorated = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if decorated <= number < node.body[0].lineno:
                names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.lineno in lines:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return names


def mentions(source: str) -> dict[str, set[int]]:
    """The lines that mention each name: as a variable, an attribute, or an argument."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found[name].add(node.lineno)
            case ast.keyword(arg=str(name)):
                found[name].add(node.lineno)
    return found


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))


def _node_id(context: str) -> str:
    """`tests.tlv.test_layout.test_x` as `tests/tlv/test_layout.py::test_x`."""
    module, _, function = context.rpartition(".")
    return f"{module.replace('.', '/')}.py::{function}"
