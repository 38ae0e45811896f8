"""Writes a session down: Markdown for readers, JSON for programs, from the same figures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.rows import Figure, Row, as_dict, our_keys, ratio
from benchmarks.session import Session
from benchmarks.suites import SUITES

WRITTEN = "Written by `python -m benchmarks`; edit nothing here."
FIGURES_BEGIN = "<!-- figures of {suite}: written by `python -m benchmarks` -->"
FIGURES_END = "<!-- end of figures -->"
_DETAILS = "\n## Peers\n"


def write_report(session: Session, folder: Path) -> Path:
    """Write `results/SUITE.md` and `.json` in a folder, and its `RESULTS.md` of all suites anew.

    Returns:
        The Markdown file of the suite.
    """
    path = folder / "results" / f"{session.options.suite}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_markdown(session), encoding="utf-8")
    text = json.dumps(as_json(session), indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    (folder / "RESULTS.md").write_text(overview(folder), encoding="utf-8")
    return path


def overview(folder: Path) -> str:
    """The beginnings of the suites' files, which are all in `results`."""
    parts = [f"# Results\n\n{WRITTEN} Every single row is in `results`.\n"]
    for suite in SUITES:
        path = folder / "results" / f"{suite}.md"
        if path.exists():
            title, _, rest = path.read_text(encoding="utf-8").partition("\n")
            beginning = rest.partition(_DETAILS)[0].replace(f"{WRITTEN}\n\n", "", 1)
            parts.append(f"## [{title.removeprefix('# ')}](results/{path.name})\n{beginning}")
    return "\n".join(parts)


def quote_figures(session: Session, path: Path) -> bool:
    """Put the summary between the two marks that another document has for this suite.

    Returns:
        Whether it has such marks.
    """
    mark = FIGURES_BEGIN.format(suite=session.options.suite)
    before, begin, rest = path.read_text(encoding="utf-8").partition(mark)
    _, end, after = rest.partition(FIGURES_END)
    if not begin or not end:
        return False
    lines = [*summary(session), "", machine_line(session)]
    path.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}", encoding="utf-8")
    return True


def as_markdown(session: Session) -> str:
    """The whole report."""
    lines = [
        f"# {session.title}",
        "",
        WRITTEN,
        "",
        machine_line(session),
        "",
        *summary(session),
        "",
        *(f"* {note}" for note in session.notes),
        "",
        "## Peers",
        "",
        *_peers(session),
    ]
    for row in session.rows:
        lines += ["", *_section(session, row)]
    return "\n".join(lines) + "\n"


def machine_line(session: Session) -> str:
    """Where, when and how."""
    machine, options = session.machine, session.options
    commit = f", commit {machine.commit}" if machine.commit else ""
    many = "1 worker" if options.workers == 1 else f"{options.workers} workers"
    medians = f"{many}; medians" if options.workers else "Medians"
    processes = "1 fresh process" if options.rounds == 1 else f"{options.rounds} fresh processes"
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.system}, "
        f"Python {machine.python}; {machine.started_at:%Y-%m-%d %H:%M} UTC, load average before "
        f"{machine.load_average:g}{commit}. {medians} of {processes}, all peers in one "
        "session."
    )


def summary(session: Session) -> Iterator[str]:
    """One table: a line for each row, a column for each peer that could be measured."""
    peers = [peer for peer in session.plan if session.results[peer].unavailable is None]
    yield _line("", "target", *(peer.title for peer in peers))
    yield _line("---", *["---:"] * (len(peers) + 1))
    for row in session.rows:
        figures = session.table[row.key]
        cells = [_amount(row, figures.get(peer.key)) for peer in peers]
        yield _line(row.title, _targets(session, row), *cells)


def _targets(session: Session, row: Row) -> str:
    words = {True: "met", False: "missed", None: "not measured"}
    outcomes: dict[str, dict[str, str]] = defaultdict(dict)
    for verdict in session.verdicts:
        target = verdict.target
        if target.row == row.key:
            outcomes[target.describe(row)][target.peer] = words[verdict.is_met]
    return "; ".join(f"{wanted}: {_agreed(came)}" for wanted, came in outcomes.items())


