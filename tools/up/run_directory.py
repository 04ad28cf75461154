"""The directory of one `up`: its lock, its settings, its socket and the logs of its processes.

Owns the names of these files, and who holds the lock.  There is one directory for each configuration file, by the
file's real path; it outlives `down`, so that the logs can be read afterwards, and goes with `down --purge`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tlv.errors import AlphaPulseError
from tlv.user_cache import make_private
from tools.command.claims import Claim
from tools.command.places import PURPOSE, places

PREFIX = "up-"
TRIES, RETRY_S = 5, 0.05
"""Whoever looks whether the lock is held has it for a moment."""


class AlreadyUp(AlphaPulseError):
    """Another `up` runs this configuration."""


class NotUp(AlphaPulseError):
    """Nothing runs this configuration."""


class Supervised(msgspec.Struct):
    """What a running `up` says of itself."""

    config: str
    pid: int
    """Of supervisord."""
    began: str
    """Local time, for people."""


class RunDirectory:
    """The directory of one configuration file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = directory / "settings.toml"
        self.supervisord_conf = directory / "supervisord.conf"
        self.supervisord_log = directory / "supervisord.log"
        self.complaints = directory / "supervisord.err"
        self.control = directory / "control"
        self.logs = directory / "logs"
        self._lock = directory / "lock"
        self._who = directory / "up.json"
        self._claims = directory / "claims.json"

    @classmethod
    def of(cls, config: Path) -> RunDirectory:
        """Where `config` is or would be up; makes nothing."""
        name = hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:12]
        return cls(places() / f"{PREFIX}{name}")

    @classmethod
    def all(cls) -> list[RunDirectory]:
        """Every place of this user."""
        return [cls(path) for path in sorted(places().glob(f"{PREFIX}*")) if path.is_dir()]

    def make(self) -> None:
        """Make the directory, or take it if it is ours alone."""
        make_private(self.directory, PURPOSE)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def log_of(self, process: str) -> Path:
        """What a process printed."""
        return self.logs / f"{process}.log"

    def who(self) -> Supervised | None:
        """Who runs it or was killed while it did; None if it is down."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._who.read_bytes(), type=Supervised)
        return None

    def introduce(self, supervised: Supervised) -> None:
        """Say who runs it."""
        fresh = self._who.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(supervised))
        fresh.replace(self._who)

    def forget(self) -> None:
        """Nobody runs it any more."""
        self._who.unlink(missing_ok=True)

    def claims(self) -> list[Claim]:
        """What its processes have had for themselves since the first `up`."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._claims.read_bytes(), type=list[Claim])
        return []

    def add_claims(self, claims: list[Claim]) -> None:
        """Remember these too, for whoever looks or removes."""
        self._claims.write_bytes(msgspec.json.encode(sorted({*self.claims(), *claims})))

    def is_held(self) -> bool:
        """Whether a supervisord lives here."""
        try:
            fd = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def require_free(self) -> None:
        """Raise AlreadyUp if a supervisord lives here, before anything is done for another one."""
        if self.is_held():
            raise AlreadyUp(self._refusal())

    @contextlib.contextmanager
    def hold(self) -> Iterator[int]:
        """The lock as a descriptor, to be given to supervisord; ours only within the block.

        Raises:
            AlreadyUp: somebody else has it.
        """
        self.make()
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for left in range(TRIES, 0, -1):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if left == 1:
                    raise AlreadyUp(self._refusal())
                time.sleep(RETRY_S)
            yield fd
        finally:
            os.close(fd)

    def _refusal(self) -> str:
        who = self.who()
        if who is None:
            return f"{self.directory}: another `alphapulse up` begins here at this moment"
        return (
            f"{who.config} is up already: supervisor pid {who.pid}, since {who.began}; "
            "`alphapulse status` shows its processes, `alphapulse down` ends them"
        )

    def write_settings(self, processes: dict[str, dict[str, Any]]) -> None:
        """Keep the settings that the processes are started with: a file that is being edited starts nothing."""
        fresh = self.settings.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(as_toml(processes), encoding="utf-8")
        fresh.replace(self.settings)


def as_toml(processes: dict[str, dict[str, Any]]) -> str:
    """A table for each process; a JSON value of text, number, bool or a list of texts is one of TOML."""
    lines = []
    for name, values in processes.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
    return "\n".join([*lines, ""])
