"""What of a URL may be said."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidProxy, InvalidURI

from producers.node.redaction import HIDDEN, SHORTEST_SECRET, host_of, printable, reason_of, without_secrets

KEY = "k3y-0f-s0me-account"


@pytest.mark.parametrize(
    "url",
    [
        f"wss://node.example/v2/{KEY}",
        f"wss://node.example/?apikey={KEY}",
        f"wss://node.example/ws#{KEY}",
        f"wss://{KEY}:@node.example/",
        f"wss://user:{KEY}@node.example/",
        f"wss://node.example/ws;{KEY}",
    ],
)
def test_key_anywhere_in_a_url_is_hidden_in_what_a_node_says(url: str) -> None:
    assert without_secrets(f"invalid key {KEY}", url) == f"invalid key {HIDDEN}"
    assert KEY not in printable(f"invalid key {KEY}\n", url)
    assert host_of(url) == "node.example"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidProxy(KEY, "of no use"), "the environment names a proxy that cannot be used"),
        (InvalidURI(KEY, "of no use"), "not a WebSocket URL (expected ws:// or wss://)"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError(KEY), "TimeoutError"),
    ],
)
def test_reason_names_what_went_wrong_and_never_the_url(error: Exception, said: str) -> None:
    assert reason_of(error) == said


def test_key_in_another_spelling_is_hidden() -> None:
    assert without_secrets("unknown: a/b+c d e", "wss://node.example/a%2Fb%2Bc%20d%20e") == f"unknown: {HIDDEN}"


@pytest.mark.parametrize("length", [SHORTEST_SECRET - 1, SHORTEST_SECRET, SHORTEST_SECRET + 1])
def test_words_of_a_url_are_no_secrets(length: int) -> None:
    piece = "x" * length
    said = without_secrets(f"no {piece} here", f"wss://node.example/{piece}")
    assert said == (f"no {piece} here" if length < SHORTEST_SECRET else f"no {HIDDEN} here")
