"""``python -m tests.chaos --cluster``: rounds on hosts in network namespaces."""

from __future__ import annotations

import itertools
import shlex
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.far_plans import plan_far_round
from tests.chaos.far_rounds import FarOutcome, play
from tests.chaos.hosts import why_no_hosts

_MOST_SHOWN = 10


def trouble_hosts(seed: int, most: int, number: int | None, only: str | None, keep: bool) -> int:
    """Play rounds until there was so much trouble; 1 if a promise was broken, 2 if it cannot be.

    Args:
        seed: of what is random.
        most: how many troubles.
        number: only this round.
        only: only this kind of trouble.
        keep: keep the folders of broken rounds.
    """
    reason = why_no_hosts()
    if reason is not None:
        print(f"There can be no hosts here: {reason}.")
        return 2
    outcomes: list[FarOutcome] = []
    for each in itertools.count() if number is None else [number]:
        outcomes.append(_play(seed, each, only, keep))
        if sum(len(outcome.troubles) for outcome in outcomes) >= most:
            break
    _tell_counts(outcomes)
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def _play(seed: int, number: int, only: str | None, keep: bool) -> FarOutcome:
    folder = Path(tempfile.mkdtemp(prefix="dataflow-chaos-"))
    outcome = play(plan_far_round(seed, number, only), folder)
    print(
        f"{number:4} {', '.join(outcome.troubles) or 'no trouble, as it was too quick'}; "
        f"{outcome.lives} lives, {outcome.reused} results reused, {len(outcome.deaths)} deaths "
        f"told, {outcome.announced} states announced, {outcome.seconds:.1f} s",
        flush=True,
    )
    for each in outcome.broken[:_MOST_SHOWN]:
        print(f"     BROKEN: {each}", flush=True)
    if outcome.broken:
        more = f"; see {folder}" if keep else ""
        which = f" --trouble {shlex.quote(only)}" if only else ""
        print(
            f"     {len(outcome.broken)} in all{more}; again: python -m tests.chaos --cluster "
            f"--seed {seed} --round {number}{which} --keep",
            flush=True,
        )
    if not (outcome.broken and keep):
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _tell_counts(outcomes: list[FarOutcome]) -> None:
    troubles = Counter(name for each in outcomes for name in each.troubles)
    print(f"{troubles.total()} troubles in {len(outcomes)} rounds")
    for name, count in troubles.most_common():
        print(f"  {count:4} {name}")
    lives, broken = (
        sum(each.lives for each in outcomes),
        sum(bool(each.broken) for each in outcomes),
    )
    print(
        f"  {lives - len(outcomes)} resumes on another cluster, "
        f"{sum(each.reused for each in outcomes)} results reused, "
        f"{sum(len(each.deaths) for each in outcomes)} deaths told, "
        f"{sum(each.announced for each in outcomes)} states announced"
    )
    print(f"  the longest process took {max(each.slowest for each in outcomes):.0f} s")
    print(f"  {broken} rounds broken", flush=True)
