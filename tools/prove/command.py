"""`alphapulse prove`: runs the fault campaigns on this machine and reports their results."""

from __future__ import annotations

from tools.command.lazy import LazyGroup

PROOFS = {
    "ring": ("tools.prove.ring.command:ring", "Models of the ring's kernels, and campaigns with real processes."),
    "feed": ("tools.prove.feed.command", "A collector on a real node while connections and processes break."),
    "delivery": ("tools.prove.delivery.command", "Every message reaches every client while processes are killed."),
}

command = LazyGroup(
    table=PROOFS,
    name="prove",
    help="Run the fault campaigns on this machine and say what was survived.",
    epilog="Example:  alphapulse prove ring --seed 7",
)
