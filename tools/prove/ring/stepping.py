"""The kernels, one memory access at a time.

Owns the translation of `ringbuf/kernels/` into generators that stop at every access to a shared word.  It must
never know what the accesses mean, or in which order they will be let through.

The source is the one that numba compiles.  A call of an atomic becomes a `yield` of the access (a copy of four words
becomes four), a call of another kernel a `yield from`; everything else is unchanged.  A mutant is the same source with
one replacement, so a test can break one rule of the protocol and check that the explorer finds it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ringbuf.kernels
from ringbuf.atomics import FOUR, WORD_BYTES, word_at

ATOMICS = frozenset(
    {
        *("load_acquire", "load_monotonic", "store_release", "store_monotonic", "fetch_max"),
        *("fence_acquire", "fence_release", "fence_seq_cst", "futex_wait", "futex_wake"),
    }
)
Access = tuple[Any, ...]  # (operation, array, word, ...)
Steps = Generator[Access, Any, Any]


def store_four(words: str, index: int, buffer: Any, offset: int) -> Steps:
    """`ringbuf.atomics.store_four` as its four stores."""
    for i in range(FOUR):
        yield "store_monotonic", words, index + i, word_at(buffer, offset + WORD_BYTES * i)


def load_four(words: str, index: int, out: list[int], at: int) -> Steps:
    """`ringbuf.atomics.load_four` as its four loads."""
    for i in range(FOUR):
        out[at + i] = yield "load_monotonic", words, index + i


COPIES = {"store_four": store_four, "load_four": load_four}
SOURCES = sorted(path for path in Path(ringbuf.kernels.__file__).parent.glob("*.py") if path.name != "__init__.py")


@dataclass(frozen=True)
class Mutation:
    """One rule of the protocol, broken."""

    name: str
    found: str  # occurs exactly once in all sources
    replaced: str


class MutationDoesNotFit(AssertionError):
    """The source changed and a mutation no longer finds its place."""


def calls_in(function: ast.FunctionDef) -> set[str]:
    """Names of the functions that `function` calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {called.id for called in calls if isinstance(called, ast.Name)}


class Yielding(ast.NodeTransformer):
    """Rewrites calls of atomics to `yield`, and calls of functions that yield to `yield from`."""

    def __init__(self, stepping: set[str]) -> None:
        self.stepping = stepping

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return node
        if node.func.id in ATOMICS:
            access = ast.Tuple([ast.Constant(node.func.id), *node.args], ast.Load())
            return ast.copy_location(ast.Yield(access), node)
        if node.func.id in self.stepping:
            return ast.copy_location(ast.YieldFrom(node), node)
        return node


def sources(mutation: Mutation | None) -> list[str]:
    """The text of every file of kernels, with one place replaced."""
    texts = [path.read_text() for path in SOURCES]
    if mutation is None:
        return texts
    places = sum(text.count(mutation.found) for text in texts)
    if places != 1:
        raise MutationDoesNotFit(f"{mutation.name}: {places} places for {mutation.found!r}")
    return [text.replace(mutation.found, mutation.replaced) for text in texts]


def imports_kernels(node: ast.stmt) -> bool:
    """Whether `node` imports one file of kernels into another."""
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith("ringbuf.kernels.")


@functools.cache
def stepping_kernels(mutation: Mutation | None = None, **constants: int) -> dict[str, Any]:
    """The namespace of the translated kernels; `constants` replace layout constants (fewer anchors, fewer slots)."""
    trees = [ast.parse(text) for text in sources(mutation)]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    stepping = set(COPIES)
    while True:
        more = COPIES.keys() | {f.name for f in functions if calls_in(f) & (ATOMICS | stepping)}
        if more == stepping:
            break
        stepping = more
    for function in functions:
        function.decorator_list = []
        if function.name in stepping:
            Yielding(stepping).visit(function)
    namespace: dict[str, Any] = {"__name__": "ringbuf.kernels"}
    for path, tree in zip(SOURCES, trees, strict=True):
        tree.body = [node for node in tree.body if not imports_kernels(node)]  # they are in the namespace, translated
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), namespace)
    namespace.update(constants, **COPIES, monotonic_ns=lambda: 0, pause=lambda: None, yield_core=lambda: None)
    return namespace
