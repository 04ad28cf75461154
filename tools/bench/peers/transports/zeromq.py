"""pyzmq over ipc://: PUSH/PULL to one reader, XPUB/SUB that drops nothing to three."""

from __future__ import annotations

from pathlib import Path

from tools.bench.peers.ends import Content, ReceivingEnd, SendingEnd, Transport, TurnSetting, nothing

QUEUED = 10_000
LINGER_MS = 5_000


def make(folder: Path) -> str:
    """The sockets' folder."""
    return str(folder)


def sender(made: str, setting: TurnSetting) -> SendingEnd:
    """A socket that binds."""
    import zmq

    context = zmq.Context()
    socket = context.socket(zmq.XPUB if setting.readers > 1 else zmq.PUSH)
    if setting.readers > 1:
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # every reader's subscription is told, not only the first
    socket.setsockopt(zmq.SNDHWM, QUEUED)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.bind(f"ipc://{made}/{setting.channel}")

    def ready() -> None:
        for _ in range(setting.readers if setting.readers > 1 else 0):
            socket.recv()  # a subscription

    return SendingEnd(socket.send, socket.send_multipart, ready, lambda: context.destroy(LINGER_MS))


def receiver(made: str, setting: TurnSetting, index: int) -> ReceivingEnd:
    """A socket that connects; it sleeps in `recv`, since spinning would take the core from the library's own thread."""
    import zmq

    context = zmq.Context()
    socket = context.socket(zmq.SUB if setting.readers > 1 else zmq.PULL)
    if setting.readers > 1:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.setsockopt(zmq.RCVHWM, QUEUED)
    socket.connect(f"ipc://{made}/{setting.channel}")

    def many(most: int) -> tuple[int, Content]:
        parts = socket.recv_multipart()
        return len(parts), parts[0]

    return ReceivingEnd(socket.recv, many, lambda: context.destroy(0))


TRANSPORT = Transport(
    name="pyzmq",
    library="zmq",
    how="ipc://, PUSH/PULL, blocking",
    three="XPUB/SUB with XPUB_NODROP",
    batches="multipart messages",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=nothing,
)
