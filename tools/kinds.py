"""`alphapulse kinds`: which pools are covered, from the kinds and the bundled chain files.

Owns the tables of docs/coverage.md and README.md: they stand there between two comments, in the repository so that they
can be read without running anything.  What stands around them is written by hand.

    <!-- generated: venues -->
    ... replaced by `alphapulse kinds --write`
    <!-- end of venues -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from producers.chains.configuration import BUNDLED, ChainConfig, Factory, load_chain
from producers.kinds.kind import Fee, PoolKind
from producers.kinds.registry import all_kinds
from tlv.codes import Protocol
from tlv.errors import UsageError
from tlv.filter import type_number
from tlv.venues import VENUES
from tools.layout import table

DOCUMENTS = (Path("docs/coverage.md"), Path("README.md"))
BY_ADDRESS = "its address (CREATE2)"
OWN_RULE = "the kind's own rule"
NO_QUOTE = "none"
NO_FEE = "not known"
PIPS_OF_PERCENT = 10_000


def kinds() -> list[PoolKind]:
    """The kinds that this package has."""
    return [kind for kind in all_kinds() if kind.code in set(Protocol)]


def chains() -> list[ChainConfig]:
    """The chains whose files it has."""
    return [load_chain(name) for name in BUNDLED]


def events_of(kind: PoolKind) -> list[str]:
    """What it decodes, by the contracts' names, in the order of the records that it becomes."""
    by_record = sorted((*kind.events, *kind.shares), key=lambda event: type_number(event.record))
    return list(dict.fromkeys(event.solidity_name for event in by_record))


def state_of(kind: PoolKind) -> list[str]:
    """The view functions that say what a pool holds."""
    if kind.state is None:
        return []
    return list(kind.state.functions) or ["extsload(bytes32,uint256)"]


def proof_of(factory: Factory) -> str:
    """How a pool of it is proven."""
    if factory.init_code_hash is not None:
        return BY_ADDRESS
    if factory.lookup_function:
        return by_lookup(factory.lookup_function)
    return factory.kind.proven or OWN_RULE


def proofs_of(kind: PoolKind) -> str:
    """How pools of this kind can be proven."""
    if kind.proven:
        return kind.proven
    by_address = [BY_ADDRESS] if kind.proof.salt is not None else []
    by_factory = [by_lookup(kind.proof.lookup)] if kind.proof.lookup else []
    return ", or ".join(by_address + by_factory) or OWN_RULE


def by_lookup(function: str) -> str:
    """The factory has it under its tokens."""
    return f"`{function.partition('(')[0]}` of the factory"


def fee_of(factory: Factory) -> str:
    """What a pool of it charges."""
    if factory.fee_pips:
        return f"{factory.fee_pips / PIPS_OF_PERCENT:g} %"
    if factory.fee_call:
        return f"`{factory.fee_call.partition('(')[0]}` of the factory"
    match factory.kind.fee:
        case Fee.FACTORY:
            return NO_FEE
        case Fee.DYNAMIC:
            return "moves"
        case _:
            return "of the pool"


def quotes_of(kind: PoolKind) -> str:
    """Whether it is quoted."""
    return kind.quotes or NO_QUOTE


def quoted(factory: Factory) -> str:
    """Whether its pools are."""
    return NO_QUOTE if fee_of(factory) == NO_FEE else quotes_of(factory.kind)


def kinds_table() -> str:
    """A row for each kind."""
    rows = (
        (
            f"`{kind.name}`",
            ", ".join(events_of(kind)),
            proofs_of(kind),
            ", ".join(f"`{name}`" for name in state_of(kind)) or ("not asked" if kind.state is None else OWN_RULE),
            quotes_of(kind),
        )
        for kind in kinds()
    )
    return table(("kind", "events", "proven by", "state asked of the node", "quotes"), rows)


def venues_table() -> str:
    """A part for each chain, a row for each factory."""
    parts = []
    for chain in chains():
        rows = (
            (
                f"`{VENUES.name_of(one.venue_code)}`",
                f"`{one.protocol}`",
                f"`{one.address}`",
                proof_of(one),
                fee_of(one),
                quoted(one),
            )
            for one in chain.factories
        )
        title = f"### {chain.name.capitalize()}: {len(chain.factories)} factories\n"
        parts += [title, table(("venue", "kind", "factory", "proven by", "fee", "quotes"), rows)]
    return "\n".join(parts)


