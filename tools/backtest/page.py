"""The report of a backtest: one HTML page that needs nothing else, and no script.

Owns what stands on it, and its looks.  Its first page says what came out, what is missing, and what is assumed.  Every
text that a user or a journal gave is escaped.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

import msgspec

from consumers.backtest.mapped_journal import JournalFacts
from consumers.backtest.run import RunResult
from consumers.execution.config import ExecutionConfig
from tlv.units import NS
from tools.backtest.assumptions import assumptions
from tools.backtest.summary import best_first, coins, counted, tokens
from tools.backtest.svg import ChartLine, bar_chart, column_chart, histogram, line_chart
from tools.backtest.tables import COIN
from tools.wording import venue_name

HOURS = 24
MOST_BARS = 20
P_STEPS = 10
UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #16212e; --soft: #55606c; --rule: #d5dbe1; --grid: #e8ecf0;
  --a: #0b62a8; --b: #b4540a; --c: #4d7a29; --bad: #a3171f; --bad-page: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --page: #0e161f; --ink: #e4e9ee; --soft: #9fabb7; --rule: #33424f;
  --grid: #22303c; --a: #7cc0ff; --b: #f0a35e; --c: #9bcf72; --bad: #ff9a95; --bad-page: #3a1718; } }
@media print { :root { color-scheme: light; --page: #fff; --ink: #000; --soft: #444; --rule: #bbb; --grid: #ddd;
  --a: #0b62a8; --b: #b4540a; --c: #4d7a29; --bad: #a3171f; --bad-page: #fff; }
  .first { break-after: page; } figure, tr { break-inside: avoid; } main { max-width: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } code { font-family: ui-monospace, monospace; font-size: .85em;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
th:first-child, td:first-child, .text { text-align: left; } caption { text-align: left; color: var(--soft); }
.bad { background: var(--bad-page); border-left: 4px solid var(--bad); padding: .5rem 1rem; margin: 1rem 0; }
.bad strong { color: var(--bad); } li { margin: .25rem 0; white-space: pre-line; }
figure { margin: 1rem 0 1.5rem; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 11px; } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--grid); fill: none; } svg .zero { stroke: var(--soft); fill: none; }
svg .line { fill: none; stroke-width: 1.6; } svg .line.a { stroke: var(--a); } svg .line.b { stroke: var(--b); }
svg .line.c { stroke: var(--c); } svg .area { opacity: .18; } svg .area.a, svg .bar.a, svg .dot.a { fill: var(--a); }
svg .area.b, svg .bar.b, svg .dot.b { fill: var(--b); } svg .bar.c, svg .dot.c { fill: var(--c); }
"""


def page(
    journal: str, facts: JournalFacts, config: ExecutionConfig, results: Sequence[RunResult], failures: Sequence[str]
) -> str:
    """The whole page.  Pictures are of the best run; `failures` says of other runs why they gave nothing."""
    best = best_first(results)[0]
    title = f"Backtest of {journal}"
    parts = [
        '<section class="first">',
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(", ".join(one.name for one in best.strategies))} over {escape(facts.ring_name)}, '
        f"blocks {facts.first_block} to {facts.last_block}{escape(span(facts))}, {facts.frames:,} frames</p>",
        missing(best, failures),
        chosen(best, len(results)),
        outcome(best),
        "<h2>What this assumes</h2><ul>",
        *(f"<li>{escape(sentence)}</li>" for sentence in assumptions(config)),
        "</ul></section>",
        *(f"<section>{section}</section>" for section in sections(best, results, config)),
        '<section><h2>What ran</h2><div class="scroll">',
        what_ran(best),
        "</div></section>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def span(facts: JournalFacts) -> str:
    """`, 2021-04-20 20:07:26 to 20:14:16 UTC`, if blocks say it."""
    if not facts.first_time_s:
        return ""
    first, last = utc_of(facts.first_time_s), utc_of(facts.last_time_s)
    return f", {first} to {last} UTC" if first and last else ""


