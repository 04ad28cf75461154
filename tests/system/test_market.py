"""A market from a user's chair: the command, a collector on its chain file, and what a strategy finds there."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.signal import verify_signal
from consumers.journal import JournalReader
from consumers.strategy import Driver
from ringbuf import Reader, RingNotFound, RingNotReady, list_rings
from tlv.codes import Domain
from tlv.layout import LAYOUT_DIGEST, BlockEnd, Economics, Fill, PoolBurn, PoolMint, PoolSwap, PoolTicks, Reorg
from tlv.message import Message, build, parse
from tools.command.supervisor import child_environment, command_line

SECONDS, RATE = 3, 10
PATIENCE_S = 100.0


def test_recorded_market_has_trades_of_every_kind_reorgs_and_what_an_arbitrageur_looks_for(
    tmp_path: Path, ring_name: str
) -> None:
    options = ["--port", "0", "--seed", "4", "--duration", str(SECONDS), "--blocks-per-second", str(RATE), "--json"]
    folder = tmp_path / "made"
    options += ["--files", str(tmp_path / "files"), "--record", str(folder), "--ring", ring_name]
    done = subprocess.run(
        command_line(["market", *options]), env=child_environment({}), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    ready, ended = map(json.loads, done.stdout.splitlines())
    strategy = FlashArbitrage(ArbitrageConfig(gross=True, wrapped_native=ready["coin"]))
    messages: list[Message] = []
    signals: list[Message] = []
    with JournalReader(Path(ended["journal"])) as reader:
        driver = Driver(strategy, reader.uuid)
        while len(poll := reader.poll()):
            for frame in poll:
                payload = bytes(frame.payload)
                messages.append(parse(payload))
                for draft in driver.deliver(frame.sequence, frame.publish_time_ns, payload):
                    signals.append(parse(build(Domain.SIGNAL, draft.source, draft.records)))
    kinds = Counter(type(record) for message in messages for record in message.records)
    assert min(kinds[kind] for kind in (PoolMint, PoolTicks, Reorg)) > 0
    assert ended["reorgs"] >= 1
    assert kinds[BlockEnd] >= SECONDS * RATE // 2
    swaps = Counter(swap.recipient.hex() for message in messages if (swap := message.first(PoolSwap)) is not None)
    for kind in ("noise", "trend", "arbitrage"):
        assert swaps[ready["traders"][kind].removeprefix("0x")] > 0, kind
    assert kinds[PoolBurn] + kinds[PoolMint] >= ended["actions"]["liquidity"] // 2
    net = [one.net for message in signals if (one := message.first(Economics)) is not None]
    assert max(net) > 10**15, "a thousandth of a coin, after gas"
    assert all(not verify_signal(message) for message in signals)
    assert driver.poisoned == 0
    page = (folder / "PROVENANCE.md").read_text()
    assert f"{LAYOUT_DIGEST:#018x}" in page and "--seed 4" in page and ready["coin"] in page


def was_filled(ring: str) -> bool:
    """Whether an executor's ring, if there is one yet, tells of a fill."""
    try:
        with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            return any(parse(bytes(frame.payload)).first(Fill) is not None for frame in reader.poll(1 << 16))
    except (RingNotFound, RingNotReady):
        return False


def test_market_with_the_pipeline_on_it_shows_a_fill_and_leaves_nothing(tmp_path: Path, ring_name: str) -> None:
    options = ["--port", "0", "--up", "--blocks-per-second", "5", "--files", str(tmp_path / "files"), "--json"]
    process = subprocess.Popen(
        command_line(["market", *options, "--ring", f"{ring_name}.market.x"]),
        env=child_environment({}),
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "said").open("w"),
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        deadline = time.monotonic() + PATIENCE_S
        while not was_filled(ready["execution"]):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(ready["dashboard"]) as page:
            assert b"<title>" in page.read()
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    assert json.loads(rest)["blocks"] > 0
    assert not [ring for ring in list_rings() if ring.startswith(ring_name)]
    assert not (tmp_path / "files").exists()
