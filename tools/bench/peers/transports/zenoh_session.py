"""zenoh, peer to peer over a Unix stream socket, nothing scouted.

Its shared memory is for messages from 3 KiB on, more than any payload here: it is switched off, since what it makes
stays in /dev/shm when a process is killed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tools.bench.peers.ends import (
    Content,
    ReceivingEnd,
    SendingEnd,
    Transport,
    TurnSetting,
    nothing,
    one_by_one,
    single,
)

KEY = "bench"
ATTACHED = "attached/*"
LOOK_S = 0.005


def make(folder: Path) -> str:
    """The sockets' folder."""
    return str(folder)


def session(made: str, setting: TurnSetting, end: str) -> Any:
    """A session that listens at, or connects to, the channel's socket."""
    import zenoh

    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("scouting/gossip/enabled", "false")
    config.insert_json5("scouting/delay", "0")
    config.insert_json5("transport/shared_memory/enabled", "false")
    config.insert_json5("listen/endpoints", "[]")
    config.insert_json5(f"{end}/endpoints", f'["unixsock-stream/{made}/zenoh.{setting.channel}"]')
    return zenoh.open(config)


def sender(made: str, setting: TurnSetting) -> SendingEnd:
    """A publisher that waits rather than drops."""
    import zenoh

    opened = session(made, setting, "listen")
    publisher = opened.declare_publisher(
        KEY,
        congestion_control=zenoh.CongestionControl.BLOCK,
        reliability=zenoh.Reliability.RELIABLE,
        express=setting.quick_answer,
    )

    def ready() -> None:
        while len({str(reply.ok.key_expr) for reply in opened.liveliness().get(ATTACHED)}) < setting.readers:
            time.sleep(LOOK_S)

    return SendingEnd(publisher.put, one_by_one(publisher.put), ready, opened.close)


def receiver(made: str, setting: TurnSetting, index: int) -> ReceivingEnd:
    """A subscriber; the token behind it says that it is there."""
    opened = session(made, setting, "connect")
    subscriber = opened.declare_subscriber(KEY)
    token = opened.liveliness().declare_token(ATTACHED.replace("*", str(index)))
    receive = subscriber.recv

    def one() -> Content:
        content: bytes = receive().payload.to_bytes()
        return content

    def close() -> None:
        token.undeclare()
        opened.close()

    return ReceivingEnd(one, single(one), close)


TRANSPORT = Transport(
    name="zenoh",
    library="zenoh",
    how="unixsock-stream, blocking; express in the ping-pong",
    three="one publisher",
    batches="",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=nothing,
)
