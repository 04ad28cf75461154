"""What a collector says of endpoints that it cannot reach, and when."""

from __future__ import annotations

import pytest

from producers.endpoint_log import EndpointLog
from producers.node.endpoints import Endpoints
from tests.producers.virtual import new_feed

URLS = ("ws://node.example:8545",)
BEGAN_NS = 7
PATIENCE_NS = 3_000_000_000


def test_endpoint_that_does_not_answer_is_told_once_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    log = EndpointLog(new_feed(), Endpoints(URLS), URLS, "see `doctor`", BEGAN_NS)
    log.tell(BEGAN_NS + PATIENCE_NS)
    assert caplog.messages == []
    for later_ns in (1, 2):
        log.tell(BEGAN_NS + PATIENCE_NS + later_ns)
    assert caplog.messages == [
        "no endpoint can be reached, and the collector goes on trying: node.example (no answer yet); see `doctor`"
    ]
