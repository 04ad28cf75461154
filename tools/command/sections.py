"""The sections of a configuration: what can be written into alphapulse.toml, and of which kind.

Owns the names and kinds of all keys.  A section is named after what runs, a key after the command's option (`--url`);
`tests/tools/command/test_config.py` holds both against the commands.  Defaults, units and meanings are the options' own
(`alphapulse config reference`).  It imports no command: every start of every command reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class Section(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the sections: every key is optional, and an unknown key is an error."""


class UpSection(Section):
    """`alphapulse up`"""

    restarts: int | UnsetType = UNSET
    settle: int | UnsetType = UNSET
    grace: int | UnsetType = UNSET
    log_mib: float | UnsetType = UNSET
    log_files: int | UnsetType = UNSET


class NodeSection(Section):
    """`alphapulse node`"""

    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET
    speed: str | float | UnsetType = UNSET
    rate: float | UnsetType = UNSET
    start: str | UnsetType = UNSET
    at_end: str | UnsetType = UNSET
    max_pause: float | UnsetType = UNSET
    first_block: int | UnsetType = UNSET
    chain_id: int | UnsetType = UNSET
    disconnects: int | UnsetType = UNSET
    duplicate: float | UnsetType = UNSET
    reorder: float | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class CollectorSection(Section):
    """`alphapulse collect`"""

    url: str | UnsetType = UNSET
    fallback: list[str] | UnsetType = UNSET
    chain: str | UnsetType = UNSET
    ring: str | UnsetType = UNSET
    capacity: int | UnsetType = UNSET
    filter: list[str] | UnsetType = UNSET
    unproven: str | UnsetType = UNSET
    watch_ticks: list[str] | UnsetType = UNSET
    cross_check: str | UnsetType = UNSET
    cross_check_share: float | UnsetType = UNSET
    pool_cache: str | UnsetType = UNSET
    watchdog: float | UnsetType = UNSET
    max_message: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    ring_lost: str | UnsetType = UNSET
    standby: bool | UnsetType = UNSET


class StrategySection(Section):
    """`alphapulse strategy`"""

    run: list[str] | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET
    set: list[str] | UnsetType = UNSET
    ring: str | UnsetType = UNSET
    relay: str | UnsetType = UNSET
    reliable: bool | UnsetType = UNSET
    journal: str | UnsetType = UNSET
    follow: bool | UnsetType = UNSET
    signals: str | UnsetType = UNSET
    signals_journal: str | UnsetType = UNSET
    symbol: list[str] | UnsetType = UNSET
    pool: list[str] | UnsetType = UNSET
    token: list[str] | UnsetType = UNSET
    venue: list[str] | UnsetType = UNSET
    handler_limit: float | UnsetType = UNSET
    arbitrage: str | UnsetType = UNSET
    start: str | int | UnsetType = UNSET
    wait: str | UnsetType = UNSET
    gross: bool | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class ExecuteSection(Section):
    """`alphapulse execute`"""

    ring: str | UnsetType = UNSET
    reliable: bool | UnsetType = UNSET
    journal: str | UnsetType = UNSET
    signals: list[str] | UnsetType = UNSET
    signals_journal: list[str] | UnsetType = UNSET
    execution: str | UnsetType = UNSET
    execution_journal: str | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET
    set: list[str] | UnsetType = UNSET
    wait: str | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class AnomaliesSection(Section):
    """`alphapulse anomalies`"""

    ring: str | UnsetType = UNSET
    reliable: bool | UnsetType = UNSET
    health: str | UnsetType = UNSET
    chain: str | UnsetType = UNSET
    start: str | int | UnsetType = UNSET
    wait: str | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET
    rate_high: int | UnsetType = UNSET
    rate_low: int | UnsetType = UNSET
    silence: float | UnsetType = UNSET
    gap: int | UnsetType = UNSET
    reorg_depth: int | UnsetType = UNSET
    price_jump: int | UnsetType = UNSET
    liquidity_drop: int | UnsetType = UNSET
    latency_drift: float | UnsetType = UNSET
    unproven_share: int | UnsetType = UNSET


