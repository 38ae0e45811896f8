"""A place of its own for tests: home, store, settings, runner, run loop; none of it stays.

What the process had before is set aside and put back: the environment, the runs that are going on,
the runners with their pools. Inside :func:`keep_pools`, and inside another harness, pools are
shared, so that many tests can have fresh stores and warm workers.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.errors import DefinitionError, SettingsError
from dataflow.settings import Settings, get_settings

if TYPE_CHECKING:
    from dataflow.records import Run

_PREFIX = "DATAFLOW_"
_KNOWN = frozenset(field.name for field in fields(Settings)) - {"home", "runner"}
_sharing = 0


@dataclass(frozen=True, slots=True)
class Harness:
    """The place that a test has.

    Attributes:
        home: its ``DATAFLOW_HOME``.
        runner: the name of the runner that everything runs on; None: each flow's own.
    """

    home: Path
    runner: str | None

    def runs(self, flow: Any = None, **conditions: Any) -> list[Run]:
        """The runs so far, newest first: of a flow (or its name), and as for ``records.runs``."""
        from dataflow import records

        if flow is not None:
            conditions["flow_name"] = getattr(flow, "name", flow)
        return records.runs(**conditions)

    def run(self, flow: Any = None) -> Run:
        """The only run so far, or the only one of a flow (subflows left out).

        Raises:
            AssertionError: there is none, or more than one.
        """
        found = self.runs(flow, **({"parent_run_id": None} if flow is None else {}))
        if len(found) != 1:
            raise AssertionError(f"There is not one run but {len(found)}: {found}")
        return found[0]


@contextlib.contextmanager
def dataflow_test_harness(
    runner: str | None = "inline", *, home: str | Path | None = None, **settings: Any
) -> Iterator[Harness]:
    """Give the code inside a home and a store of its own, and leave nothing behind.

    Args:
        runner: what everything runs on, flows too that name a runner of their own; None: flows and
            settings say.
        home: the home; None: a temporary folder, which is removed.
        **settings: fields of the settings, such as ``workers=4`` or ``log_level="DEBUG"``. Those
            that are not given have their defaults, whatever the environment says; only the progress
            display is off, and pools have two workers.

    Raises:
        RunnerNotFound: there is no runner of that name.
        SettingsError: there is no such setting, or it cannot have that value.
        DefinitionError: this is called inside a run.
    """
    _refuse_inside_a_run()
    with contextlib.ExitStack() as stack:
        place = Path(home).absolute() if home is not None else Path(stack.enter_context(_folder()))
        stack.enter_context(_environment(place, runner, settings))
        get_settings()  # a value that cannot be used is said now
        stack.enter_context(_prints())
        stack.enter_context(keep_pools())
        stack.enter_context(_only(runner))
        stack.enter_context(_run_loop())
        yield Harness(place, runner)


@contextlib.contextmanager
def keep_pools() -> Iterator[None]:
    """Let the pools that harnesses start inside this stay until its end, and share them."""
    global _sharing
    from dataflow.execution.runner_choice import runners_by_name

    before = dict(runners_by_name)
    if not _sharing:
        runners_by_name.clear()
    _sharing += 1
    try:
        yield
    finally:
        _sharing -= 1
        if not _sharing:
            for runner in runners_by_name.values():
                runner.close()
            runners_by_name.clear()
            runners_by_name.update(before)


def _refuse_inside_a_run() -> None:
    from dataflow.worker.call_context import current_call, current_scope

    if current_call.get() is not None or current_scope.get() is not None:
        raise DefinitionError(
            "dataflow_test_harness() was called inside a run.",
            hint="Enter it first, and call the flow inside it.",
        )


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="dataflow-test-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(home: Path, runner: str | None, settings: dict[str, Any]) -> Iterator[None]:
    """Set what was given; everything else of ours is unset meanwhile."""
    unknown = sorted(settings.keys() - _KNOWN)
    if unknown:
        known = ", ".join(sorted(_KNOWN))
        raise SettingsError(f"There is no setting {unknown[0]!r}.", hint=f"There are: {known}.")
    given = {"progress": "off", "workers": 2, **settings, "home": home}
    if runner is not None:
        given["runner"] = runner
    before = _ours()
    _replace({_PREFIX + name.upper(): _as_text(value) for name, value in given.items()})
    try:
        yield
    finally:
        _replace(before)


def _ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}


def _replace(variables: dict[str, str]) -> None:
    for name in _ours().keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def _prints() -> Iterator[None]:
    """Flows that log prints replace ``print`` for good; here not for longer than this."""
    before = builtins.print
    try:
        yield
    finally:
        builtins.print = before


@contextlib.contextmanager
def _only(runner: str | None) -> Iterator[None]:
    """Have everything run on one runner."""
    from dataflow.execution.runner_choice import run_everything_on
    from dataflow.plugins import check_plugin

    if runner is not None:
        check_plugin("dataflow.runners", runner)
    before = run_everything_on(runner)
    try:
        yield
    finally:
        run_everything_on(before)


@contextlib.contextmanager
def _run_loop() -> Iterator[None]:
    """Have a run loop, and so a store, of its own; what runs in it is ended with it.

    What has not been imported has nothing to be set aside: so the first harness of a process does
    not wait for all that only runs need.
    """
    scope, loop = _loaded("scope"), _loaded("loop.process_loop")
    implicit_before = scope.set_aside_implicit() if scope else None
    loop_before = loop.set_aside_loop() if loop else None
    try:
        yield
    except BaseException:
        _end_runs(cancel=True)
        raise
    else:
        _end_runs(cancel=False)
    finally:
        if loop := _loaded("loop.process_loop"):
            loop.close_run_loop()
            loop.put_back_loop(loop_before)
        if scope := _loaded("scope"):
            scope.put_back_implicit(implicit_before)
        if here := _loaded("here"):
            here.let_go_of_store()


def _end_runs(cancel: bool) -> None:
    if scope := _loaded("scope"):
        scope.end_implicit_run(cancel)


def _loaded(module: str) -> Any:
    return sys.modules.get(f"dataflow.execution.{module}")
