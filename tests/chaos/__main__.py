"""``python -m tests.chaos``: see the package."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import tests.chaos
from tests.chaos.far_command import trouble_hosts
from tests.chaos.plans import plan_round
from tests.chaos.rounds import Outcome, describe, phases_of, play
from tests.chaos.troubles import TROUBLES
from tests.chaos.victims import KINDS

_MOST_SHOWN = 10


def main() -> int:
    """Kill so many processes; 1 if a promise was broken."""
    given = _parser().parse_args()
    print(f"seed {given.seed}", flush=True)
    if given.cluster:
        return trouble_hosts(given.seed, given.kills, given.round, given.trouble, given.keep)
    outcomes: list[Outcome] = []
    with _stores(given.store) as fresh_store:
        for runner, number in _rounds(given):
            outcome = _play(given, runner, number, fresh_store())
            outcomes.append(outcome)
            if sum(len(each.deaths) for each in outcomes) >= given.kills:
                break
    _tell_counts(outcomes)
    return 1 if any(each.broken for each in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=tests.chaos.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=20, help="how many processes are killed")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is random")
    parser.add_argument("--runner", choices=sorted(KINDS), help="only this one (default: in turns)")
    parser.add_argument("--round", type=int, help="only this round of each runner")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="a cluster on hosts in network namespaces instead: --kills counts all its troubles",
    )
    parser.add_argument("--trouble", choices=sorted(TROUBLES), help="only these, with --cluster")
    parser.add_argument("--keep", action="store_true", help="keep the folders of broken rounds")
    return parser


def _rounds(given: argparse.Namespace) -> Iterator[tuple[str, int]]:
    runners = [given.runner] if given.runner else list(KINDS)
    numbers = itertools.count() if given.round is None else [given.round]
    return ((runner, number) for number in numbers for runner in runners)


def _play(given: argparse.Namespace, runner: str, number: int, store: str | None) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="dataflow-chaos-"))
    outcome = play(plan_round(given.seed, runner, number), folder, store)
    who = ", ".join(describe(outcome.deaths)) or "nobody, as it was too quick"
    print(
        f"{number:4} {runner}: killed {who}; {outcome.resumes} resumes, {outcome.reused} results "
        f"reused, {outcome.announced} states announced, {outcome.seconds:.1f} s",
        flush=True,
    )
    for each in outcome.broken[:_MOST_SHOWN]:
        print(f"     BROKEN: {each}", flush=True)
    if outcome.broken:
        more = f"; see {folder}" if given.keep else ""
        store_too = f" --store {given.store}" if store is not None else ""
        print(
            f"     {len(outcome.broken)} in all{more}; again: python -m tests.chaos "
            f"--seed {given.seed} --runner {runner} --round {number}{store_too} --keep",
            flush=True,
        )
    if not (outcome.broken and given.keep):
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


@contextlib.contextmanager
def _stores(kind: str) -> Iterator[Callable[[], str | None]]:
    """Gives the URL of a fresh store for each round; None: it is a file of the round's folder."""
    if kind == "sqlite":
        yield lambda: None
        return
    from tests.store.postgres_server import running_server

    with running_server(f"chaos{time.time_ns()}") as server:
        yield server.fresh_url


def _tell_counts(outcomes: list[Outcome]) -> None:
    deaths = [death for each in outcomes for death in each.deaths]
    print(f"{len(deaths)} killed in {len(outcomes)} rounds")
    print(f"  who: {_listed(Counter(each.victim for each in deaths))}")
    print(f"  when: {_listed(phases_of(deaths))}")
    print(
        f"  {sum(each.resumes for each in outcomes)} resumes, "
        f"{sum(each.restarts for each in outcomes)} runs begun anew (nobody had recorded them), "
        f"{sum(each.reused for each in outcomes)} results reused, "
        f"{sum(each.again for each in outcomes)} elements called again, "
        f"{sum(each.announced for each in outcomes)} states announced"
    )
    print(f"  {sum(bool(each.broken) for each in outcomes)} rounds broken", flush=True)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nobody"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    sys.exit(main())
