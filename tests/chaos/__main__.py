"""``python -m tests.chaos``: see the package."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.chaos.rounds import plan_round, play
from tests.chaos.victims import KINDS


def main() -> int:
    """Kill so many processes; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many processes are killed")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is random")
    parser.add_argument("--runner", choices=sorted(KINDS), help="only this one (default: in turns)")
    given = parser.parse_args()
    runners = [given.runner] if given.runner else list(KINDS)
    killed: Counter[str] = Counter()
    announced = number = broken = 0
    print(f"seed {given.seed}", flush=True)
    while killed.total() < given.kills:
        runner = runners[number % len(runners)]
        played = play(plan_round(runner, f"{given.seed}/{number}", given.kills - killed.total()))
        number += 1
        killed.update(played.killed)
        announced += played.announced
        broken += bool(played.broken)
        what = ", ".join(played.killed) or "nobody, as it was too quick"
        print(
            f"{number:4} {runner}: killed {what}; {played.announced} states announced, "
            f"{played.seconds:.1f} s",
            flush=True,
        )
        for each in played.broken[:10]:
            print(f"     BROKEN: {each}", flush=True)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(killed.items()))
    print(f"{killed.total()} killed ({counts}) in {number} rounds; {announced} states announced; "
          f"{broken} rounds broken")  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
