"""`/api/trace`: the way of one message, as `alphapulse trace --json` prints it.

Owns the route and its bounds: one search at a time, in a thread, over so many frames that it lasts a moment.  It reads
beside the writer, which never waits for it.

    /api/trace?ring=R&sequence=S        where the ring has it
    /api/trace?journal=J&sequence=S     where the journal has it
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ringbuf import RingNotFound
from tlv.errors import AlphaPulseError, UsageError
from tools.trace.finding import FrameName, trace_one
from tools.trace.frames import SequenceMissing
from tools.trace.model import TraceAnswer
from tools.trace.signals import Signals

REACH = 1 << 17
"""Frames before and behind the message: its block, and the reorg that took it back."""
SIGNALS_REACH = 1 << 14
"""Newest signals of each ring; each is parsed."""
MOST_DIGITS = 19
"""Of a sequence."""


def trace_route(rings: Sequence[str], journals: Mapping[str, Path]) -> Route:
    """The route, for these rings (none: every ring of this user) and the journals with these names."""
    searching = asyncio.Lock()

    async def trace(request: Request) -> Response:
        try:
            ring, journal, sequence = asked(request, rings, journals)
            async with searching:
                answer = await run_in_threadpool(search, ring, journal, sequence)
        except (RingNotFound, SequenceMissing) as error:
            return JSONResponse({"error": str(error)}, 404)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        except AlphaPulseError as error:
            return JSONResponse({"error": str(error)}, 503)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return Route("/api/trace", trace)


def asked(request: Request, rings: Sequence[str], journals: Mapping[str, Path]) -> tuple[str | None, Path | None, int]:
    """Ring or journal, and sequence, that a request names.

    Raises:
        UsageError: a parameter is missing, unknown or no sequence.
        SequenceMissing: the ring or the journal is none that is looked at.
    """
    given = dict(request.query_params)
    if len(given) != 2 or "sequence" not in given or not given.keys() & {"ring", "journal"}:
        found = ", ".join(request.query_params) or "nothing"
        raise UsageError(f"expected ?ring=R&sequence=S or ?journal=J&sequence=S, found {found}")
    text = given["sequence"]
    sequence = int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0
    if not 0 < sequence < 1 << 63:
        raise UsageError(f"sequence={text[:40]}: expected a number from 1 on")
    if (journal := given.get("journal")) is not None:
        if journal not in journals:
            raise SequenceMissing(f"journal={journal[:80]}: expected one of {', '.join(journals) or 'none'}")
        return None, journals[journal], sequence
    ring = given["ring"]
    if rings and ring not in rings:
        raise SequenceMissing(f"ring={ring[:80]}: expected one that obs looks at: {', '.join(rings)}")
    return ring, None, sequence


def search(ring: str | None, journal: Path | None, sequence: int) -> TraceAnswer:
    """What is found.

    Raises:
        AlphaPulseError: as `trace_one` has it.
    """
    return trace_one(FrameName("", sequence), ring, journal, Signals.of_this_host(SIGNALS_REACH), REACH)
