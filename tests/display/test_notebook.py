"""The notebook's display: HTML that says what the bars say, in a real notebook too."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbclient import NotebookClient

from dataflow.display.notebook import board_html
from dataflow.model.states import Failed, StateCode

CELL = """
import time
from dataflow import flow, task

@task
def nap(number):
    time.sleep(0.05)
    return number

@flow(task_runner="threads")
def sleepy():
    nap.map(range(30)).wait()
    time.sleep(0.6)

sleepy()
"""


def test_the_html_has_the_counts_and_no_markup_of_the_users(story, clock):
    story.run(flow_name="<b>etl</b>").add("map", "clean<i>", 0, length=2000)
    story.ended("clean<i>", {StateCode.COMPLETED: 1000, StateCode.FAILED: 1}, node=0)
    clock.now += 10
    html = board_html(story.tally.boards[0])
    assert "1,001/2,000" in html
    assert "1 failed" in html
    assert "&lt;b&gt;etl" in html
    assert "clean<i>" not in html
    story.over(Failed())
    assert "✗" in board_html(story.tally.boards[0])


@pytest.mark.timeout(90)
def test_a_cell_that_runs_a_flow_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    shown = [
        output["data"]["text/html"]
        for output in notebook.cells[0].outputs
        if "text/html" in output.get("data", {})
    ]
    assert len(shown) == 1, json.dumps(notebook.cells[0].outputs)
    assert "30/30" in shown[0]
    assert "Completed in" in shown[0]
