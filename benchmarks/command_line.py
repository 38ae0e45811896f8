"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.peers import PEERS, choose_peers
from benchmarks.report import as_markdown, describe_missed, quote_figures, write_report
from benchmarks.session import Options, Session, run_session
from benchmarks.suites import SUITES

FOLDER = Path(__file__).parent
ALL = "all"
QUICK_ROUNDS = 3
QUICK_SCALE = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Run a suite, or all, one after another.

    Returns:
        The exit status: 1 when `--check` finds a target missed, 2 for misuse, else 0.
    """
    given = _parser().parse_args(arguments)
    suites = list(SUITES) if given.suite == ALL else [given.suite]
    sessions = [run_and_report(read_options(given, suite), given) for suite in suites]
    return 1 if given.check and any(session.missed for session in sessions) else 0


def run_and_report(options: Options, given: argparse.Namespace) -> Session:
    """Run one suite; print and write what came of it."""
    session = run_session(options, _tell)
    print(as_markdown(session))
    output = given.output or (None if given.quick else FOLDER)
    if output is not None:
        path = write_report(session, output)
        _tell(f"written: {path} and {path.with_suffix('.json').name}")
    if given.quote is not None and not quote_figures(session, given.quote):
        _tell(f"{given.quote} has no marks for the figures of {options.suite}")
    for sentence in describe_missed(session):
        _tell(sentence)
    return session


def read_options(given: argparse.Namespace, suite: str) -> Options:
    """What the arguments come to."""
    return Options(
        suite=suite,
        peers=given.peers,
        rounds=given.rounds or _rounds(SUITES[suite].ROUNDS, given.quick),
        scale=given.scale or (QUICK_SCALE if given.quick else 1.0),
        workers=given.workers or SUITES[suite].WORKERS,
        make_environments=given.make_environments,
    )


def _rounds(usual: int, is_quick: bool) -> int:
    return min(usual, QUICK_ROUNDS) if is_quick else usual


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="The same work on dataflow and on its peers, measured in one session.",
    )
    add = parser.add_argument
    add("suite", choices=[*SUITES, ALL], help="what is measured")
    add(
        "--peers",
        type=_peers,
        default=("pool", "dask"),
        metavar="NAME,...",
        help=f"who is measured beside dataflow: {', '.join(PEERS)} (default: pool,dask)",
    )
    add(
        "--make-environments",
        action="store_true",
        help="install peers that are missing, each in a virtual environment of its own",
    )
    add("--quick", action="store_true", help="fewer rounds and elements; writes no file by itself")
    add("--rounds", type=_count, help="measurements of each (default: as the suite says)")
    add("--scale", type=_factor, help="multiplies the numbers of elements")
    add("--workers", type=_count, help="workers of each peer (default: as the suite says)")
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where RESULTS.md and results/SUITE.* go (default: {FOLDER.name})",
    )
    add(
        "--quote",
        type=Path,
        metavar="FILE",
        help="put the summary between its marks in it",
    )
    add("--check", action="store_true", help="exit status 1 when a target is missed")
    return parser


def _peers(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        choose_peers(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return tuple(names)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _factor(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
