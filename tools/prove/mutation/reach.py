"""Which tests reach a line: only these can notice that it is changed.

Owns the measurement: one run of a package's tests under coverage, which notes for each line the test functions that
were running, how long each took, and which of them failed, which say nothing about a mutant.  It must never run a
mutant.

Nothing is known of lines that run while no test does (imports, fixtures, threads, other processes), nor of kernels,
which run as machine code: for these any test of the package may be the one.  Tests marked `untraced` are not measured.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from coverage import CoverageData

SOME_FAILED = 1
"""What pytest ends with if tests failed; with more if it could not run them."""


class Reach:
    """The tests of one package, by the lines of its files that they run."""

    def __init__(self, data: Path, report: Path) -> None:
        self._data = CoverageData(str(data))
        self._data.read()
        self._took_s: defaultdict[str, float] = defaultdict(float)
        failed = set()
        for case in ET.parse(report).iter("testcase"):
            function = case.attrib["name"].partition("[")[0]
            name = _node_id(f"{case.attrib['classname']}.{function}")
            self._took_s[name] += float(case.attrib["time"])
            if case.find("failure") is not None or case.find("error") is not None:
                failed.add(name)
        self.failed = sorted(failed)

    def seconds(self, tests: Sequence[str]) -> float:
        """How long tests took, by the names of functions, files or folders."""
        return sum(took for name, took in self._took_s.items() if name.startswith(tuple(tests)))

    def tests(self, file: Path, number: int) -> list[str] | None:
        """The tests that run line `number` of a file, as pytest names them, the quickest first; None if it may be any
        of the package."""
        found = self._data.contexts_by_lineno(str(file))
        contexts = {name for line in statement(file.read_text(), number) for name in found.get(line, [])}
        names = set(map(_node_id, contexts)).difference(self.failed)
        if not names or "" in contexts:
            return None
        return sorted(names, key=lambda name: (self._took_s[name], name))


def measure(package: str, tree: Path, environment: dict[str, str], kept: Path) -> Reach:
    """Run the tests of `package` in a copy of the project; what is found is kept in the folder `kept`, and taken from
    there if it is there already.

    Raises:
        subprocess.CalledProcessError: they could not be run.
    """
    data, settings, report = (kept / f"{package}{suffix}" for suffix in (".coverage", ".ini", ".xml"))
    if report.exists():
        return Reach(data, report)
    settings.write_text(
        f"[run]\nsource = {package}\nrelative_files = True\ndynamic_context = test_function\ndata_file = {data}\n"
    )
    command = ["-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    wanted = ["-m", "not soak and not untraced", f"tests/{package}", "tests/fuzz"]
    run = subprocess.run(
        [sys.executable, *command, f"--junitxml={report}", *wanted],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, SOME_FAILED):
        raise subprocess.CalledProcessError(run.returncode, run.args, run.stdout, run.stderr)
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


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))


def _node_id(context: str) -> str:
    """`tests.tlv.test_layout.test_x` as `tests/tlv/test_layout.py::test_x`."""
    module, _, function = context.rpartition(".")
    return f"{module.replace('.', '/')}.py::{function}"
