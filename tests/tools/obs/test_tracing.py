"""`/api/trace` of obs: what `alphapulse trace` says, within bounds, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.types import Message

from tests.consumers.journal_frames import layout, open_writer
from tests.consumers.recorded_market import canonical_frames
from tests.consumers.relay_rig import make_ring
from tests.tools.obs.asking import ask, sent_by
from tlv.codes import Domain, Source
from tlv.layout import EventOrigin, SignalIdentity
from tlv.message import build, parse
from tools.obs.app import make_app
from tools.obs.look import Looking
from tools.rig.recorded_ring import fill_recorded
from tools.trace.command import command
from tools.trace.finding import FrameName, trace_one
from tools.trace.frames import POLL_FRAMES
from tools.trace.model import TraceAnswer
from tools.trace.signals import Signals

FRAMES = [data for _, _, data in canonical_frames()]
EVENT = 1 + next(at for at, data in enumerate(FRAMES) if parse(data).first(EventOrigin))


@pytest.fixture
def app(new_ring_name: Callable[[], str], tmp_path: Path) -> Iterator[tuple[Starlette, str]]:
    """Over a ring of recorded frames, one signal on an event of it, and a journal of the same; with the ring's name."""
    ring, signals = new_ring_name(), new_ring_name()
    with make_ring(ring) as writer, make_ring(signals) as strategy, closing(Looking((ring,))) as looking:
        for data in FRAMES:
            writer.publish(data)
        identity = SignalIdentity(7, EVENT, 0, writer.uuid, "some", 1)
        strategy.publish(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity]))
        with open_writer(tmp_path / "kept", ring_uuid=writer.uuid) as journal:
            journal.append(*layout(FRAMES, 1))
        yield make_app(looking, journals={"kept": tmp_path / "kept"}), ring


def without_clock(found: TraceAnswer) -> TraceAnswer:
    """Without wall times, which each process makes of monotonic ones for itself, and what other processes count."""
    traces = [
        msgspec.structs.replace(
            trace,
            stamps=[stamp for stamp in trace.stamps if stamp.clock != "monotonic"],
            hops=[hop for hop in trace.hops if hop.precision != "across"],
            slowest="",
            slowest_here="",
            whole_ns=0,
            here_ns=0,
        )
        for trace in found.traces
    ]
    return msgspec.structs.replace(found, traces=traces, unstamped=[])


def test_api_trace_is_what_the_command_prints(app: tuple[Starlette, str]) -> None:
    serving, ring = app
    answer = ask(serving, f"/api/trace?ring={ring}&sequence={EVENT}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found = msgspec.json.decode(answer.body, type=TraceAnswer)
    printed = CliRunner().invoke(command, [str(EVENT), "--ring", ring, "--json"])
    assert without_clock(found) == without_clock(msgspec.json.decode(printed.stdout, type=TraceAnswer))
    assert [signal.strategy for signal in found.traces[0].signals] == ["some"]


def test_api_trace_looks_into_a_journal_by_its_name(app: tuple[Starlette, str]) -> None:
    serving, _ = app
    (trace,) = msgspec.json.decode(
        ask(serving, f"/api/trace?journal=kept&sequence={EVENT}").body, type=TraceAnswer
    ).traces
    assert (trace.sequence, trace.what) == (EVENT, "event")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "expected ?ring=R&sequence=S or ?journal=J&sequence=S, found nothing"),
        ("?sequence=1", 400, "found sequence"),
        ("?ring={ring}", 400, "found ring"),
        ("?ring={ring}&journal=kept&sequence=1", 400, "found ring, journal, sequence"),
        ("?ring={ring}&sequence=0", 400, "sequence=0: expected a number from 1 on"),
        ("?ring={ring}&sequence=-1", 400, "sequence=-1: expected a number from 1 on"),
        ("?ring={ring}&sequence=%D9%A1", 400, "expected a number from 1 on"),
        (f"?ring={{ring}}&sequence={1 << 63}", 400, "expected a number from 1 on"),
        (f"?ring={{ring}}&sequence={'9' * 5000}", 400, "expected a number from 1 on"),
        ("?ring={ring}&sequence=999999", 404, "sequence 999999 is yet to come"),
        ("?ring=another&sequence=1", 404, "ring=another: expected one that obs looks at"),
        ("?journal=../kept&sequence=1", 404, "journal=../kept: expected one of kept"),
        ("?journal=kept&sequence=999999", 404, "sequence 999999 is yet to come"),
    ],
)
def test_api_trace_of_what_is_not_there_says_why(
    app: tuple[Starlette, str], query: str, status: int, words: str
) -> None:
    serving, ring = app
    answer = ask(serving, f"/api/trace{query.format(ring=ring)}")
    assert (answer.status, list(answer.json())) == (status, ["error"])
    assert words in answer.json()["error"]


def test_api_trace_without_wanted_rings_looks_for_any_and_refuses_what_is_no_name(
    new_ring_name: Callable[[], str],
) -> None:
    with closing(Looking(())) as looking:
        serving = make_app(looking)
        assert ask(serving, f"/api/trace?ring={new_ring_name()}&sequence=1").status == 404
        assert ask(serving, "/api/trace?ring=../passwd&sequence=1").status == 400


def test_api_trace_of_a_frame_that_is_no_message_says_so(ring_name: str) -> None:
    with make_ring(ring_name) as writer, closing(Looking((ring_name,))) as looking:
        writer.publish(b"0123456789" * 7)
        answer = ask(make_app(looking), f"/api/trace?ring={ring_name}&sequence=1")
    assert answer.status == 503 and "expected magic" in answer.json()["error"]


def test_api_trace_asked_for_by_many_at_once_answers_each(app: tuple[Starlette, str]) -> None:
    serving, ring = app

    async def all_at_once() -> list[list[Message]]:
        return await asyncio.gather(
            *(sent_by(serving, "http", f"/api/trace?ring={ring}&sequence={at}", "GET", ()) for at in range(1, 9))
        )

    bodies = [b"".join(part["body"] for part in parts) for _, *parts in asyncio.run(all_at_once())]
    found = [msgspec.json.decode(body, type=TraceAnswer).traces[0].sequence for body in bodies]
    assert found == list(range(1, 9))


def test_trace_within_a_reach_looks_at_no_more_than_that(ring_name: str, tmp_path: Path) -> None:
    swap = FRAMES[EVENT - 1]
    with make_ring(ring_name) as writer:
        total = fill_recorded(writer, tmp_path, swap, 20_000)
        sequence = total - 10_000
        everything = trace_one(FrameName("", sequence), ring_name, None, Signals())
        near = trace_one(FrameName("", sequence), ring_name, None, Signals(), 100)
        kept = trace_one(FrameName("", sequence), None, tmp_path, Signals(), 100)
    assert [found.traces[0].sequence for found in (everything, near, kept)] == [sequence] * 3
    assert 100 < near.frames <= 100 + POLL_FRAMES < kept.frames < everything.frames