class RelaySection(Section):
    """`alphapulse relay`"""

    domain: str | UnsetType = UNSET
    ring: list[str] | UnsetType = UNSET
    socket: str | UnsetType = UNSET
    instance: int | UnsetType = UNSET
    journal: list[str] | UnsetType = UNSET
    cursors: str | UnsetType = UNSET
    patience: float | UnsetType = UNSET
    max_clients: int | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class RecorderSection(Section):
    """`alphapulse record`"""

    ring: str | UnsetType = UNSET
    out: str | UnsetType = UNSET
    fsync: str | UnsetType = UNSET
    interval: float | UnsetType = UNSET
    segment_mib: int | UnsetType = UNSET
    retain_mib: int | UnsetType = UNSET
    retain_hours: float | UnsetType = UNSET
    pack: bool | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class BridgeSection(Section):
    """What both directions of `alphapulse bridge` take."""

    ring: str | UnsetType = UNSET
    server: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    creds: str | UnsetType = UNSET
    nkey: str | UnsetType = UNSET
    tls_ca: str | UnsetType = UNSET
    tls_cert: str | UnsetType = UNSET
    tls_key: str | UnsetType = UNSET


class BridgeOutSection(BridgeSection):
    """`alphapulse bridge out`"""

    journal: str | UnsetType = UNSET
    start: str | UnsetType = UNSET
    replicas: int | UnsetType = UNSET
    max_mib: int | UnsetType = UNSET
    max_hours: float | UnsetType = UNSET


class BridgeInSection(BridgeSection):
    """`alphapulse bridge in`"""

    durable: str | UnsetType = UNSET
    capacity: int | UnsetType = UNSET


class ObsSection(Section):
    """`alphapulse obs`"""

    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET
    ring: list[str] | UnsetType = UNSET
    allow_host: list[str] | UnsetType = UNSET
    allow_origin: list[str] | UnsetType = UNSET
    token_file: str | UnsetType = UNSET
    journal: list[str] | UnsetType = UNSET
    notify_file: str | UnsetType = UNSET
    notify_after: float | UnsetType = UNSET


class Kind(msgspec.Struct, frozen=True):
    """A section: the command that it configures, and its keys."""

    command: str
    keys: type[Section]
    runs: bool = True
    """Whether `alphapulse up` starts a process for it."""


SECTIONS = {
    "up": Kind("up", UpSection, runs=False),
    "node": Kind("node", NodeSection),
    "collector": Kind("collect", CollectorSection),
    "strategy": Kind("strategy", StrategySection),
    "execute": Kind("execute", ExecuteSection),
    "anomalies": Kind("anomalies", AnomaliesSection),
    "relay": Kind("relay", RelaySection),
    "recorder": Kind("record", RecorderSection),
    "bridge_out": Kind("bridge out", BridgeOutSection),
    "bridge_in": Kind("bridge in", BridgeInSection),
    "obs": Kind("obs", ObsSection),
}

PATHS = frozenset(
    (
        *(
            "signals_journal",
            "relay",
            "journal",
            "execution_journal",
            "out",
            "socket",
            "cursors",
            "state",
            "arbitrage",
            "pool_cache",
            "token_file",
            "notify_file",
        ),
        *("creds", "nkey", "tls_ca", "tls_cert", "tls_key"),
    )
)
"""Keys whose values are paths."""
MAYBE_PATHS = frozenset(("chain", "filter"))
"""Keys whose values are paths if they end in .toml."""
REFERENCES = frozenset(("run",))
"""Keys whose values are strategies: file.py:Class, or module:Class, which is no path."""
NO_PATH = "none"


def is_path(key: str, value: str) -> bool:
    """Whether the value of a key is a path."""
    if key in REFERENCES:
        return value.partition(":")[0].endswith(".py")
    return (key in PATHS and value not in ("", NO_PATH)) or (key in MAYBE_PATHS and value.endswith(".toml"))
