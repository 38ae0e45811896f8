"""One session of a suite: what was asked for, and all that came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.environments import make_environments
from benchmarks.harness import Harness, Results, Work
from benchmarks.machine import Machine, look_at_machine
from benchmarks.peers import Peer, choose_peers
from benchmarks.rows import Row, Table, Verdict, judge, make_table, read_targets
from benchmarks.suites import SUITES, Suite


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    suite: str
    peers: tuple[str, ...]
    rounds: int
    scale: float = 1.0
    workers: int = 2
    make_environments: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """The outcome, ready to be written."""

    options: Options
    title: str
    notes: tuple[str, ...]
    machine: Machine
    rows: tuple[Row, ...]
    plan: dict[Peer, list[Work]]
    results: dict[Peer, Results]
    table: Table
    verdicts: list[Verdict]

    @property
    def missed(self) -> list[Verdict]:
        """Targets that were not reached, or not measured."""
        return [verdict for verdict in self.verdicts if not verdict.is_met]


def run_session(options: Options, tell: Callable[[str], None]) -> Session:
    """Make what is missing, measure, judge.

    Raises:
        ValueError: a peer that is not known.
    """
    suite = SUITES[options.suite]
    peers = choose_peers(list(options.peers))
    reasons = make_environments(peers, tell) if options.make_environments else {}
    machine = look_at_machine()
    plan = make_plan(suite, peers, options.scale)
    results = Harness(options.workers, tell).measure(plan, options.rounds, reasons)
    table = make_table(suite.ROWS, plan, results)
    verdicts = judge(suite.ROWS, table, read_targets())
    return Session(
        options, suite.TITLE, suite.NOTES, machine, suite.ROWS, plan, results, table, verdicts
    )


def make_plan(suite: Suite, peers: tuple[Peer, ...], scale: float) -> dict[Peer, list[Work]]:
    """The work of each peer that has any in this suite."""
    works = {peer: suite.plan_work(peer, scale) for peer in peers}
    return {peer: planned for peer, planned in works.items() if planned}
