"""`alphapulse obs --notify-file` as a process: a feed that dies and comes back, over receivers that take, refuse, are
away and hang; and what is told of it, and of a secret.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ringbuf import Writer
from tests.system.test_obs import PATIENCE_S, Asking, running
from tests.tools.obs.http_receiver import HttpReceiver, receivers_file, wait_until
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST
from tools.command.supervisor import child_environment, command_line

CANARY = "canaryb4410e6f"


@contextmanager
def observed(place: Path, ring: str, *urls: str, after: str = "1") -> Iterator[tuple[subprocess.Popen[str], Asking]]:
    """An obs that tells these receivers, at debug."""
    options = ("--notify-file", str(receivers_file(place, *urls)), "--notify-after", after)
    arguments = ("--log-level", "debug", "obs", "--port", "0", "--ring", ring, *options, "--json")
    with running(place, *arguments) as (process, ready):
        yield process, Asking(ready["url"])


def stat_of(asking: Asking, number: int = 0) -> dict[str, Any]:
    """How a receiver stands."""
    found: dict[str, Any] = json.loads(asking.get("/api/notify")[1])["receivers"][number]
    return found


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed on stderr until it ended well."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and "Traceback" not in err, err
    return out + err
