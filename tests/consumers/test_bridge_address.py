"""Server addresses and their secrets; streams that can and cannot carry a ring."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.bridge.address import Access, Address, parse_access
from consumers.bridge.broker import check_files
from consumers.bridge.stream_config import as_it_was, covers, judge_for_receiving, judge_for_sending, new_config
from tlv.errors import UsageError


def test_address_with_a_password_of_any_letters_is_read() -> None:
    access = parse_access("nats://u:s3/c#r@t:x@[::1]:4000")
    assert (access.addresses, access.user, access.password) == ((Address("nats", "[::1]", 4000),), "u", "s3/c#r@t:x")
    assert parse_access("u:p%40ss@host").password == "p@ss"
    assert parse_access("tls://t0ken@host").token == "t0ken"


def test_addresses_with_commas_between_share_their_credentials() -> None:
    access = parse_access("nats://u:a,b@one,two:4223")
    assert ([address.shown for address in access.addresses], access.password) == (["one:4222", "two:4223"], "a,b")
    with pytest.raises(UsageError, match="same credentials"):
        parse_access("nats://u:a@one,nats://u:b@two")


def test_access_shows_no_secret() -> None:
    access = parse_access("nats://user:s3cret@host")
    assert "s3cret" not in repr(access) + access.shown
    assert access.without_secrets("no s3cret here") == "no [hidden] here"


@pytest.mark.parametrize("text", ["", "nats://", "host:0", "host:99999", "host/path", "ws://host", "a b", ":x@host"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--server: expected"):
        parse_access(text)


def test_credentials_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found several"):
        parse_access("nats://u:p@host", nkey=tmp_path / "seed")


@pytest.mark.parametrize("kind", ["creds", "nkey"])
def test_file_that_holds_no_seed_is_refused_without_being_repeated(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "seed"
    access = Access((Address("nats", "host", 4222),), **{kind: file})
    with pytest.raises(UsageError, match="No such file"):
        check_files(access)
    file.write_text("-----BEGIN USER NKEY SEED-----\nSUAB-not-a-seed\n------END USER NKEY SEED------\n")
    with pytest.raises(UsageError, match="found something else") as refused:
        check_files(access)
    assert "SUAB" not in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "covered"), [("a.b", True), ("a.*", True), (">", True), ("a.>", True), ("a", False), ("a.b.>", False)]
)
def test_pattern_covers_a_subject_as_nats_matches_it(pattern: str, covered: bool) -> None:
    assert covers(pattern, "a.b") is covered


def test_stream_of_our_subject_alone_is_exclusive() -> None:
    config = new_config("s", "a.b")
    assert judge_for_sending(config, "a.b").exclusive
    assert not judge_for_sending(config | {"sources": [{"name": "t"}]}, "a.b").exclusive
    assert judge_for_sending(config, "a.b").single
    assert not judge_for_sending(config | {"num_replicas": 3}, "a.b").single
    shared = judge_for_sending(config | {"subjects": ["a.>"]}, "a.b")
    assert (shared.exclusive, shared.lacks_subject) == (False, False)


def test_mirror_can_be_received_from_and_not_sent_to() -> None:
    mirror = new_config("s", "a.b") | {"subjects": None, "mirror": {"name": "t"}}
    assert "mirrors another stream" in judge_for_sending(mirror, "a.b").refusal
    received = judge_for_receiving(mirror, "a.b")
    assert (received.refusal, received.lacks_subject) == ("", False)


def test_stream_is_made_again_without_what_only_the_server_sets() -> None:
    config = {"name": "s", "max_age": 5, "metadata": {"_nats.ver": "2.15", "team": "desk"}}
    assert as_it_was(config) == {"name": "s", "max_age": 5, "metadata": {"team": "desk"}}
