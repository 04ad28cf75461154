"""iceoryx2: publish-subscribe over shared memory, lossless (no overflow, the publisher retries).

Samples are slices of bytes: a loan, one `memmove`, a send; received ones are copied out by `ctypes.string_at`, which is
quicker than the library's own view of a slice.
"""

from __future__ import annotations

import ctypes
import os
import secrets
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

MOST_BYTES = 1024
BUFFERED = 1024
SHARED_MEMORY = Path("/dev/shm")


def make(folder: Path) -> tuple[str, str]:
    """(where it keeps its files, the prefix of its shared memory)."""
    return f"{folder}/iceoryx2/", f"bench_{os.getpid()}_{secrets.token_hex(4)}_"


def opened(made: tuple[str, str], setting: TurnSetting) -> tuple[Any, Any]:
    """The node, which must live as long as its ports, and the service of a channel."""
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
    config = iceoryx2.config.default()
    config.global_cfg.root_path = iceoryx2.Path.new(made[0])
    config.global_cfg.prefix = iceoryx2.FileName.new(made[1])
    node = (
        iceoryx2.NodeBuilder.new()
        .config(config)
        .signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled)
        .create(iceoryx2.ServiceType.Ipc)
    )
    service = (
        node.service_builder(iceoryx2.ServiceName.new(setting.channel))
        .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        .enable_safe_overflow(False)
        .subscriber_max_buffer_size(BUFFERED)
        .open_or_create()
    )
    return node, service


def sender(made: tuple[str, str], setting: TurnSetting) -> SendingEnd:
    """A publisher."""
    import iceoryx2

    node, service = opened(made, setting)
    retry = iceoryx2.BackpressureStrategy.RetryUntilDelivered
    publisher = service.publisher_builder().initial_max_slice_len(MOST_BYTES).backpressure_strategy(retry).create()
    loan, copy = publisher.loan_slice_uninit, ctypes.memmove

    def one(payload: bytes) -> None:
        sample = loan(len(payload))
        copy(sample.payload_ptr, payload, len(payload))
        sample.assume_init().send()

    return SendingEnd(one, one_by_one(one), nothing, lambda: closed(publisher, node))


def receiver(made: tuple[str, str], setting: TurnSetting, index: int) -> ReceivingEnd:
    """A subscriber, which has nothing to wait on: it is asked again."""
    node, service = opened(made, setting)
    subscriber = service.subscriber_builder().create()
    receive, copied = subscriber.receive, ctypes.string_at
    rest = nothing if setting.spin else os.sched_yield

    def one() -> Content:
        while (sample := receive()) is None:
            rest()
        return copied(sample.payload_ptr, sample.header.number_of_elements)

    return ReceivingEnd(one, single(one), lambda: closed(subscriber, node))


def closed(port: Any, node: Any) -> None:
    """Close a port; only then its node may go, which the caller's reference has kept until here."""
    port.delete()
    del node


def clean(made: tuple[str, str]) -> None:
    """Remove the shared memory of processes that were killed; its files are in the run's folder."""
    for left in SHARED_MEMORY.glob(f"{made[1]}*"):
        left.unlink(missing_ok=True)


TRANSPORT = Transport(
    name="iceoryx2",
    library="iceoryx2",
    how="publish-subscribe, slices of bytes, no overflow",
    three="one publisher",
    batches="",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=clean,
)
