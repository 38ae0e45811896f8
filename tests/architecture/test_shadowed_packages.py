"""``runners`` and ``cluster`` are common words: a user's own package that hides ours is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.conftest import RunScript

INLINE = """
from dataflow import flow, task

@task
def one():
    return 1

@flow(task_runner="inline")
def whole():
    return one.submit().result()

if __name__ == "__main__":
    print(whole())
"""
LOCAL_CLUSTER = (
    'from dataflow.plugins import load_plugin\nload_plugin("dataflow.clusters", "local")\n'
)
PROGRAMS = {"runners": INLINE, "cluster": LOCAL_CLUSTER}


@pytest.mark.parametrize("package", ["runners", "cluster"])
@pytest.mark.parametrize("form", ["package", "module"])
def test_the_error_names_the_file_that_hides_ours(
    run_script: RunScript, tmp_path: Path, package: str, form: str
) -> None:
    culprit = tmp_path / f"{package}.py"
    if form == "package":
        culprit = tmp_path / package / "__init__.py"
        culprit.parent.mkdir()
    culprit.write_text("")
    done = run_script(PROGRAMS[package])
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()
    assert str(culprit) in "\n".join(last[-3:]), done.stderr
    assert "hidden" in done.stderr


def test_a_shadowed_cluster_does_not_matter_to_who_needs_none(
    run_script: RunScript, tmp_path: Path
) -> None:
    (tmp_path / "cluster.py").write_text("raise RuntimeError('never imported')")
    done = run_script(INLINE)
    assert done.stdout.splitlines()[-1:] == ["1"], done.stderr
