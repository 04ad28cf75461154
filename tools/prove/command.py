"""`alphapulse prove`: runs the fault campaigns on this machine and reports their results."""

from __future__ import annotations

from tools.command.lazy import LazyGroup

PROOFS = {
    "ring": ("tools.prove.ring.command:ring", "Models of the ring's kernels, and campaigns with real processes."),
    "feed": ("tools.prove.feed.command", "A collector on a real node while connections and processes break."),
    "journal": ("tools.prove.journal.command", "Seeks in a large journal; readers beside packing and retention."),
    "delivery": ("tools.prove.delivery.command", "Every message reaches every client while processes are killed."),
    "reconcile": ("tools.prove.reconcile.command", "Orders filled on paper, sent as transactions: equal to the wei."),
    "anomalies": ("tools.prove.anomalies.command", "Planted anomalies are found, and little else."),
    "broker": (
        "tools.prove.delivery.broker_command",
        "What a NATS server loses of what it acknowledged.",
    ),
}

command = LazyGroup(
    table=PROOFS,
    name="prove",
    help="Run the fault campaigns on this machine and say what was survived.",
    epilog="Example:  alphapulse prove ring --seed 7",
)
