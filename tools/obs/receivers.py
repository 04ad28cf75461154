"""The receivers in a file, and apprise, which knows how each service takes a message.

Owns apprise.  What stands in a URL is a secret as a whole: a receiver is called by its place in the file and its
service's name, apprise's logs go nowhere, and of what it says of a failure only a status code is repeated.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlv.errors import UsageError
from tools.obs.messages import NoticeMessage
from tools.obs.private_file import read_private

OPTION = "--notify-file"
MOST_RECEIVERS = 16
"""Each has a thread."""
SENDING = ("urllib3", "requests", "requests_oauthlib", "oauthlib")
"""What apprise sends with logs addresses."""
STATUS = re.compile(r"\berror=(\d{3})\b")
LINE = re.compile(r"on line (\d+)")
UNREACHABLE = "onnection error"
"""Words of apprise's."""


@dataclass
class Overheard:
    """What may be repeated of what apprise logged."""

    complained: bool = False
    lines: set[int] = field(default_factory=set)
    """Of a file, those that are named."""
    status: str = ""
    """Of an HTTP answer."""
    unreachable: bool = False


class Overhearing(logging.Filter):
    """Lets no record through, whoever listens, and notes for each thread what may be repeated of it."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    def begin(self) -> Overheard:
        """Note for this thread from now on."""
        said = self._of_thread.said = Overheard()
        return said

    def filter(self, record: logging.LogRecord) -> bool:
        """Note, and drop."""
        said: Overheard | None = getattr(self._of_thread, "said", None)
        if said is not None:
            text = record.getMessage()
            said.complained |= record.levelno >= logging.WARNING
            said.lines.update(int(number) for number in LINE.findall(text))
            said.status = next(iter(STATUS.findall(text)), said.status)
            said.unreachable |= UNREACHABLE in text
        return False


OVERHEARD = Overhearing()
"""Of this process."""


def silence() -> None:
    """Let apprise, and what it sends with, log nothing."""
    logging.getLogger("apprise").addFilter(OVERHEARD)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    for name in SENDING:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Receiver:
    """One receiver; its `repr` shows no URL."""

    name: str
    apprise: Any

    def send(self, told: NoticeMessage) -> str:
        """Deliver a message: an empty text if the receiver took it, else why not.  May take any time."""
        from apprise import NotifyFormat, NotifyType

        kind = NotifyType.SUCCESS if told.good else NotifyType.WARNING
        said = OVERHEARD.begin()
        try:
            result = self.apprise.notify(
                body=told.body, title=told.title, notify_type=kind, body_format=NotifyFormat.TEXT
            )
            attempts = [attempt for one in result for attempt in one]
        except Exception as error:  # noqa: BLE001 - a service's own code, of many: what it says may hold its URL
            return f"its service failed with {type(error).__name__}"
        # Not `result` itself: a receiver that is `optional` would count as told.
        if any(attempts):
            return ""
        if said.status:
            return f"refused it with status {said.status}"
        return "cannot be reached, or does not answer" if said.unreachable else "did not take it"


def read_receivers(path: Path) -> list[Receiver]:
    """Those in apprise's text format: a URL a line, with tags before it or not (they mean nothing here), and comments.

    Raises:
        UsageError: saying what is wrong, and never what the file holds.
    """
    text = read_private(OPTION, path)
    silence()
    from apprise import Apprise, AppriseAsset
    from apprise.config.base import ConfigBase

    # In the calling thread, and without a time limit of apprise's: it would leave threads behind that keep the process.
    asset = AppriseAsset(
        app_id="AlphaPulse", storage_mode="memory", async_mode=False, service_timeout=0, allow_templates=False
    )
    said = OVERHEARD.begin()
    services, includes = ConfigBase.config_parse_text(text, asset=asset)
    if includes:
        raise UsageError(f"{OPTION} {path}: expected URLs, found `include`")
    if said.complained:
        where = f"line {min(said.lines)}" if said.lines else "one of its lines"
        expected = "expected [TAGS=]URL of a service that apprise knows"
        raise UsageError(f"{OPTION} {path}: {where}: {expected}")
    if not 0 < len(services) <= MOST_RECEIVERS:
        raise UsageError(f"{OPTION} {path}: expected 1 to {MOST_RECEIVERS} URLs, found {len(services)}")
    return [
        Receiver(f"{number} ({service.service_name})", Apprise(service, asset=asset))
        for number, service in enumerate(services, 1)
    ]
