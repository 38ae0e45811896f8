"""What is done to hosts, wires and processes while a flow runs on them.

A trouble is a function that begins it in a scene, and returns what ends it; None: it could not
begin, since nobody was there to be troubled.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.far_scene import FarScene
from tests.chaos.flows import FILL_MEMORY
from tests.chaos.hosts import Host
from tests.chaos.victims import kill

End = Callable[[], object]
_DELAY_SECONDS, _LOSS = 0.1, 0.02
_COMING_SECONDS = 0.8


@dataclass(frozen=True)
class Trouble:
    """A kind of trouble.

    Attributes:
        begin: begins it; the second argument is which of several is chosen, from 0 to 1.
        seconds: after which it ends; None: it lasts as long as the life.
        ends_run: whether the run cannot go on; with any other it completes all the same.
        takes_host: whether a host can do no more work in this life.
        deaths: how many workers may die of it.
    """

    begin: Callable[[FarScene, float], End | None]
    seconds: float | None = None
    ends_run: bool = False
    takes_host: bool = False
    deaths: int = 1


def _nothing() -> None:
    """What was killed stays dead."""


def _kill_worker(scene: FarScene, pick: float) -> End | None:
    workers = scene.workers()
    return _nothing if workers and kill(workers[int(pick * len(workers))]) else None


def _kill_nanny(scene: FarScene, pick: float) -> End | None:
    nannies = [each for each in scene.cluster.nannies if each.goes_on]
    return _nothing if nannies and kill(nannies[int(pick * len(nannies))].process.pid) else None


def _kill_scheduler(scene: FarScene, pick: float) -> End | None:
    return _nothing if kill(scene.cluster.scheduler.process.pid) else None


def _kill_flow(scene: FarScene, pick: float) -> End | None:
    assert scene.program is not None
    return _nothing if kill(scene.program.process.pid) else None


def _cut(scene: FarScene, pick: float) -> End | None:
    host = _farm(scene, pick)
    host.cut()
    return host.join


def _cut_flow(scene: FarScene, pick: float) -> End | None:
    scene.desk.cut()
    return scene.desk.join


def _slow(scene: FarScene, pick: float) -> End | None:
    host = [scene.desk, *scene.farms][int(pick * (1 + len(scene.farms)))]
    host.slow_down(_DELAY_SECONDS, _LOSS)
    return host.speed_up


def _fill_memory(scene: FarScene, pick: float) -> End | None:
    place = scene.folder / FILL_MEMORY
    place.touch()
    return lambda: place.unlink(missing_ok=True)


def _fill_disk(scene: FarScene, pick: float) -> End | None:
    disk = scene.farms[_farm(scene, pick)]
    disk.fill()
    return disk.clear


def _stop_worker(scene: FarScene, pick: float) -> End | None:
    workers = scene.workers()
    if not workers:
        return None
    pid = workers[int(pick * len(workers))]
    return (lambda: _send(pid, signal.SIGCONT)) if _send(pid, signal.SIGSTOP) else None


def _come_and_go(scene: FarScene, pick: float) -> End | None:
    """Workers start and stop all the time, in good order or not; some always remain."""
    over = threading.Event()
    chance = random.Random(pick)

    def go_on() -> None:
        for number in itertools.count():
            if over.wait(_COMING_SECONDS):
                return
            nannies = scene.cluster.nannies
            if number % 2 == 0:
                nannies.append(scene.cluster.start_nanny(chance.choice(list(scene.farms))))
            else:
                how = chance.choice([signal.SIGTERM, signal.SIGKILL])
                _send(nannies[chance.randrange(len(nannies) - 1)].process.pid, how)

    thread = threading.Thread(target=go_on)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


TROUBLES = {
    "worker killed": Trouble(_kill_worker),
    "nanny killed": Trouble(_kill_nanny, takes_host=True),
    "scheduler killed": Trouble(_kill_scheduler, ends_run=True),
    "flow killed": Trouble(_kill_flow, ends_run=True),
    "link cut for 5 s": Trouble(_cut, seconds=5),
    "link cut": Trouble(_cut, takes_host=True),
    "flow's link cut for 5 s": Trouble(_cut_flow, seconds=5),
    "flow's link cut": Trouble(_cut_flow, ends_run=True),
    "link slow and lossy": Trouble(_slow),
    "memory filled": Trouble(_fill_memory),
    "disk filled": Trouble(_fill_disk),
    "worker stopped for 5 s": Trouble(_stop_worker, seconds=5),
    "workers come and go": Trouble(_come_and_go, deaths=20),
}
"""By name."""


def _farm(scene: FarScene, pick: float) -> Host:
    farms = list(scene.farms)
    return farms[int(pick * len(farms))]


def _send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; whether there was somebody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
