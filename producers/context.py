"""What every part of one feed shares: its chain, its clock, its node, its counters.

Owns nothing but the bundle, so that a part takes what it needs from one argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from producers.chains.configuration import ChainConfig
from producers.node.calls_at import CallsAt
from producers.node.capabilities import Capabilities
from producers.node.jsonrpc import JsonRpc
from producers.node.timers import Clock, Timers
from producers.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Context:
    """One feed's surroundings.  The parts never set the clock: the feed does, once per call from outside."""

    chain: ChainConfig
    clock: Clock
    rpc: JsonRpc
    timers: Timers
    calls: CallsAt
    stats: Statistics = field(default_factory=Statistics)
    log_filter: dict[str, object] = field(default_factory=dict)
    """The members of an eth_subscribe or eth_getLogs filter; empty = all logs."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    """Of the endpoint that is connected."""
    publishes_unproven: bool = False
    """Events of emitters that were declared unproven are published, marked; else they are held back."""

    @classmethod
    def of(
        cls,
        chain: ChainConfig,
        clock: Clock,
        log_filter: dict[str, object] | None = None,
        *,
        publishes_unproven: bool = False,
    ) -> Context:
        """A context with a fresh endpoint, timers and counters on `clock`."""
        rpc, able = JsonRpc(clock), Capabilities()
        calls = CallsAt(clock, rpc, able)
        return cls(
            chain,
            clock,
            rpc,
            Timers(clock),
            calls,
            log_filter=log_filter or {},
            capabilities=able,
            publishes_unproven=publishes_unproven,
        )
