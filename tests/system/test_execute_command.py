"""`alphapulse execute` between real rings: killed again and again, over journals, relayed, and asked wrongly."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from consumers.client import Item
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.runner import own_messages
from consumers.journal import Fsync
from consumers.order_hash import OrderHash
from consumers.recorder import Recorder
from ringbuf import Reader, Writer
from tests.consumers.execution.paper_market import Input, feed
from tests.consumers.execution.test_restarts import busy_market
from tests.consumers.relay_rig import serving, take
from tlv.errors import UsageError
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST
from tools.execute import command

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
SETTINGS = ("share_percent=50", "max_orders_per_block=3", "breaker_failures=3", "cool_down_blocks=4")
CONFIG = ExecutionConfig(share_percent=50, max_orders_per_block=3, breaker_failures=3, cool_down_blocks=4)


class Rig(NamedTuple):
    """A market's ring and a strategy's, full and closed, and what an executor must make of them."""

    market: str
    signals: str
    inputs: list[Input]
    expected: list[bytes]

    @property
    def order_hash(self) -> str:
        """Of what is expected."""
        taken = OrderHash()
        for message in self.expected:
            taken.add(message)
        return taken.hexdigest()


@contextmanager
def rig(new_ring_name: Callable[[], str], blocks: int = 40) -> Iterator[Rig]:
    """Both rings; they stay, closed, for as long as the block lasts."""
    with ExitStack() as stack:
        market, signals = (
            stack.enter_context(Writer.create(new_ring_name(), capacity=1 << 25, layout_digest=LAYOUT_DIGEST))
            for _ in range(2)
        )
        inputs = busy_market(3, blocks, market.uuid).inputs
        for one in inputs:
            (signals if one.is_order else market).publish(one.payload)
        market.close()
        signals.close()
        expected = feed(PaperExecutor(CONFIG), inputs, market.uuid, signals.uuid)
        yield Rig(market.name, signals.name, inputs, expected)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """`alphapulse execute`, when it is ready."""
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    words = [sys.executable, "-m", "tools.command.main", "execute", *map(str, arguments), *sets, "--json"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line and json.loads(line)["ready"], process.communicate()
    return process


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its statistics; it must end well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    statistics: dict[str, Any] = json.loads(out)
    return statistics


def count_of(reader: Reader) -> int:
    """How many messages its ring has had."""
    while len(reader.poll(4096)):
        pass
    return reader.sequence - 1


def payloads(messages: list[bytes]) -> list[bytes]:
    """What stands behind the headers."""
    return [message[HEADER_SIZE:] for message in messages]


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.soak)])
def test_no_order_is_filled_twice_and_none_forgotten_however_often_it_is_killed(
    new_ring_name: Callable[[], str], tell: Callable[[str], None], kills: int
) -> None:
    draw, execution = random.Random(kills), new_ring_name()
    with rig(new_ring_name, blocks=40 * kills) as made:
        words = ("--ring", made.market, "--signals", made.signals, "--execution", execution)
        reached = []
        for _ in range(kills):
            process = start(*words)
            with Reader.attach(execution, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                wanted = count_of(reader) + draw.randrange(100)
                deadline = time.monotonic() + PATIENCE_S
                while count_of(reader) < wanted:
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.0005)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                reached.append(count_of(reader))
        statistics = end(start(*words, "--until-closed"))
        assert payloads(list(own_messages(execution))) == payloads(made.expected)
        assert statistics["execution_hash"] == made.order_hash
        assert reached[0] < len(made.expected)
        tell(f"killed behind {', '.join(map(str, reached))} of {len(made.expected)} messages")


def test_journals_of_market_and_orders_give_what_the_rings_gave(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    execution = new_ring_name()
    with rig(new_ring_name) as made:
        for name in (made.market, made.signals):
            with Recorder(name, tmp_path / name, report=print, fsync=Fsync.NEVER) as recorder:
                recorder.run(lambda: False, until_closed=True)
        words = ("--journal", tmp_path / made.market, "--signals-journal", tmp_path / made.signals)
        statistics = end(start(*words, "--execution", execution))
        assert statistics["execution_hash"] == made.order_hash
        assert payloads(list(own_messages(execution))) == payloads(made.expected)
        with serving(execution, domain="execution") as relay, relay.client(start="oldest") as client:
            served = take(client, len(made.expected))
        assert payloads([bytes(item.data) for item in served if isinstance(item, Item)]) == payloads(made.expected)
        with Recorder(execution, tmp_path / "own", report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: False, until_closed=True)
        assert payloads(list(own_messages(new_ring_name(), tmp_path / "own"))) == payloads(made.expected)
        again = end(start(*words, "--execution", new_ring_name(), "--execution-journal", tmp_path / "own"))
        assert (again["published"], again["execution_hash"]) == (0, made.order_hash)
        assert again["pnl"] == statistics["pnl"]


def test_ring_of_another_process_is_not_published_into(new_ring_name: Callable[[], str]) -> None:
    other = new_ring_name()
    with rig(new_ring_name) as made:
        with Writer.create(other, layout_digest=LAYOUT_DIGEST) as writer:
            writer.publish(made.inputs[0].payload)
        arguments = ["--ring", made.market, "--signals", made.signals, "--execution", other]
        ended = CliRunner().invoke(command, arguments)
        assert isinstance(ended.exception, UsageError)
        assert f"ring {other}: expected messages of source 40" in str(ended.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "share_percent=101"], "share_percent"),
        (["--set", "share_procent=1"], "share_percent"),
        (["--set", "latency_ms=nan"], "latency_ms"),
        (["--set", "gas.tip_wei=-1"], "tip_wei"),
        (["--journal", "."], "--signals-journal"),
        (["--signals-journal", "."], "--journal"),
        (["--journal", ".", "--ring", "a"], "--ring and --journal"),
        (["--signals", "execution.paper"], "--execution"),
        (["--signals", "market.polygon"], "--signals"),
        (["--signals", "a", "--signals", "a"], "--signals"),
        (["--signals", "A/b"], "ring name 'A/b'"),
        (["--journal", "a", "--signals-journal", "b/../a"], "--signals-journal"),
        (["--stats-json", "nowhere/stats.json"], "--stats-json nowhere/stats.json: expected a file in a folder"),
        (["--set", "wrapped_native=0x12"], "wrapped_native: expected str matching regex"),
        (["--set", "clock=guess"], "clock: expected one of refuse, unknown, found 'guess'"),
    ],
)
def test_what_cannot_be_is_refused_and_named(arguments: list[str], said: str) -> None:
    ended = CliRunner().invoke(command, arguments)
    assert isinstance(ended.exception, UsageError) and not ended.stdout
    assert said in str(ended.exception)
