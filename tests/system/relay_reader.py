"""A named, at-least-once client in a process of its own, to be killed: writes each sequence it handled to a file.

python relay_reader.py SOCKET NAME FILE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from consumers.client import Lost, RelayClient
from consumers.relay.errors import RelayUnreachable


def main(path: Path, name: str, log: Path) -> None:
    """Read until killed.  A line is in the kernel's hands before its message is acknowledged."""
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        try:
            client = RelayClient(path, name=name, start="acknowledged", at_least_once=True)
            break
        except RelayUnreachable:
            continue
    for item in client:
        if isinstance(item, Lost):
            os.write(fd, f"lost {item.first} {item.covers}\n".encode())
        else:
            os.write(fd, f"{item.sequence} {item.message.header.sequence}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
