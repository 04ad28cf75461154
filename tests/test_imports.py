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
    *("asyncio", "concurrent", "ctypes", "fcntl", "mmap", "nats", "os", "pathlib", "posix_ipc", "random", "secrets"),
    *("select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time"),
    "websockets",
}
"""Sockets, files, clocks, threads and chance."""
WITHOUT_IO = ("tlv", "producers", "consumers")
"""Packages whose sources take bytes, times and random numbers as arguments; but for these."""
SHELLS = {
    "tlv/jit.py": "chooses the kernel cache before the first kernel is decorated",
    "producers/collector.py": "the collector's loop: sockets, clocks, the ring",
    "producers/disk.py": "the thread that writes files",
    "producers/node/connection.py": "one WebSocket",
    "producers/node/redaction.py": "names the errors of the WebSocket library",
    "producers/node/second_endpoint.py": "the loop around a second WebSocket",
    "producers/chains/configuration.py": "reads chain files",
    "producers/blocks/state_file.py": "reads and replaces the state file",
    "producers/pools/cache.py": "reads and appends the pool cache",
    "producers/output/event_filter.py": "reads the filter file",
    "consumers/client.py": "the client's socket and its pauses",
    "consumers/live.py": "tells sockets from rings by path; waits in a thread for asyncio",
    "consumers/lockfile.py": "locks files",
    "consumers/native.py": "the strategy loop's clock",
    "consumers/recorder.py": "the recorder's loop and clock",
    "consumers/runner.py": "the strategy loop's clock",
    "consumers/sources.py": "waits for rings to come back",
    "consumers/store.py": "a journal's path",
    "consumers/analysis/files.py": "writes tables",
    "consumers/analysis/frames.py": "writes tables",
    "consumers/analysis/scan.py": "scans segments in threads",
    "consumers/analysis/segments.py": "a segment's path",
    "consumers/bridge/broker.py": "the broker's connection",
    "consumers/bridge/inward.py": "the loop from broker to ring",
    "consumers/bridge/outward.py": "the loop from ring to broker",
    "consumers/journal/editing.py": "copies journals",
    "consumers/journal/errors.py": "errors that hold a path",
    "consumers/journal/flushing.py": "the thread that flushes",
    "consumers/journal/index.py": "reads and writes index files",
    "consumers/journal/reader.py": "reads segments",
    "consumers/journal/recovery.py": "cuts torn segments",
    "consumers/journal/sealing.py": "the thread that packs and drops segments",
    "consumers/journal/segment.py": "maps segments",
    "consumers/journal/writer.py": "appends to segments",
    "consumers/relay/address.py": "makes and checks the listening socket",
    "consumers/relay/bell.py": "the thread that turns a futex into an eventfd",
    "consumers/relay/cursors.py": "reads and replaces cursor files",
    "consumers/relay/feed.py": "a journal's path; stamps headers",
    "consumers/relay/server.py": "the relay's loop",
    "consumers/relay/session.py": "a cursor directory's path",
}
"""The sources that touch the world, each with its reason.  One that no longer does must leave the list."""


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


@pytest.mark.parametrize("package", WITHOUT_IO)
def test_only_the_shells_import_io(package: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in sources(package)
        if any(name.partition(".")[0] in INPUT_OUTPUT for name in imports(path))
    }
    assert found == {shell for shell in SHELLS if shell.startswith(f"{package}/")}