def _agreed(outcomes: dict[str, str]) -> str:
    """What came of a target for several peers: one word where it is the same for all."""
    words = set(outcomes.values())
    if len(words) == 1:
        return words.pop()
    return ", ".join(f"{peer} {word}" for peer, word in outcomes.items())


def _peers(session: Session) -> Iterator[str]:
    yield _line("peer", "versions", "remark")
    yield _line("---", "---", "---")
    for peer in session.plan:
        results = session.results[peer]
        versions = ", ".join(f"{name} {text}" for name, text in results.versions.items())
        yield _line(peer.title, versions, results.unavailable or peer.remark)


def _section(session: Session, row: Row) -> Iterator[str]:
    """Medians, spread and ratios of one row."""
    ours = [peer for peer in session.plan if peer.key in our_keys()]
    figures = session.table[row.key]
    yield f"## {row.title}"
    yield ""
    yield _line("", "n", "median", "least to most", *(f"÷ {peer.title}" for peer in ours))
    yield _line("---", *["---:"] * (3 + len(ours)))
    for peer in session.plan:
        figure = figures.get(peer.key)
        if figure is not None:
            yield _line(peer.title, *_cells(row, figure, figures, ours))


def _cells(row: Row, figure: Figure, figures: dict[str, Figure], ours: list[Peer]) -> list[str]:
    if figure.failure is not None:
        return [f"{figure.n:,}", figure.failure, *[""] * (1 + len(ours))]
    spread = f"{_rounded(min(figure.values))} to {_rounded(max(figure.values))}"
    ratios = [ratio(row, figure, figures.get(peer.key)) for peer in ours]
    times = ["" if found is None else _rounded(found) for found in ratios]
    return [f"{figure.n:,}", _amount(row, figure), spread, *times]


def _amount(row: Row, figure: Figure | None) -> str:
    if figure is None:
        return ""
    return "failed" if figure.median is None else f"{_rounded(figure.median)} {row.unit}".rstrip()


def _rounded(value: float) -> str:
    """Three digits that count: 0.271, 3.42, 147, 1,770."""
    if abs(value) >= 1000:
        return f"{round(value, -1):,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_json(session: Session) -> dict[str, Any]:
    """Everything, with each single value."""
    machine = asdict(session.machine)
    return {
        "machine": {**machine, "started_at": session.machine.started_at.isoformat()},
        "options": asdict(session.options),
        "peers": {
            peer.key: {
                "title": peer.title,
                "versions": session.results[peer].versions,
                "unavailable": session.results[peer].unavailable,
            }
            for peer in session.plan
        },
        "rows": [_row_as_json(session, row) for row in session.rows],
    }


def _row_as_json(session: Session, row: Row) -> dict[str, Any]:
    figures = session.table[row.key]
    return {
        "key": row.key,
        "title": row.title,
        "unit": row.unit,
        "figures": {key: as_dict(figure) for key, figure in figures.items()},
        "ratios": {
            ours: {key: ratio(row, figure, figures.get(ours)) for key, figure in figures.items()}
            for ours in our_keys()
        },
        "targets": [
            {**asdict(verdict.target), "is_met": verdict.is_met}
            for verdict in session.verdicts
            if verdict.target.row == row.key
        ],
    }


def describe_missed(session: Session) -> Iterable[str]:
    """One sentence for each target that was not reached."""
    rows = {row.key: row for row in session.rows}
    for verdict in session.missed:
        row = rows[verdict.target.row]
        figure = session.table[row.key].get(verdict.target.peer)
        word = "missed" if verdict.is_met is False else "not measured"
        yield (
            f"{verdict.target.peer}: {row.title}: {_amount(row, figure) or 'no figure'}, "
            f"target {verdict.target.describe(row)}: {word}"
        )
