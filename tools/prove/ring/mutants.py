"""The rules of the protocol, each broken once.

Owns the mutants and the scenarios that should catch them.  A search that misses one of them proves nothing.
"""

from __future__ import annotations

from tools.prove.ring.scenarios import SCENARIOS
from tools.prove.ring.stepping import Mutation

MUTANTS: list[tuple[Mutation, str]] = [
    (Mutation("intent is not stored", "    store_monotonic(words, INTENT, intent)\n", ""), "lapping"),
    (Mutation("no release fence after intent", "    fence_release()\n", ""), "lapping"),
    (Mutation("no acquire fence before intent", "    fence_acquire()\n    return", "    return"), "lapping"),
    (
        Mutation("no re-validation", "load_monotonic(words, INTENT) - position <= capacity", "position <= position"),
        "lapping",
    ),
    (
        Mutation("tail stored relaxed", "store_release(words, TAIL, head)", "store_monotonic(words, TAIL, head)"),
        "fresh",
    ),
    (Mutation("tail loaded relaxed", "end = load_acquire(words, TAIL)", "end = load_monotonic(words, TAIL)"), "fresh"),
    (
        Mutation(
            "tail stored before the payload",
            "    whole = length >> 3\n",
            "    whole = length >> 3\n    store_release(words, TAIL, new)\n",
        ),
        "fresh",
    ),
    (
        Mutation(
            "wrong mask",
            "    at = DATA + ((position & (capacity - 1)) >> 3)\n",
            "    at = DATA + ((position & (capacity // 2 - 1)) >> 3)\n",
        ),
        "lapping",
    ),
    (
        Mutation(
            "a batch shows its first frame",
            '    me["latest"] = head\n',
            '    me["latest"] = head\n    store_release(words, TAIL, new)\n',
        ),
        "batching",
    ),
    (
        Mutation(
            "intent falls back at a restart",
            '    me["intent"] = intent\n    me["gate"] = 0',
            '    me["intent"] = tail\n    me["gate"] = 0',
        ),
        "full ring",
    ),
    (Mutation("one commit record", '    me["turn"] = 1 - me["turn"]\n', ""), "restarting"),
    (
        Mutation(
            "no fence in wake",
            "    fence_seq_cst()\n    if load_monotonic(control, TICKET)",
            "    if load_monotonic(control, TICKET)",
        ),
        "waking",
    ),
    (
        Mutation(
            "no fence in sleep_on",
            "    fence_seq_cst()\n    if load_acquire(words, TAIL) == position",
            "    if load_acquire(words, TAIL) == position",
        ),
        "waking",
    ),
    (Mutation("no ticket", "    fetch_max(control, TICKET, seen + 1)\n", ""), "waking"),
    (
        Mutation("no fence in announce_slot", "    # SYNC join: pairs with scan_gate.\n    fence_seq_cst()\n", ""),
        "joining",
    ),
    (Mutation("no fence in scan_gate", "    fence_seq_cst()\n    for slot", "    for slot"), "joining"),
    (
        Mutation("the commit record is not re-checked", "if load_monotonic(words, TAIL) == tail and", "if"),
        "latest",
    ),
    (
        Mutation(
            "tail is not looked at again after CLOSED",
            '    if load_acquire(words, TAIL) != me["position"]:\n        return OK\n    return CLOSED',
            "    return CLOSED",
        ),
        "closing",
    ),
    (
        Mutation("no fence before the commit record is re-checked", "                fence_acquire()\n", ""),
        "no fence from intent",
    ),
    (
        Mutation(
            "commit record stored relaxed",
            "store_release(words, at + COMMIT_SEQUENCE",
            "store_monotonic(words, at + COMMIT_SEQUENCE",
        ),
        "no fence from intent",
    ),
]


def scenarios_for(word: str) -> list[str]:
    """Names of the scenarios that should catch a mutant."""
    return [name for name in SCENARIOS if word in name]
