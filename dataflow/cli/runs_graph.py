"""``dataflow runs graph``: the graph of a run."""

from __future__ import annotations

import click

from dataflow.cli.output import echo_json
from dataflow.display.quantities import count_text
from dataflow.graph.mermaid import Vertex, draw
from dataflow.records import NodeSummary, get_run


@click.command("graph")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the boxes and arrows as JSON.")
def show_graph(run: str, as_json: bool) -> None:
    """Print the graph of a run as Mermaid text; a map is one box."""
    nodes = get_run(run).nodes()
    if as_json:
        echo_json([_as_dict(node) for node in nodes])
        return
    click.echo(draw(map(_vertex, nodes)).mermaid)


def _vertex(node: NodeSummary) -> Vertex:
    return Vertex(
        number=node.node,
        key=node.key,
        task=node.task_name,
        name=node.name,
        kind=node.kind,
        length=node.length if node.kind == "map" else 1,
        data=node.upstream,
        order=node.order,
        note=_note(node),
    )


def _note(node: NodeSummary) -> str:
    """What did not go well."""
    bad = {code.state_name: n for code, n in node.codes.items() if code.state_name != "Completed"}
    return ", ".join(f"{count_text(count)} {name}" for name, count in bad.items())


def _as_dict(node: NodeSummary) -> dict[str, object]:
    return {
        "node": node.node,
        "key": node.key,
        "name": node.name,
        "task": node.task_name,
        "kind": node.kind,
        "length": node.length,
        "upstream": list(node.upstream),
        "order": list(node.order),
    }
