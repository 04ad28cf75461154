"""`alphapulse verify-signal`: signals in a ring, a relay, a journal and in digits; what is wrong is named."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.strategy import drive
from tests.consumers.journal_frames import append, open_writer
from tests.consumers.recorded_market import RING, canonical_frames
from tests.consumers.relay_rig import make_ring, serving
from tlv.codes import Domain
from tlv.layout import CycleLeg, Economics, SignalIdentity
from tlv.message import build
from tlv.record import Record
from tools.verify_signal import command


def verify(*arguments: str, given: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(command, arguments, input=given, standalone_mode=False)


@cache
def published() -> tuple[bytes, ...]:
    """What the strategy says on the recording; then a message of somebody else's."""
    drafts = drive(FlashArbitrage(), RING, canonical_frames())
    messages = [build(one.domain, one.source, one.records, sequence=at) for at, one in enumerate(drafts, 1)]
    identity = drafts[0].records[0]
    assert isinstance(identity, SignalIdentity)
    return (*messages, build(Domain.SIGNAL, 21, [identity], sequence=len(messages) + 1))


def falsified(kind: type[Record], **fields: object) -> bytes:
    """The first signal with another value in a field."""
    draft = drive(FlashArbitrage(), RING, canonical_frames())[0]
    records = list(draft.records)
    at = next(at for at, record in enumerate(records) if isinstance(record, kind))
    records[at] = msgspec.structs.replace(records[at], **fields)
    return build(draft.domain, draft.source, records, sequence=1)


@pytest.mark.parametrize("source", ["ring", "relay", "journal"])
def test_verify_signal_all_of_a_recording_follow(ring_name: str, tmp_path: Path, source: str) -> None:
    with make_ring(ring_name, capacity=1 << 22) as writer:
        for message in published():
            writer.publish(message)
        if source == "ring":
            done = verify("--ring", ring_name, "--json")
        elif source == "relay":
            with serving(ring_name) as rig:
                done = verify("--relay", str(rig.path), "--json")
        else:
            with open_writer(tmp_path / "journal") as journal:
                append(journal, list(published()), 1)
            done = verify("--journal", str(tmp_path / "journal"), "--json")
    assert done.return_value == 0 and not done.stderr
    *signals, counts = map(json.loads, done.stdout.splitlines())
    assert counts == {"right": 47, "wrong": 0, "withdrawals": 13, "broken": 0, "others": 1}
    assert [line["right"] for line in signals] == [True] * 47


def test_verify_signal_one_sequence_is_said_and_a_missing_one_is_an_error(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 22) as writer:
        for message in published():
            writer.publish(message)
        one, missing = verify("--ring", ring_name, "--sequence", "1"), verify("--ring", ring_name, "--sequence", "999")
        other = verify("--ring", ring_name, "--sequence", str(writer.next_sequence - 1))
    assert one.return_value == 0 and one.stdout.startswith(f"{ring_name} 1: follows from its own bytes\n1 signals")
    assert "expected a frame of sequence 999, found none" in str(missing.exception)
    assert "expected an ArbitrageSignal and its Economics" in str(other.exception)


def test_verify_signal_wrong_numbers_are_named() -> None:
    done = verify("--hex", falsified(Economics, net=1).hex())
    assert done.return_value == 1 and "--hex 0: net: expected " in done.stdout
    done = verify("--hex", "-", "--json", given="0x" + falsified(CycleLeg, amount_out=1).hex() + "\n")
    wrong, counts = map(json.loads, done.stdout.splitlines())
    assert done.return_value == counts["wrong"] == 1
    assert wrong["differences"][0].startswith("leg 1 amount_out: expected ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected one of --ring, --relay, --journal, --hex, found none"),
        (("--hex", "00", "--ring", "x"), "found --ring and --hex"),
        (("--hex", "0x0"), "expected an even number of hexadecimal digits, found '0x0'"),
        (("--hex", "00", "--sequence", "1"), "--hex is one message alone"),
        (("--ring", "no.such.ring"), "no.such.ring"),
        (("--journal", "/no/such"), "does not exist"),
    ],
)
def test_verify_signal_what_is_no_source_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = verify(*arguments)
    assert said in f"{done.exception}{done.stderr}"


def test_verify_signal_bytes_that_are_no_message_are_counted() -> None:
    done = verify("--hex", "00" * 40)
    assert done.return_value == 1 and "1 broken frames" in done.stdout
