"""The chain file that `alphapulse chain new` writes.

Owns its form.  What each key means stands in `producers.chains.chain_keys`, so that file, check and text cannot
disagree.
"""

from __future__ import annotations

import textwrap

from producers.chains.chain_keys import CHAIN
from producers.chains.keys import Key, TableKey
from producers.kinds.kind import Fee
from producers.kinds.registry import all_kinds
from tlv.venues import VENUES

WIDTH = 116
ZERO_ADDRESS = "0x" + "0" * 40
FIRST_VENUE = 1000
EXAMPLE_CODE_HASH = "0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f"
"""UniswapV2Pair as Uniswap published it, and as forks that changed nothing have it."""


def chain_file(name: str, chain_id: int, genesis: str | None, url: str | None, source: str) -> str:
    """The text of a chain file; `genesis` and `url` stand in it as comments where they are not known."""
    values = {
        "name": f'"{name}"',
        "chain_id": str(chain_id),
        "source": f'"{source}"',
        "ring": f'"market.{name}"',
        "wrapped_native": f'"{ZERO_ADDRESS}"',
        "finality_blocks": "64",
        "block_time_s": "0",
        "endpoints": f'["{url}"]' if url is not None else None,
        "identity": f'{{ number = 0, hash = "{genesis}" }}' if genesis is not None else None,
    }
    examples = {
        "identity": '{ number = 0, hash = "0x..." }',
        "native_symbol": '"ETH"',
        "unbloomed_every": "0",
        "endpoints": '["ws://127.0.0.1:8545"]',
        "explorer": '"http://127.0.0.1:4000"',
        "kinds": '["my_kind.py"]',
    }
    lines = _comment(
        f"The chain {name}, for `alphapulse collect --chain FILE`.  A line that begins with # is a comment, or a key "
        "that may be left out.  `alphapulse chain check FILE --url ws://...` proves it against a node."
    )
    for key in CHAIN:
        if isinstance(key, TableKey) and key.several:
            continue
        lines += ["", *_comment(_sentence(key.about))]
        value = values.get(key.name)
        lines.append(f"{key.name} = {value}" if value is not None else f"# {key.name} = {examples[key.name]}")
    for key in CHAIN:
        if isinstance(key, TableKey) and key.several:
            lines += ["", *_comment(_sentence(key.about)), *_example(key, name)]
    return "\n".join([*lines, ""])


def _example(table: TableKey, name: str) -> list[str]:
    """One table of a kind that may stand there any number of times, as a comment."""
    example = {
        "code": str(FIRST_VENUE),
        "name": f'"{name}.myswap"',
        "venue": f'"{name}.myswap"',
        "protocol": '"UNISWAP_V2"',
        "address": '"0x..."',
        "init_code_hash": f'"{EXAMPLE_CODE_HASH}"',
        "lookup": '"getPair(address,address)"',
        "fee_pips": "3000",
        "fee_call": '"getFee(address,bool)"',
        "deployer": '"0x..."',
        "custom_deployers": '["0x..."]',
        "positions": '"0x..."',
    }
    lines = ["#", f"# [[{table.name}]]"]
    for key in table.keys:
        optional = "" if key.required else "may be left out: "
        lines += [*_comment(f"  {optional}{key.about}{_choices(key)}", "#  "), f"# {key.name} = {example[key.name]}"]
    return lines


def _choices(key: Key) -> str:
    """The enumeration behind a key."""
    if key.name == "protocol":
        fees = {Fee.FACTORY: "one fee a factory", Fee.OWN: "a fee for each pool", Fee.DYNAMIC: "a fee that moves"}
        return ": " + ", ".join(f"{kind.name} ({fees[kind.fee]})" for kind in all_kinds())
    if key.name == "venue":
        return ": " + ", ".join(VENUES.names())
    return ""


def _sentence(about: str) -> str:
    return about[0].upper() + about[1:] + "."


def _comment(text: str, mark: str = "# ") -> list[str]:
    lines = textwrap.wrap(text.strip(), WIDTH, initial_indent=mark, subsequent_indent=mark)
    return [line.rstrip() for line in lines]