def utc_of(seconds: float) -> str:
    """A time as people write it; nothing for one beyond the calendar."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    return ""


def missing(best: RunResult, failures: Sequence[str]) -> str:
    """Why the figures are not those of the whole market."""
    reasons = [*best.missing, *failures]
    if not reasons:
        return "<p>Nothing of the market is missing in the journal.</p>"
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    text = "<strong>Not complete.</strong> The figures do not count what is missing:"
    return f'<div class="bad">{text}<ul>{listed}</ul></div>'


def chosen(best: RunResult, runs: int) -> str:
    """Which of several runs the page is about."""
    if runs < 2:
        return ""
    settings = ", ".join(f"{key} = {value}" for key, value in best.settings.items())
    return (
        f"<p>Run {best.number} of {runs}, the best by net: <code>{escape(settings)}</code>. It was chosen "
        "after the fact; expect less of it on another day.</p>"
    )


def outcome(best: RunResult) -> str:
    """Profit and loss."""
    account = best.account
    total, states = account.ledger.total, account.ledger.states
    rows = [
        ("Net, every attempt included (p = 1)", coins(total.net)),
        ("Net, with the stated probability", coins(total.expected)),
        ("Gross", coins(total.gross)),
        ("Gas", coins(total.gas)),
        ("Deepest fall (drawdown)", coins(account.drawdown)),
    ]
    signals, orders = (sum(getattr(one, name) for one in best.strategies) for name in ("signals", "orders"))
    parts = [
        '<div class="scroll">',
        table(("", "coins of the chain"), rows),
        "</div>",
        f"<p>{signals} signals and {orders} orders: {escape(counted(states) or 'none came to an end')}.",
        f" Reasons: {escape(counted(account.ledger.reasons))}." if account.ledger.reasons else "",
        f" {best.waiting} were waiting for their block when the journal ended." if best.waiting else "",
        "</p>",
    ]
    by_token = [
        (
            f"0x{token.hex()}",
            *(tokens(value, one.decimals) for value in (one.net, one.gross, one.gas, one.expected_net)),
        )
        for token, one in account.by_token.items()
    ]
    if by_token:
        parts += [
            '<div class="scroll">',
            table(("token", "net", "gross", "gas", "net at stated p"), by_token),
            "</div>",
        ]
    for what, sums in (("strategy", account.ledger.by_strategy), ("route", account.ledger.by_route)):
        found = [
            (named(name) or "none", coins(one.net), str(one.orders), str(one.filled)) for name, one in sums.items()
        ]
        if len(found) > 1:
            parts += ['<div class="scroll">', table((what, "net", "attempts", "filled"), found), "</div>"]
    return "".join(parts)


def named(route: str) -> str:
    """A route or strategy with the names that the journal gives to venues of its own."""
    return " > ".join(venue_name(int(part)) if part.isdecimal() else part for part in route.split(" > "))


def sections(best: RunResult, results: Sequence[RunResult], config: ExecutionConfig) -> Iterable[str]:
    """The pictures, each with its table where it has few numbers."""
    account = best.account
    seconds = [(point.time_ns - account.equity[0].time_ns) / NS for point in account.equity]
    unit, scale = next(((unit, scale) for unit, scale in UNITS if seconds and max(seconds) >= 2 * scale), UNITS[-1])
    times = [at / scale for at in seconds]
    equity = [(at, point.equity / COIN) for at, point in zip(times, account.equity, strict=True)]
    expected = [(at, point.expected_equity / COIN) for at, point in zip(times, account.equity, strict=True)]
    since = f"{unit} of event time since the first attempt"
    yield figure(
        "Equity",
        line_chart(
            "equity",
            "Equity",
            f"Sum of net over time, in coins; it ends at {coins(account.ledger.total.net)}.",
            [
                ChartLine("p = 1", equity, "a", stepped=True, filled=True),
                ChartLine("stated p", expected, "b", stepped=True),
            ],
            unit_x=since,
            unit_y="coins",
        ),
    )
    yield figure(
        "Drawdown",
        line_chart(
            "drawdown",
            "Drawdown",
            f"How far the equity lay below its highest point before; {coins(account.drawdown)} coins at most.",
            [ChartLine("below the peak", fallen(equity), "b", stepped=True, filled=True)],
            unit_x=since,
            unit_y="coins",
        ),
    )
    venues = Counter(venue_name(venue) for wish in best.wishes for venue in set(wish.venues))
    yield bars("Opportunities by venue", "venues", "Signals with a pool of the venue.", venues.most_common(MOST_BARS))
    hours = Counter(wish.time_ns // NS // 3600 % HOURS for wish in best.wishes)
    title, found = "Opportunities by hour (UTC)", [(f"{hour:02d}", hours[hour]) for hour in range(HOURS)]
    what = "Signals and orders by the hour of the event behind them."
    chart = column_chart("hours", title, what, found, unit="signals and orders")
    yield figure(title, chart if hours else "<p>There was none.</p>")
    yield distribution(
        "Latency from event to order", "latency", [value / 1e6 for value in account.latencies_ns()], "ms"
    )
    yield distribution("What an attempt earned", "fills", [point.change / COIN for point in account.equity], "coins")
    yield distribution("Slippage of fills", "slippage", account.slippage_ppm(), "ppm of what was expected")
    yield inclusion(best)
    yield delays(best, config)
    if len(results) > 1:
        yield swept(results)


def fallen(equity: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """How far each point lies below the highest before it, as a number below 0."""
    peak = 0.0
    found = []
    for at, value in equity:
        peak = max(peak, value)
        found.append((at, value - peak))
    return found


def inclusion(best: RunResult) -> str:
    """Net over the probability of inclusion."""
    account = best.account
    steps = [step / P_STEPS for step in range(P_STEPS + 1)]
    exact = [account.net_at(step * 1_000_000 // P_STEPS) for step in range(P_STEPS + 1)]
    chart = line_chart(
        "inclusion",
        "Sensitivity to the probability of inclusion",
        "Net in coins over p. It is a straight line: an attempt that is not included costs nothing.",
        [ChartLine("net", [(p, value / COIN) for p, value in zip(steps, exact, strict=True)])],
        unit_x="probability that an attempt is included",
        unit_y="coins",
    )
    rows = [(f"{p:g}", coins(value)) for p, value in zip(steps, exact, strict=True)]
    return figure("Sensitivity to the probability of inclusion", chart, table(("p", "net"), rows))


def delays(best: RunResult, config: ExecutionConfig) -> str:
    """Net over the blocks that an order waits."""
    by_delay = {config.delay_blocks: best.account, **best.by_delay}
    rows = [
        (str(blocks), coins(one.ledger.total.net), str(one.ledger.states["filled"]), str(one.ledger.states["failed"]))
        for blocks, one in sorted(by_delay.items())
    ]
    chart = line_chart(
        "delays",
        "Sensitivity to latency",
        "Net in coins if the same orders are attempted so many blocks behind the state that they were decided on.",
        [ChartLine("net", [(float(blocks), one.ledger.total.net / COIN) for blocks, one in sorted(by_delay.items())])],
        unit_x="blocks behind the state",
        unit_y="coins",
    )
    note = "<p>An order whose last block is over by then is not attempted.</p>"
    return figure("Sensitivity to latency", chart, note, table(("blocks", "net", "filled", "failed"), rows))


def swept(results: Sequence[RunResult]) -> str:
    """All runs of a sweep, and a picture if one number was swept."""
    keys = list(results[0].settings)
    rows = [
        (
            *(str(one.number), *(one.settings.get(key, "") for key in keys), coins(one.account.ledger.total.net)),
            *(coins(one.account.ledger.total.expected), coins(one.account.drawdown)),
            *(str(one.account.ledger.states[name]) for name in ("filled", "failed")),
        )
        for one in best_first(results)
    ]
    heads = ("run", *keys, "net (p = 1)", "stated p", "drawdown", "filled", "failed")
    points: list[tuple[float, float]] = []
    if len(keys) == 1:
        with contextlib.suppress(ValueError):
            points = sorted((float(one.settings[keys[0]]), one.account.ledger.total.net / COIN) for one in results)
    chart = ""
    if points:
        chart = line_chart(
            "sweep",
            f"Net over {keys[0]}",
            "Net in coins of each run.",
            [ChartLine("net", points)],
            unit_x=keys[0],
            unit_y="coins",
        )
    return figure("Sweep", chart, table(heads, rows))


def bars(title: str, name: str, description: str, found: Sequence[tuple[str, int]]) -> str:
    """A picture of counts, or the word that there is none."""
    if not found:
        return figure(title, "<p>There was none.</p>")
    return figure(title, bar_chart(name, title, description, found))


def distribution(title: str, name: str, values: Sequence[float], unit: str) -> str:
    """A picture of a distribution with its median and 99th percentile, or the word that there is nothing."""
    if not values:
        return figure(title, "<p>Nothing is known of it.</p>")
    ordered = sorted(values)
    median, high = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    text = f"{len(ordered)} values; median {median:.6g}, 99th percentile {high:.6g}, most {ordered[-1]:.6g} {unit}."
    return figure(title, histogram(name, title, text, values, unit=unit), f"<p>{escape(text)}</p>")


def figure(title: str, *parts: str) -> str:
    """A picture under its title; tables scroll on a small screen."""
    return f'<figure><figcaption>{escape(title)}</figcaption><div class="scroll">{"".join(parts)}</div></figure>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def shown(value: object) -> str:
    """A parameter as JSON has it, or as Python has what JSON has not."""
    return msgspec.json.encode(value, enc_hook=repr).decode()


def what_ran(best: RunResult) -> str:
    """Strategies, their parameters and the hashes of what they published."""
    rows = [
        (
            f"{one.name} version {one.version}",
            ", ".join(f"{key} = {shown(value)}" for key, value in one.params.items()) or "none",
            one.order_hash,
        )
        for one in best.strategies
    ]
    text = f"<p>execution_hash <code>{best.execution_hash}</code></p>"
    return table(("strategy", "parameters", "order_hash"), rows) + text
