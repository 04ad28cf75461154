"""A bare Unix socket, SOCK_SEQPACKET: one packet a frame; a batch is one packet of frames, each behind its length."""

from __future__ import annotations

from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair

from tools.bench.peers.ends import (
    BACK,
    BATCH,
    READERS,
    THERE,
    Content,
    ReceivingEnd,
    SendingEnd,
    Transport,
    TurnSetting,
    nothing,
    to_each,
)

MOST_BYTES = 1024
LENGTH_BYTES = 4
Pairs = dict[str, list[tuple[socket, socket]]]


def make(folder: Path) -> Pairs:
    """A pair of connected sockets for each reader."""

    def pair() -> tuple[socket, socket]:
        return socketpair(AF_UNIX, SOCK_SEQPACKET)

    return {THERE: [pair() for _ in range(READERS)], BACK: [pair()]}


def sender(made: Pairs, setting: TurnSetting) -> SendingEnd:
    """Sends to the socket of every reader."""
    sends = [pair[0].send for pair in made[setting.channel][: setting.readers]]
    one = sends[0] if setting.readers == 1 else to_each(sends)

    def many(payloads: list[bytes]) -> None:
        one(b"".join([part for payload in payloads for part in (len(payload).to_bytes(LENGTH_BYTES), payload)]))

    return SendingEnd(one, many, nothing, nothing)


def receiver(made: Pairs, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Receives from its own socket."""
    receive = made[setting.channel][index][1].recv

    def one() -> Content:
        return receive(MOST_BYTES)

    def many(most: int) -> tuple[int, Content]:
        packet = receive(BATCH * (LENGTH_BYTES + MOST_BYTES))
        frames, at = [], 0
        while at < len(packet):
            begin = at + LENGTH_BYTES
            at = begin + int.from_bytes(packet[at:begin])
            frames.append(packet[begin:at])
        return len(frames), frames[0]

    return ReceivingEnd(one, many, nothing)


def clean(made: Pairs) -> None:
    """Close our copies."""
    for pair in made[THERE] + made[BACK]:
        for end in pair:
            end.close()


TRANSPORT = Transport(
    name="Unix socket",
    library="",
    how="SOCK_SEQPACKET, a packet a frame, blocking",
    three="three sockets",
    batches="one packet of frames with their lengths, cut apart in Python",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=clean,
)
