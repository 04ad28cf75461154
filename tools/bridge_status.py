"""What a broker has of a ring, asked without changing anything: for `alphapulse bridge status`.

Owns the questions and their findings.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from consumers.bridge.batch import read_header
from consumers.bridge.broker import BROKER_ERRORS, Broker, BrokerConnection, connect, this_process
from consumers.bridge.durable import OURS
from consumers.bridge.errors import BridgeError
from consumers.bridge.presence import Presence
from consumers.bridge.stream_config import Config, judge_for_sending
from ringbuf import RingInfo, RingNotFound, RingNotReady
from tlv.errors import FrameError
from tools.doctor.finding import CheckResult, Verdict


class BrokerState(NamedTuple):
    """The checks, and their numbers for programs."""

    checks: tuple[CheckResult, ...]
    numbers: dict[str, Any]


MIB = 1 << 20
NO_SERVER = "is nats-server running there, and the way open? nc -vz HOST 4222; user, key and --tls-ca as it wants them"
NO_STREAM = "nats-server -js, or `jetstream {}` in its file and for this account; nats stream info shows the stream"


async def look(ring: str, broker: Broker, need_mib: int = 0) -> BrokerState:
    """Ask the server about the account, the stream, its sender and its receivers; `need_mib` is what a stream may
    take."""
    try:
        connection = await connect(broker)
    except BridgeError as error:
        return BrokerState((CheckResult("server", Verdict.FAIL, str(error), NO_SERVER),), {})
    checks = [CheckResult("server", Verdict.OK, f"{broker.shown}, version {connection.server_version}")]
    numbers: dict[str, Any] = {"server_version": connection.server_version, "max_payload": connection.max_payload}
    try:
        checks.append(judge_room(await connection.api("INFO"), need_mib))
        found = await connection.stream_info()
        if found is None:
            missing = f"{broker.stream}: not there yet; `bridge out` makes it"
            checks.append(CheckResult("stream", Verdict.WARN, missing))
        else:
            checks += judge_stream(broker, found["config"])
            numbers["stream"] = {key: found["state"].get(key) for key in ("messages", "bytes", "first_seq", "last_seq")}
            end = await last_batch(connection)
            numbers["last_batch"] = end
            checks.append(last_line(ring, end))
            sender = await Presence(this_process(), ring).other(connection)
            numbers["sender"] = sender
            checks.append(sender_line(sender))
            receivers = await receivers_of(connection, found["state"]["last_seq"])
            numbers["receivers"] = receivers
            checks += [receiver_line(receiver) for receiver in receivers]
    except (BridgeError, *BROKER_ERRORS) as error:
        checks.append(CheckResult("stream", Verdict.FAIL, str(connection.translated(error)), NO_STREAM))
    finally:
        await connection.close()
    return BrokerState(tuple(checks), numbers)


def judge_room(account: dict[str, Any], need_mib: int) -> CheckResult:
    """Whether the account may store that much more."""
    most, used = int(account.get("limits", {}).get("max_storage", -1)), int(account.get("storage", 0))
    if most < 0:
        return CheckResult("room", Verdict.OK, "the account has no limit of its own")
    left = max(most - used, 0) // MIB
    good = left >= max(need_mib, 1)
    remedy = "raise max_file of the account's jetstream limits, or take less: --max-mib; nats account info shows both"
    expected = f"{max(need_mib, 1):,} MiB"
    return CheckResult("room", Verdict.OK if good else Verdict.FAIL, f"{left:,} MiB left", remedy, expected=expected)


def judge_stream(broker: Broker, config: Config) -> list[CheckResult]:
    """Whether the stream can carry the ring, and what its settings can lose."""
    judgement = judge_for_sending(config, broker.subject)
    if judgement.refusal:
        return [CheckResult("stream", Verdict.FAIL, f"{broker.stream} cannot be used: {judgement.refusal}")]
    found = f"{broker.stream}, {config.get('num_replicas', 1)} replica(s), {config.get('storage', 'file')}"
    checks = [CheckResult("stream", Verdict.OK, found)]
    checks += [CheckResult("settings", Verdict.WARN, warning) for warning in judgement.warnings]
    if config.get("num_replicas", 1) == 1:
        single = "one replica: it acknowledges before its disk has the batch, so a host that fails loses the last ones"
        checks.append(CheckResult("settings", Verdict.WARN, single, "--replicas 3, and give `out` a journal"))
    if judgement.lacks_subject:
        checks.append(CheckResult("subject", Verdict.WARN, f"{broker.subject} is not taken yet; `bridge out` adds it"))
    return checks


async def last_batch(connection: BrokerConnection) -> dict[str, Any] | None:
    """Ring, first sequence and number of frames of the subject's last batch; None if there is none."""
    last = await connection.message(last_by_subj=connection.broker.subject)
    if last is None:
        return None
    try:
        header = read_header(base64.b64decode(last.get("data") or ""))
    except FrameError as error:
        raise connection.error(f"subject {connection.broker.subject} holds something else: {error}") from None
    return {"ring_uuid": header.ring_uuid.hex(), "first": header.first_sequence, "count": header.count}


def last_line(ring: str, end: dict[str, Any] | None) -> CheckResult:
    """How far the stream is behind the ring of this host, if that is the ring it carries."""
    if end is None:
        return CheckResult("batches", Verdict.WARN, "none yet")
    last = end["first"] + end["count"] - 1
    try:
        info = RingInfo.read(ring)
    except (RingNotFound, RingNotReady):
        return CheckResult("batches", Verdict.OK, f"up to sequence {last:,} of ring {end['ring_uuid']}")
    if info.identity.uuid.hex() != end["ring_uuid"]:
        other = f"up to sequence {last:,} of ring {end['ring_uuid']}, which is not this host's {ring}"
        return CheckResult("batches", Verdict.OK, other)
    behind = info.next_sequence - 1 - last
    return CheckResult("batches", Verdict.OK, f"up to sequence {last:,} of ring {ring}, {behind:,} behind it")


def sender_line(sender: dict[str, Any] | None) -> CheckResult:
    """Who sends."""
    if sender is None:
        return CheckResult("sender", Verdict.WARN, "none is connected")
    return CheckResult("sender", Verdict.OK, f"ring {sender['ring']} on {sender['who']}")


async def receivers_of(connection: BrokerConnection, last: int) -> list[dict[str, Any]]:
    """The stream's consumers that a bridge made: whose, and how many batches behind the stream's end."""
    found: list[dict[str, Any]] = []
    while True:
        page = await connection.api(f"CONSUMER.LIST.{connection.broker.stream}", {"offset": len(found)})
        found += page.get("consumers") or []
        if not page.get("consumers") or len(found) >= page["total"]:
            break
    ours = [consumer for consumer in found if str(consumer["config"].get("description", "")).startswith(OURS)]
    return [
        {
            "durable": consumer["name"],
            "who": consumer["config"]["description"].removeprefix(OURS),
            "acknowledged": consumer["ack_floor"]["stream_seq"],
            "behind": max(0, last - consumer["ack_floor"]["stream_seq"]),
            "at_work": bool(consumer["num_waiting"]),
        }
        for consumer in ours
    ]


def receiver_line(receiver: dict[str, Any]) -> CheckResult:
    """One receiver."""
    found = f"{receiver['durable']}: {receiver['who']}, {receiver['behind']:,} messages behind the stream's end"
    if receiver["at_work"]:
        return CheckResult("receiver", Verdict.OK, found)
    return CheckResult("receiver", Verdict.WARN, f"{found}; it asks for nothing now")
