"""A graph as a picture: Mermaid text, and SVG where graphviz is installed.

A map is one box with its count. Where there are many single calls, those of one task are one box as
well, so that a graph of a hundred thousand nodes can still be looked at.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dataflow.errors import MissingExtra
from dataflow.graph.flow_graph import FlowGraph

MOST_BOXES = 100


@dataclass(slots=True)
class Box:
    """One box of a drawing: a node, or all calls of one task."""

    key: str
    title: str
    kind: str
    count: int | None = 1
    note: str = ""


@dataclass(slots=True)
class Drawing:
    """Boxes and arrows; notebooks show it, ``str()`` gives Mermaid text."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[int, int, bool]] = field(default_factory=list)

    @property
    def mermaid(self) -> str:
        """The drawing as Mermaid text."""
        lines = ["flowchart TD"]
        for number, box in enumerate(self.boxes):
            lines.append(f"    n{number}{_shape(box)}")
        for start, stop, is_data in self.arrows:
            lines.append(f"    n{start} {'-->' if is_data else '-.->'} n{stop}")
        return "\n".join(lines)

    @property
    def svg(self) -> str:
        """The drawing as SVG.

        Raises:
            MissingExtra: graphviz is not installed.
        """
        if shutil.which("dot") is None:
            raise MissingExtra(
                "Drawing SVG needs the program 'dot'.",
                hint="Install graphviz with your system's packages; .mermaid works without it.",
            )
        done = subprocess.run(
            ["dot", "-Tsvg"], input=self._dot(), capture_output=True, text=True, check=True
        )
        return done.stdout

    def _dot(self) -> str:
        lines = ["digraph {", 'node [shape=box style=rounded fontname="sans-serif"];']
        for number, box in enumerate(self.boxes):
            label = _label(box).replace('"', "'").replace("<br/>", "\\n")
            lines.append(f'n{number} [label="{label}" shape={_DOT_SHAPES.get(box.kind, "box")}];')
        for start, stop, is_data in self.arrows:
            lines.append(f"n{start} -> n{stop}{'' if is_data else ' [style=dashed]'};")
        return "\n".join([*lines, "}"])

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        bundle = {"text/plain": self.mermaid, "text/vnd.mermaid": self.mermaid}
        if shutil.which("dot") is not None:
            bundle["image/svg+xml"] = self.svg
        return bundle

    def __str__(self) -> str:
        return self.mermaid


_DOT_SHAPES = {"map": "box3d", "flow": "component", "call": "box"}


def _label(box: Box) -> str:
    title = box.title.replace('"', "#quot;")
    if box.count is None:
        title += "<br/>× ?"
    elif box.count != 1 or box.kind == "map":
        title += f"<br/>× {box.count:,}"
    return title + (f"<br/>{box.note}" if box.note else "")


def _shape(box: Box) -> str:
    left, right = {"map": ("[[", "]]"), "flow": ("{{", "}}"), "call": ("[", "]")}.get(
        box.kind, ("(", ")")
    )
    return f'{left}"{_label(box)}"{right}'


@dataclass(frozen=True, slots=True)
class Vertex:
    """A node to be drawn, wherever it comes from: a graph, or the store."""

    number: int
    key: str
    task: str
    name: str
    kind: str
    length: int | None
    data: Sequence[int]
    order: Sequence[int]
    note: str = ""


def draw_graph(graph: FlowGraph) -> Drawing:
    """Draw a traced graph."""
    sources: dict[int, tuple[list[int], list[int]]] = {}
    for source, node, kind in graph.edges():
        if source.graph is graph:
            sources.setdefault(node.id, ([], []))[kind == "order"].append(source.id)
    return draw(
        Vertex(
            node.id,
            node.key,
            node.task.name,
            node.name,
            node.kind,
            node.length if node.kind == "map" else 1,
            *sources.get(node.id, ((), ())),
        )
        for node in graph
    )


def draw(vertices: Iterable[Vertex], most: int = MOST_BOXES) -> Drawing:
    """Draw nodes, each on its own up to ``most`` of them, beyond that together by task."""
    vertices = list(vertices)
    grouped = len(vertices) > most
    drawing = Drawing()
    box_of: dict[int, int] = {}
    by_key: dict[str, int] = {}
    for vertex in vertices:
        together = grouped and vertex.kind != "map"
        key = f"{vertex.kind}:{vertex.task}" if together else vertex.key
        number = by_key.get(key)
        if number is None:
            number = by_key[key] = len(drawing.boxes)
            title = vertex.task if together or vertex.kind == "map" else vertex.name
            drawing.boxes.append(Box(key, title, vertex.kind, vertex.length, vertex.note))
        else:
            box = drawing.boxes[number]
            box.count = (box.count or 0) + 1
        box_of[vertex.number] = number
    arrows = dict.fromkeys(
        (box_of[source], box_of[vertex.number], is_data)
        for vertex in vertices
        for sources, is_data in ((vertex.data, True), (vertex.order, False))
        for source in sources
        if source in box_of and box_of[source] != box_of[vertex.number]
    )
    drawing.arrows = list(arrows)
    return drawing