def covered_table() -> str:
    """A row for each chain, kind and what is quoted of it, with the names of the venues."""

    def rows() -> Iterator[tuple[str, ...]]:
        for chain in chains():
            for kind in kinds():
                found = [one for one in chain.factories if one.kind is kind]
                for quotes in dict.fromkeys(map(quoted, found)):
                    names = [VENUES.name_of(one.venue_code) or "" for one in found if quoted(one) == quotes]
                    shown = ", ".join(dict.fromkeys(name.partition(".")[2] for name in names))
                    yield chain.name.capitalize(), f"`{kind.name}`", shown, quotes

    return table(("chain", "kind", "venues", "quotes"), rows())


TABLES: dict[str, Callable[[], str]] = {"kinds": kinds_table, "venues": venues_table, "covered": covered_table}


def renewed(text: str, where: Path) -> str:
    """A document with its tables as the code says.

    Raises:
        UsageError: it has a place for a table that there is not, none at all, or one without an end.
    """
    places = re.findall(r"^<!-- generated: (.*) -->$", text, re.MULTILINE)
    if not places:
        raise UsageError(f"{where}: expected a line <!-- generated: TABLE -->, found none")
    for name in places:
        if name not in TABLES:
            raise UsageError(f"{where}: expected one of {', '.join(TABLES)} to be generated, found {name!r}")
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, behind = text.partition(begin)
        if end not in behind:
            raise UsageError(f"{where}: expected {end.strip()} behind {begin.strip()}, found none")
        text = f"{before}{begin}\n{TABLES[name]()}\n{end}{behind.partition(end)[2]}"
    return text


def as_json() -> bytes:
    """Everything, for a program."""

    def factory_of(one: Factory) -> dict[str, Any]:
        about = {"venue": VENUES.name_of(one.venue_code), "kind": one.protocol, "factory": one.address}
        return about | {"proven_by": proof_of(one), "fee": fee_of(one), "quotes": quoted(one)}

    found = [
        {"kind": kind.name, "code": kind.code, "events": events_of(kind), "proven_by": proofs_of(kind)}
        | {"state": state_of(kind), "quotes": quotes_of(kind)}
        for kind in kinds()
    ]
    by_chain = {chain.name: [factory_of(one) for one in chain.factories] for chain in chains()}
    return msgspec.json.encode({"kinds": found, "chains": by_chain})


@click.command("kinds", epilog="Example:  alphapulse kinds --json")
@click.argument("documents", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--write", is_flag=True, help="Renew the tables of DOCUMENTS (default docs/coverage.md and README.md).")
@click.option("--check", is_flag=True, help="Exit with 1 if a table of DOCUMENTS does not say what the code does.")
@click.option("--json", "as_json_lines", is_flag=True, help="Print one JSON object.")
def command(documents: tuple[Path, ...], write: bool, check: bool, as_json_lines: bool) -> int:
    """Print which pools are covered: the kinds, and the factories of each bundled chain.

    Of each kind what is decoded, how a pool is proven and whether it is quoted; docs/coverage.md explains it.
    """
    if write + check + as_json_lines > 1:
        raise click.UsageError("--write, --check and --json exclude each other")
    if documents and not (write or check):
        raise click.UsageError("DOCUMENTS: expected --write or --check with them")
    if as_json_lines:
        click.echo(as_json())
        return 0
    if not (write or check):
        click.echo(f"{kinds_table()}\n{venues_table()}", nl=False)
        return 0
    stale = False
    for document in documents or DOCUMENTS:
        try:
            before = document.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UsageError(
                f"{document}: expected a document, found none; the default ones are in the repository"
            ) from None
        after = renewed(before, document)
        if write:
            document.write_text(after, encoding="utf-8")
        elif before != after:
            stale = True
            click.echo(f"{document} is out of date; `alphapulse kinds --write {document}` renews it", err=True)
    return int(stale)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "kinds")
