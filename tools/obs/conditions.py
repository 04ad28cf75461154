"""Whether a pipeline can be relied on: the conditions of /readyz, each with what was found and what was asked.

Owns the judgement, over what a look found.  It must never look itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringbuf.names import ring_of_process
from tools.obs.look import FeedOfRing, Look
from tools.obs.processes import ProcessStat
from tools.ringstat import RingStat

FRESH_S = 5.0
"""A writer gives its heartbeat every second."""
BLOCKS_BEHIND = 16
"""Blocks between a node's head and what has ended; two or three are usual."""
NAMED_WITHIN_S = 30.0
"""An emitter that cannot be proven is declared after 15 s; until then what it holds back has no name."""
NAMED = 8
"""Emitters that a text names; /api/feed has all."""
JOURNAL_LAG = 0.25
"""Share of the ring that the journal may lack; at 1 the writer evicts the recorder."""


@dataclass(frozen=True)
class Condition:
    """One of the conditions, of one ring, process or relay."""

    name: str
    subject: str
    ok: bool
    value: float | str
    bound: float | str
    """What `value` may be at most, or what it must be; events that are held back need not be 0, but have a name."""
    text: str
    """In words."""


def judge(look: Look) -> list[Condition]:
    """All conditions, those of a ring together."""
    found = rings_there(look)
    feeds = {feed.ring: feed for feed in look.feeds}
    for ring in look.rings:
        found += of_ring(ring)
        if ring.name in feeds:
            found += of_feed(feeds[ring.name])
    for process in look.processes.stats:
        if not look.wanted or process.ring in look.wanted:
            found += of_process(process)
    found += [
        Condition("process", name, False, "unreadable", "readable", text)
        for name, text in look.processes.unreadable.items()
        if not look.wanted or ring_of_process(name) in look.wanted
    ]
    found += [
        Condition(
            "relay", relay.path, relay.answers, answer(relay.answers), "answers", f"its socket {answer(relay.answers)}"
        )
        for relay in look.relays
    ]
    return found


def answer(answers: bool) -> str:
    """In words."""
    return "answers" if answers else "does not answer"


def rings_there(look: Look) -> list[Condition]:
    """Whether the rings that were named, or any at all, are there."""
    found = [Condition("ring", name, False, "unreadable", "readable", text) for name, text in look.unreadable.items()]
    found += [Condition("ring", ring.name, True, "readable", "readable", "there") for ring in look.rings]
    if not found:
        found.append(Condition("ring", "", False, "none", "readable", "no ring: nothing was started yet"))
    return found


def of_ring(ring: RingStat) -> list[Condition]:
    """Whether a writer lives and gives its heartbeat, and no reliable consumer was evicted."""
    age = round(ring.heartbeat_age_s, 3)
    evicted = [consumer.pid for consumer in ring.consumers if consumer.evicted and consumer.alive]
    return [
        Condition(
            "writer",
            ring.name,
            ring.writer in {"alive", "silent"},
            ring.writer,
            "alive",
            f"writer {ring.writer} (pid {ring.writer_pid})",
        ),
        Condition("ring_fresh", ring.name, age <= FRESH_S, age, FRESH_S, f"last heartbeat {age:.1f} s ago"),
        Condition(
            "consumers",
            ring.name,
            not evicted,
            float(len(evicted)),
            0.0,
            f"evicted: pid {', '.join(map(str, evicted))}" if evicted else "no reliable consumer was evicted",
        ),
    ]


def of_feed(feed: FeedOfRing) -> list[Condition]:
    """Whether a collector is at its node's head, the node makes progress, and what is held back has a name."""
    stat = feed.stat
    unnamed, named = stat.held_back, sum(emitter.events for emitter in feed.held)
    names = ", ".join(f"{emitter.emitter} ({emitter.events})" for emitter in feed.held[-NAMED:])
    more = f" and {len(feed.held) - NAMED} emitters more" if len(feed.held) > NAMED else ""
    return [
        Condition(
            "synced",
            feed.ring,
            stat.state == "live" and stat.blocks_behind <= BLOCKS_BEHIND,
            float(stat.blocks_behind),
            float(BLOCKS_BEHIND),
            f"{stat.state}, {stat.blocks_behind} blocks behind head {stat.head_number}",
        ),
        Condition(
            "endpoint",
            feed.ring,
            stat.healthy,
            stat.reason,
            "ok",
            stat.problem or f"endpoint {stat.endpoint} makes progress, head {stat.head_age_s:.1f} s old",
        ),
        Condition(
            "held_back",
            feed.ring,
            feed.held_for_s <= NAMED_WITHIN_S,
            float(unnamed + named),
            0.0,
            f"{unnamed} events of emitters that are being asked, {named} of emitters declared unproven"
            + (f": {names}{more}" if names else ""),
        ),
    ]


def of_process(process: ProcessStat) -> list[Condition]:
    """Whether a process lives and does something; of a recorder, whether the journal keeps up."""
    found = [
        Condition(
            "process",
            process.process,
            not process.problem,
            "ended" if not process.alive else "hangs" if process.problem else "runs",
            "runs",
            process.problem or f"{process.role}, pid {process.pid}",
        )
    ]
    if process.role == "recorder" and process.alive:
        levels = process.levels
        lag = levels["lag_bytes"] / max(levels["ring_bytes"], 1)
        text = f"lacks {levels['lag_bytes']:,} bytes of the ring"
        found.append(
            Condition(
                "journal",
                process.process,
                lag <= JOURNAL_LAG and not levels["refused_now"],
                round(lag, 4),
                JOURNAL_LAG,
                text + ("; the disk refuses it" if levels["refused_now"] else ""),
            )
        )
    return found
