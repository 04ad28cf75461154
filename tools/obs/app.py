"""The routes of `alphapulse obs`.

Owns what is answered where.  Every route looks (`tools.obs.look`), and none changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tools.obs import api
from tools.obs.conditions import judge
from tools.obs.look import Look, Looking
from tools.obs.metrics import metrics_of
from tools.obs.telling import ReceiverStat
from tools.obs.tracing import trace_route

NO_JOURNALS: Mapping[str, Path] = MappingProxyType({})


def make_app(
    looking: Looking,
    receivers: Callable[[], list[ReceiverStat]] = list,
    dashboard: Sequence[BaseRoute] = (),
    journals: Mapping[str, Path] = NO_JOURNALS,
) -> Starlette:
    """The application, over what `looking` sees, how the receivers of notices stand and journals by their names; with
    the dashboard's routes.
    """

    def answer(made: Any, *, good: bool = True) -> Response:
        return Response(msgspec.json.encode(made), 200 if good else 503, media_type="application/json")

    def showing(make: Callable[[Look], Any]) -> Callable[[Request], Response]:
        return lambda _: answer(make(looking.look()))

    def healthz(_: Request) -> Response:
        health = api.health(looking.look())
        return answer(health, good=health.healthy)

    def readyz(_: Request) -> Response:
        ready = api.ready(judge(looking.look()))
        return answer(ready, good=ready.ready)

    class Looked(Collector):
        """Prometheus families, made when they are asked for."""

        def collect(self) -> Any:
            now = looking.look()
            return metrics_of(now, judge(now), receivers(), healthy=api.health(now).healthy)

    registry = CollectorRegistry()
    registry.register(Looked())
    ProcessCollector(registry=registry)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/api/rings", showing(api.rings)),
            Route("/api/processes", showing(api.processes)),
            Route("/api/feed", showing(lambda look: api.FeedAnswer(look.feeds))),
            Route("/api/anomalies", showing(api.anomalies)),
            Route("/api/relays", showing(lambda look: api.RelaysAnswer(look.relays))),
            Route("/api/histograms", showing(api.histograms)),
            Route("/api/notify", showing(lambda _: api.NotifyAnswer(receivers()))),
            trace_route(looking.wanted, journals),
            Route("/api/schema", showing(lambda _: api.schema())),
            *dashboard,
        ]
    )
