"""Whether a stream can carry a ring, read from its configuration as the server states it.

Owns what is refused and why, what is warned of, and the configuration of a new stream.  A stream that exists is its
administrator's: nothing of it is ever changed but that our subject is added.  Configurations are the server's own JSON
objects, so that a key of a newer server survives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Config = dict[str, Any]
"""A stream's configuration, as JetStream's API has it."""

NANOSECOND = 1
SECOND = 1_000_000_000 * NANOSECOND
DUPLICATE_WINDOW_S = 1
"""Of a new stream: the server keeps the ids of so long in memory, and reads them again after a restart.  No batch is
sent twice with one id, so nothing depends on it."""
KEEPS_UNTIL_READ = ("workqueue", "interest")


class StreamJudgement(NamedTuple):
    """What a configuration means for one subject."""

    refusal: str = ""
    """Why it cannot be used; empty if it can."""
    lacks_subject: bool = False
    exclusive: bool = False
    """Whether nothing but our subject comes into the stream, so that its sequence numbers are ours alone."""
    single: bool = True
    """Whether it has one replica."""
    max_message: int = 0
    """The stream's own limit for a message, headers included; 0 if it has none."""
    warnings: tuple[str, ...] = ()


def new_config(stream: str, subject: str, *, replicas: int = 1, max_bytes: int = -1, max_age_s: float = 0.0) -> Config:
    """The configuration of a stream that does not exist yet."""
    return {
        "name": stream,
        "subjects": [subject],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": max_bytes,
        "max_age": int(max_age_s * SECOND),
        "max_msgs": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": min(DUPLICATE_WINDOW_S, max_age_s or DUPLICATE_WINDOW_S) * SECOND,
    }


def covers(pattern: str, subject: str) -> bool:
    """Whether a stream's subject, maybe with wildcards, takes every message of `subject`."""
    wanted, tokens = subject.split("."), pattern.split(".")
    for i, token in enumerate(tokens):
        if token == ">":
            return len(wanted) > i
        if i >= len(wanted) or token not in ("*", wanted[i]):
            return False
    return len(tokens) == len(wanted)


def judge_for_sending(config: Config, subject: str) -> StreamJudgement:
    """Whether a sender may put its batches there."""
    refusal = _refusal(config)
    if config.get("mirror"):
        refusal = "it mirrors another stream, and takes no message of its own; send to that stream"
    elif config.get("sealed"):
        refusal = "it is sealed: it takes no more messages"
    elif config.get("no_ack"):
        refusal = "it acknowledges nothing (no_ack), so nobody knows what it has"
    elif config.get("subject_transform"):
        refusal = "it stores messages under another subject (subject_transform)"
    elif config.get("allow_msg_counter"):
        refusal = "it holds counters"
    subjects = config.get("subjects") or []
    largest = config.get("max_msg_size", -1)
    return StreamJudgement(
        refusal=refusal,
        lacks_subject=not any(covers(pattern, subject) for pattern in subjects),
        exclusive=subjects == [subject] and not config.get("sources"),
        single=config.get("num_replicas", 1) == 1,
        max_message=largest if largest > 0 else 0,
        warnings=tuple(_warnings(config)),
    )


def judge_for_receiving(config: Config, subject: str) -> StreamJudgement:
    """Whether a receiver finds its batches there.  A mirror has no subjects of its own and may still have ours."""
    subjects = config.get("subjects") or []
    elsewhere = bool(config.get("mirror") or config.get("sources"))
    lacks = not elsewhere and not any(covers(pattern, subject) for pattern in subjects)
    return StreamJudgement(
        refusal=_refusal(config),
        lacks_subject=lacks,
        exclusive=subjects == [subject] and not elsewhere,
        warnings=tuple(_warnings(config)),
    )


def with_subject(config: Config, subject: str) -> Config:
    """The same configuration with one subject more."""
    return config | {"subjects": [*(config.get("subjects") or []), subject]}


def as_it_was(config: Config) -> Config:
    """The configuration to make a deleted stream again: without what only the server may set."""
    metadata = {key: value for key, value in (config.get("metadata") or {}).items() if not key.startswith("_nats.")}
    return config | {"metadata": metadata}


def _refusal(config: Config) -> str:
    if config.get("retention") in KEEPS_UNTIL_READ:
        return (
            f"its retention is {config['retention']}, which deletes a batch once somebody has read it; "
            "expected limits, so that a receiver that comes back finds what it missed"
        )
    return ""


def _warnings(config: Config) -> list[str]:
    warnings = []
    if config.get("storage") == "memory":
        warnings.append("it is kept in memory: a restart of the server loses all of it")
    if config.get("persist_mode") == "async":
        warnings.append("it acknowledges before it writes (persist_mode async): a power cut takes the last batches")
    if config.get("discard") == "new":
        warnings.append("it refuses new batches when it is full (discard new); the sender then waits")
    if config.get("max_msgs_per_subject", -1) > 0:
        warnings.append(f"it keeps {config['max_msgs_per_subject']} batches of a subject (max_msgs_per_subject)")
    return warnings
