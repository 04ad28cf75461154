"""Mutants drawn at random: one small change to one file, made by an operator of cosmic-ray.

Owns the possible changes, and the draw.  It must never run a test.

A package's lines have equal chances: a file is drawn by its length, then one of its mutants.  A change of annotations
alone is no mutant: `from __future__ import annotations` keeps them from being evaluated.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


class Mutant(NamedTuple):
    """One change of one file."""

    path: Path
    operator: str
    number: int
    """The line that is changed, from 1."""
    line: str
    """Its text, without its indentation."""
    code: str
    """The whole file with the change."""

    def diff(self, original: str) -> str:
        """The change as a unified diff without context."""
        before, after = original.splitlines(), self.code.splitlines()
        changed = difflib.unified_diff(before, after, str(self.path), str(self.path), n=0, lineterm="")
        return "\n".join(changed)


def draw(packages: tuple[str, ...], count: int, seed: int) -> Iterator[Mutant]:
    """`count` different mutants of the files of these packages; the same for the same seed and sources."""
    chance = random.Random(seed)
    files = [path for package in packages for path in sorted(Path(package).rglob("*.py")) if path.stat().st_size]
    lengths = [len(path.read_text().splitlines()) for path in files]
    places: dict[Path, list[tuple[str, int]]] = {}
    drawn: set[tuple[Path, str]] = set()
    while len(drawn) < count:
        path = chance.choices(files, lengths)[0]
        source = path.read_text()
        if path not in places:
            places[path] = list(_places(source))
        if not places[path]:
            continue
        operator, occurrence = chance.choice(places[path])
        try:
            code = mutate_code(source, get_operator(operator)(), occurrence)
        except AttributeError:
            continue  # cosmic-ray's exception replacer takes no dotted names
        if code is None or (path, code) in drawn or not _changes_anything(source, code):
            continue
        drawn.add((path, code))
        yield Mutant(path, operator, *_changed_line(source, code), code)


def _places(source: str) -> Iterator[tuple[str, int]]:
    """(operator, occurrence) of every change that can be made to a file."""
    tree = get_ast(source)
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue
        operator = operator_class()
        positions = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))
        yield from ((name, occurrence) for occurrence in range(positions))


def _changes_anything(source: str, code: str) -> bool:
    try:
        return _without_annotations(source) != _without_annotations(code)
    except SyntaxError:
        return False  # it does not parse, so every test would fail


def _without_annotations(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.dump(tree)


def _changed_line(source: str, code: str) -> tuple[int, str]:
    """Number and text of the first line that differs."""
    lines, after = source.splitlines(), code.splitlines()
    for number, (line, changed) in enumerate(zip(lines, after, strict=False), 1):
        if changed != line:
            return number, line.strip()
    return len(lines), lines[-1].strip()
