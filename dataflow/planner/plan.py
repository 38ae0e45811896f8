"""What a run would do: shown by ``flow.plan()`` before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MOST_LINES = 40


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Nodes that are carried out together: a map, maps that are fused, the calls of one task.

    Attributes:
        names: the maps (more than one: fused), or the task whose single calls these are.
        kind: ``"map"``, ``"task"``, ``"call"`` (in place) or ``"flow"``.
        nodes: how many nodes.
        elements: how many elements (of each map) or calls there are; None: known at run time.
        level: how many stages come before it, at least.
        priority: steps on the longest path behind it; of what can begin, the highest goes first.
        batches: in how many batches; 0 where none is planned.
        sizes: the smallest and the largest number of elements or calls in one.
        seconds: how long an element (through all maps) or a call took in earlier runs; None: it
            was never measured.
        why: what decided about it.
    """

    names: tuple[str, ...]
    kind: str
    nodes: int
    elements: int | None
    level: int
    priority: int
    batches: int
    sizes: tuple[int, int]
    seconds: float | None
    why: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name, and how many there are."""
        name = " + ".join(self.names)
        if self.kind == "map":
            return f"{name} × {'?' if self.elements is None else f'{self.elements:,}'}"
        return name if self.elements == 1 else f"{name}: {self.elements:,} calls"


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in the order in which they can begin, and how long all of it should take.

    Attributes:
        flow_name: the flow.
        runner: the name of its runner.
        slots: how many batches run at once.
        window: the most batches that are under way at once, those that wait at workers included.
        nodes: how many nodes the graph has.
        stages: what is carried out.
        critical_path: the nodes of the longest path, or of its beginning and end.
        steps: how many nodes are on it.
        seconds: the estimated makespan, in seconds; None: it cannot be estimated.
        least_seconds: no run can take less: the longest path, or all work on all slots.
        unknown: why ``seconds`` is None, or what it leaves out.
    """

    flow_name: str
    runner: str
    slots: int
    window: int
    nodes: int
    stages: tuple[PlannedStage, ...]
    critical_path: tuple[str, ...]
    steps: int
    seconds: float | None
    least_seconds: float | None
    unknown: tuple[str, ...]

    @property
    def elements(self) -> int:
        """All task runs whose number is known."""
        return sum((stage.elements or 0) * len(stage.names) for stage in self.stages)

    @property
    def batches(self) -> int:
        """In how many batches they are carried out."""
        return sum(stage.batches for stage in self.stages)

    def __str__(self) -> str:
        slots = f"{self.slots} slots" if self.slots != 1 else "1 slot"
        lines = [
            f"Plan of {self.flow_name!r} on {self.runner} ({slots}, up to {self.window} batches "
            f"under way): {self.nodes:,} nodes, {self.elements:,} task runs",
            "",
        ]
        shown = self.stages[:_MOST_LINES]
        width = min(max((len(stage.title) for stage in shown), default=0), 50)
        for stage in shown:
            lines.append(f"{stage.level:>4}  {stage.title:<{width}}  {_batches_text(stage)}")
            lines += [f"{'':>{width + 6}}  {reason}" for reason in stage.why]
        if len(self.stages) > _MOST_LINES:
            lines.append(f"      ... and {len(self.stages) - _MOST_LINES:,} more")
        lines += ["", f"longest path: {' → '.join(self.critical_path)} ({self.steps:,} steps)"]
        lines.append(self._estimate_text())
        lines += [f"  {reason}" for reason in self.unknown]
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, _is_cycle: bool) -> None:
        """What a cell of a notebook shows that ends with it."""
        printer.text(str(self))

    def _estimate_text(self) -> str:
        if self.seconds is None:
            return "estimated makespan: unknown"
        least = (
            "" if self.least_seconds is None else f", at least {seconds_text(self.least_seconds)}"
        )
        return f"estimated makespan: {seconds_text(self.seconds)}{least}, as in earlier runs"


def _batches_text(stage: PlannedStage) -> str:
    if not stage.batches:
        return {"call": "in place", "flow": "a run of its own"}.get(
            stage.kind, "planned at run time"
        )
    least, most = stage.sizes
    sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    batches = "1 batch" if stage.batches == 1 else f"{stage.batches:,} batches"
    each = "never measured" if stage.seconds is None else f"{seconds_text(stage.seconds)} each"
    return f"{batches} of {sizes}, {each}, priority {stage.priority:,}"


def seconds_text(seconds: float) -> str:
    """A duration, as short as it can be said."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs"
