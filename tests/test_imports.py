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
    "fcntl",
    "mmap",
    "nats",
    "os",
    "pathlib",
    "posix_ipc",
    "random",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "websockets",
}
WITHOUT_IO = ("tlv", "producers", "consumers", "tools/recording/core.py")
"""Sources that take bytes, times and random numbers as arguments, all but the shells."""
SHELLS = {
    "tlv/user_cache.py": "where the home is",
    "tlv/jit.py": "whether the environment says that nothing is compiled",
    "tlv/kernel_cache.py": "the kernel cache, chosen before the first kernel is decorated",
    "producers/collector.py": "the feed's clock, sockets and tasks",
    "producers/keeping.py": "the paths of a collector's files",
    "producers/other_endpoints.py": "tasks, and the clock",
    "producers/disk.py": "every write of a collector, in a thread",
    "producers/blocks/state_file.py": "one file",
    "producers/chains/configuration.py": "the chains' files",
    "producers/kinds/loading.py": "the file of a kind",
    "producers/node/connection.py": "a WebSocket",
    "producers/node/inquiry.py": "a WebSocket for a moment",
    "producers/node/redaction.py": "the texts of a WebSocket's errors",
    "producers/node/second_endpoint.py": "a WebSocket of its own",
    "producers/output/event_filter.py": "the filter's file",
    "producers/pools/cache.py": "one file",
    "consumers/analysis/files.py": "Parquet files",
    "consumers/analysis/frames.py": "a journal's folder",
    "consumers/analysis/scan.py": "one thread a core",
    "consumers/analysis/segments.py": "a journal's folder",
    "consumers/backtest/mapped_journal.py": "files without a name, mapped",
    "consumers/bridge/address.py": "names of files",
    "consumers/analysis/tables.py": "a journal's folder",
    "consumers/bridge/broker.py": "NATS",
    "consumers/bridge/durable.py": "NATS",
    "consumers/bridge/inward.py": "NATS",
    "consumers/bridge/outward.py": "NATS",
    "consumers/bridge/presence.py": "NATS",
    "consumers/bridge/retrying.py": "waiting, with asyncio",
    "consumers/bridge/sending.py": "NATS",
    "consumers/client.py": "a relay's socket",
    "consumers/delivery.py": "waiting, blocking or with asyncio",
    "consumers/held_ids.py": "a journal's folder",
    "consumers/journal/blocks.py": "one segment's file, mapped",
    "consumers/journal/editing.py": "journals' folders",
    "consumers/execution/runner.py": "an executor's loop, and journals' folders",
    "consumers/follower.py": "when to look for another ring",
    "consumers/foreign_prints.py": "descriptor 1",
    "consumers/host.py": "a strategy's process: signals, a journal's folder",
    "consumers/journal/extents.py": "a journal's folder",
    "consumers/journal/errors.py": "the path that an error names",
    "consumers/journal/files.py": "new files",
    "consumers/journal/flushing.py": "fsync, in a thread",
    "consumers/journal/index.py": "one file",
    "consumers/journal/indexing.py": "the lock of what is known of segments",
    "consumers/journal/mending.py": "segments' files",
    "consumers/journal/opened.py": "one segment's file",
    "consumers/journal/packed.py": "one segment's file",
    "consumers/journal/reader.py": "segments' files",
    "consumers/journal/recovery.py": "one segment's file",
    "consumers/journal/scan.py": "the path of a damaged segment",
    "consumers/journal/sealing.py": "segments' files, in a thread",
    "consumers/journal/segment.py": "one segment's file",
    "consumers/journal/writer.py": "segments' files",
    "consumers/live.py": "whether a path is a socket",
    "consumers/loading.py": "a strategy's file",
    "consumers/lockfile.py": "a lock on a file",
    "consumers/native/runner.py": "both clocks",
    "consumers/native/warm.py": "the name of a ring of its own",
    "consumers/parameters.py": "paths, of which it opens none",
    "consumers/progress.py": "the terminal, and when a second has passed",
    "consumers/recorder.py": "a ring into a journal's folder",
    "consumers/relay/address.py": "a socket's file",
    "consumers/relay/admission.py": "a listening socket",
    "consumers/relay/bell.py": "a thread that waits for rings",
    "consumers/relay/catch_up.py": "a thread that reads a journal",
    "consumers/relay/cursors.py": "one file",
    "consumers/relay/line.py": "how long to wait for a recorder",
    "consumers/relay/feed.py": "where the journal is, and how long to wait for it",
    "consumers/relay/journal_reading.py": "a journal's folder",
    "consumers/relay/packing.py": "the wall clock of a Batch's header",
    "consumers/relay_frames.py": "waiting for a relay",
    "consumers/relay/server.py": "the sockets",
    "consumers/relay/session.py": "the folder of cursors",
    "consumers/runner.py": "a strategy's loop",
    "consumers/sources.py": "waiting for a ring",
    "consumers/store.py": "a journal's folder",
    "consumers/strategy.py": "in which thread it is called",
    "consumers/waiting.py": "waiting for a ring or a relay",
    "consumers/watchdog.py": "timers of this process",
}
"""The sources that do touch the world, each with what it touches.  One that no longer does leaves the list."""


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


def test_only_the_shells_import_io() -> None:
    paths = [path for place in WITHOUT_IO for path in ([ROOT / place] if place.endswith(".py") else sources(place))]
    importing = {
        str(path.relative_to(ROOT))
        for path in paths
        if any(name.partition(".")[0] in INPUT_OUTPUT for name in imports(path))
    }
    assert sorted(importing - set(SHELLS)) == [], "imports I/O and is no shell"
    assert sorted(set(SHELLS) - importing) == [], "is called a shell and imports no I/O"


def test_paper_executor_cannot_send_anything() -> None:
    """It signs no transaction and sends none: nothing of it can reach a node, or run a program that could."""
    senders = {"asyncio", "http", "requests", "socket", "ssl", "subprocess", "urllib", "web3", "websockets", "nats"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in [*(ROOT / "consumers/execution").rglob("*.py"), ROOT / "tools/execute.py"]
        for name in imports(path)
        if name.partition(".")[0] in senders or name.startswith(("producers.", "consumers.bridge", "tools.rig"))
    ]
    assert wrong == []
