"""Public arguments of RelayClient and Live: taken as they are, or refused with their names (row 56)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.client import RelayClient
from consumers.live import Live
from consumers.relay.errors import RelayError
from ringbuf import Writer
from tests.consumers.relay_rig import Rig, make_ring, publish, serving
from tests.junk import junk
from tlv.errors import SegmentError, UsageError
from tlv.layout import PoolSwap

JUNK = junk(PoolSwap, ["PoolSwap"], ["PoolSwapp"]) | st.sampled_from(
    ["a" * 21, "x\0", "latest", {b"": 1}, {bytes(16): 0}, {bytes(16): 1.5}, {bytes(16): 1 << 63}]
)
CLIENT_ARGUMENTS = ["path", "name", "start", "wanted", "acknowledge", "max_silence_s"]
LIVE_ARGUMENTS = ["target", "name", "start", "types", "venues", "pools", "tokens", "type"]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Writer, Rig]]:
    """A ring with a message, and its relay."""
    with make_ring(f"test{os.getpid()}.arguments") as writer, serving(writer.name) as rig:
        publish(writer, 1)
        yield writer, rig
        writer.close(unlink=True)


@settings(max_examples=300)
@given(argument=st.sampled_from(CLIENT_ARGUMENTS), value=JUNK)
def test_client_of_any_argument_connects_or_refuses_it_by_name(
    served: tuple[Writer, Rig], argument: str, value: Any
) -> None:
    try:
        RelayClient(**{"path": served[1].path, "reconnect": False} | {argument: value}).close()
    except UsageError as error:
        assert argument in str(error)
    except RelayError:
        assert argument == "path"


@settings(max_examples=300)
@given(argument=st.sampled_from(LIVE_ARGUMENTS), value=JUNK, through_relay=st.booleans())
def test_live_of_any_argument_opens_or_refuses_it_by_name(
    served: tuple[Writer, Rig], argument: str, value: Any, through_relay: bool
) -> None:
    target = served[1].path if through_relay else served[0].name
    try:
        Live(**{"target": target, "reconnect": False} | {argument: value}).close()
    except UsageError as error:
        asked = argument.rstrip("s") if argument in {"types", "venues", "pools", "tokens"} else argument
        assert asked in str(error) or "ring" in str(error) or "address" in str(error) or "expected a" in str(error)
    except (RelayError, SegmentError):
        assert argument == "target"


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"types": ["PoolSwapp"]}, "type 'PoolSwapp': expected one of "),
        ({"type": ["PoolSwap"]}, "'type' is no filter: expected one of pools, tokens, types, venues"),
        ({"types": "PoolSwap"}, "types: expected a list, found 'PoolSwap'"),
        ({"types": PoolSwap}, "types: expected a list, found "),
        ({"venues": ["quickswap"]}, "venue 'quickswap': expected a u16 or one of "),
        ({"pools": ["0x12"]}, "0x12"),
    ],
)
def test_live_filter_that_is_misspelt_is_refused_by_name(
    served: tuple[Writer, Rig], wanted: dict[str, Any], complaint: str
) -> None:
    for target in (served[0].name, served[1].path):
        with pytest.raises(UsageError) as raised:
            Live(target, **wanted)
        assert complaint in str(raised.value)


def test_client_path_may_be_a_text(served: tuple[Writer, Rig]) -> None:
    with RelayClient(str(served[1].path), start="oldest") as client:  # type: ignore[arg-type]
        assert next(iter(client)) and client.path == Path(served[1].path)
