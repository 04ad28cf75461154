"""Who imports whom, read from the sources: the direction of the layers, and the edges without I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("tlv", "ringbuf", "producers", "consumers", "tools")
ALLOWED = {
    "tlv": {"tlv"},
    "ringbuf": {"ringbuf", "tlv"},
    "producers": {"producers", "ringbuf", "tlv"},
    "consumers": {"consumers", "ringbuf", "tlv"},
    "tools": set(PACKAGES),
}
RECORD_MODULES = {"tlv.layout", "tlv.record", "tlv.message", "tlv.text", "tlv.codes"}
"""What the ring must not know: it carries bytes that it cannot read."""
INPUT_OUTPUT = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "select",
    "selectors",
    "socket",
    "subprocess",
    "threading",
    "time",
}
SANS_IO = (
    "tlv/*.py",
    "producers/blocks/backfill.py",
    "producers/node/backoff.py",
    "producers/decode*.py",
    "producers/kinds/events.py",
    "producers/feed.py",
    "producers/node/hex.py",
    "producers/node/jsonrpc.py",
    "producers/blocks/chain.py",
    "tools/recording/core.py",
    "producers/node/rpc_types.py",
    "consumers/arbitrage/*.py",
    "consumers/relay/protocol.py",
)
"""Sources that take bytes, times and random numbers as arguments.  Each pattern must match something."""
NOT_SANS_IO = {ROOT / "tlv/jit.py"}
"""It chooses the kernel cache before the first kernel is decorated; its docstring says why it stands in `tlv`."""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a source imports anywhere, functions included; `from a import b` counts as `a` and `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], node.module or ""]) if node.level else node.module
            )
            yield str(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_the_layers_below(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if name.partition(".")[0] in {*PACKAGES, "tests"} - ALLOWED[package]
    ]
    assert sources(package)
    assert wrong == []


def test_ring_knows_no_record_type() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("ringbuf")
        for name in imports(path)
        if name in RECORD_MODULES
    ]
    assert wrong == []


@pytest.mark.parametrize("pattern", SANS_IO)
def test_core_without_io_imports_no_io(pattern: str) -> None:
    paths = [path for path in sorted(ROOT.glob(pattern)) if path not in NOT_SANS_IO]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        if name.partition(".")[0] in INPUT_OUTPUT
    ]
    assert paths
    assert wrong == []
