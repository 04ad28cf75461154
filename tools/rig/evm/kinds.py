"""The kinds of node that the proofs run against, and how each is started and steered.

           subscription ids   eth_getLogs of an unknown hash   eth_call at a hash   reorg by              after a crash
anvil      random             "unknown block"                  yes                  anvil_reorg           its --state
hardhat    0x1, 0x2, ...      "blockHash cannot be found"      yes                  snapshot and revert   another chain
ganache    0x1, 0x2, ...      []                               no                   snapshot and revert   another chain

None sends `removed: true`.  Hardhat announces only the first and the last of thousands of blocks mined at once.
Ganache sends logs before their head, and answers for the hash of a dropped block with the block that replaced it.
What is done to a node by methods of its own stands here; the rest is the standard.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.rig.evm.javascript import installed_nodes, node_command
from tools.rig.evm.packages import ANVIL as ANVIL_PACKAGE
from tools.rig.evm.packages import path_of

GAS_LIMIT = 45_000_000

Request = tuple[Any, ...]
"""A method and its parameters."""


@dataclass(frozen=True)
class Steering:
    """The requests that set what a chain otherwise decides itself."""

    set_nonce: Callable[[str, int], Request]
    set_balance: Callable[[str, int], Request]
    impersonate: Callable[[str], tuple[Request, ...]]
    """Let the node send transactions of this account."""
    mine: Callable[[int], Request]
    automine: Callable[[bool], Request]
    next_after: Callable[[int], Request]
    """Gives the next block another timestamp than this one, so that it is not the same block again."""
    reorg: Callable[[int], Request] | None
    """Replaces the last blocks by empty ones; None where only snapshot and revert do."""


@dataclass(frozen=True)
class NodeKind:
    """One implementation: its name, its command line for a port (0: any) and a chain id, and its steering."""

    name: str
    command: Callable[[int, int], list[str]]
    folder: Callable[[], Path | None]
    """Where it must be started."""
    steering: Steering


def _anvil(port: int, chain_id: int) -> list[str]:
    binary = str(path_of(ANVIL_PACKAGE, "bin/anvil"))
    network = ("--chain-id", str(chain_id), "--port", str(port), "--host", "127.0.0.1")
    return [binary, *network, "--gas-limit", str(GAS_LIMIT)]


def _hardhat(port: int, chain_id: int) -> list[str]:
    network = ("--chain-id", str(chain_id), "--port", str(port), "--hostname", "127.0.0.1")
    return [node_command(), "node_modules/hardhat/dist/src/cli.js", "node", *network]


def _ganache(port: int, chain_id: int) -> list[str]:
    """Through its own server class: its command line refuses port 0."""
    options = {
        "chain": {"chainId": chain_id, "allowUnlimitedContractSize": True},
        "miner": {"blockGasLimit": GAS_LIMIT},
        "wallet": {"deterministic": True},
        "logging": {"quiet": True},
    }
    script = (
        f'const server = require("ganache").server({json.dumps(options)});'
        f'const told = () => console.log("Listening on 127.0.0.1:" + server.address().port);'
        f'server.listen({port}, "127.0.0.1").then(told);'
    )
    return [node_command(), "--input-type=commonjs", "--eval", script]


_COMMON = Steering(
    set_nonce=lambda account, nonce: ("hardhat_setNonce", account, hex(nonce)),
    set_balance=lambda account, wei: ("hardhat_setBalance", account, hex(wei)),
    impersonate=lambda account: (("hardhat_impersonateAccount", account),),
    mine=lambda blocks: ("hardhat_mine", hex(blocks)),
    automine=lambda on: ("evm_setAutomine", on),
    next_after=lambda timestamp: ("evm_setNextBlockTimestamp", timestamp + 1),
    reorg=None,
)

ANVIL = NodeKind("anvil", _anvil, lambda: None, replace(_COMMON, reorg=lambda depth: ("anvil_reorg", depth, [])))
HARDHAT = NodeKind("hardhat", _hardhat, installed_nodes, _COMMON)
GANACHE = NodeKind(
    "ganache",
    _ganache,
    installed_nodes,
    Steering(
        set_nonce=lambda account, nonce: ("evm_setAccountNonce", account, hex(nonce)),
        set_balance=lambda account, wei: ("evm_setAccountBalance", account, hex(wei)),
        impersonate=lambda account: (("evm_addAccount", account, ""), ("personal_unlockAccount", account, "", 0)),
        mine=lambda blocks: ("evm_mine", {"blocks": blocks}),
        automine=lambda on: ("miner_start",) if on else ("miner_stop",),
        next_after=lambda _: ("evm_increaseTime", 1),
        reorg=None,
    ),
)
KINDS = {kind.name: kind for kind in (ANVIL, HARDHAT, GANACHE)}
