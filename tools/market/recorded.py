"""A journal of a market: its own collector and recorder, and a page that says how it was made.

Owns the two processes and the page.  The collector's ring is removed when the journal is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tools.command.supervisor import Supervisor
from tools.market.bundle import JOURNAL
from tools.market.market import Market
from tools.rig.evm.packages import ANVIL, ERC20, V2_CORE, V2_PERIPHERY, V3_CORE, V3_PERIPHERY

READY_S = 120.0
"""Both compile their kernels first, if nobody did before."""
END_S = 30.0
PROVENANCE = "PROVENANCE.md"


def check_empty(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        UsageError: it does.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: expected a folder that is empty or is not there")


@contextlib.contextmanager
def recorder_of(chain_file: Path, ring: str, folder: Path, asked: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """A collector and a recorder that are ready; the function raises if one has ended.

    Behind the block the journal below `folder` is whole.

    Raises:
        ChildFailed: one of them ended, or was not ready in time; among the reasons is a ring of that name.
        Interrupted: the user asked to stop while they were started.
        UsageError: there is a ring of that name.
    """
    from ringbuf import RingNotFound, list_rings, unlink

    if ring in list_rings():
        remedy = f"end what uses it, and remove it with `ringstat gc --closed --prefix {ring}`"
        raise UsageError(f"--ring {ring}: there is such a ring; {remedy}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Supervisor(Path(scratch), asked) as supervisor:
        collect = ["collect", "--chain", str(chain_file), "--ring", ring, "--watch-ticks", "all", "--json"]
        collect += ["--pool-cache", "none", "--state", str(Path(scratch, "state.json"))]
        record = ["record", "--ring", ring, "--out", str(folder / JOURNAL), "--wait-for-ring", str(READY_S)]
        try:
            supervisor.start("collector", collect, ready_s=READY_S)
            supervisor.start("recorder", [*record, "--until-closed", "--json"], ready_s=READY_S, may_end=True)
            yield supervisor.check
            supervisor.end("collector", timeout_s=END_S)  # closes the ring, behind which the recorder ends
            with contextlib.suppress(TimeoutError):
                supervisor.children["recorder"].process.wait(END_S)
        finally:
            supervisor.stop()
            with contextlib.suppress(RingNotFound):
                unlink(ring)


def write_provenance(folder: Path, command: str, market: Market) -> None:
    """The page beside the journal of a market: the command that makes one like it, and what it is made of."""
    made_of = "\n".join(f"- {package.spec}" for package in (ANVIL, V2_CORE, V2_PERIPHERY, V3_CORE, V3_PERIPHERY, ERC20))
    sums = "\n".join(
        f"| `{path.relative_to(folder)}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |"
        for path in sorted((folder / JOURNAL).glob("segment-*"))
    )
    last = market.first + market.trading.blocks - 1
    (folder / PROVENANCE).write_text(
        f"""# A market on a local node: what this journal is

Made on a local node, of no real chain: the prices, the trades and whatever they earn are a random generator's.  What is
real are the contracts, the node that ran them, and the collector and recorder that made the journal.  Made by

```sh
{command}
```

which makes one like it: the same trades for the same seed, other times, and other hashes unless `--genesis` is given.
Blocks {market.first} to {last}.  Layout digest `{LAYOUT_DIGEST:#018x}`.  The chain's coin is wrapped by
`{market.place.coin}` (WETH).

The node and the contracts, from npm, pinned by digest in `tools/rig/evm/packages.py`:

{made_of}

| file | sha256 |
| --- | --- |
{sums}
"""
    )
