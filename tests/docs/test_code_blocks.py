"""Every code block of the README and the documentation is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cluster.spec import ClusterSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """``(page and line, language, text)`` of every block."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text[: match.start()].count("\n") + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            found.append((name, match[1], match[2]))
    return found


def test_every_block_says_its_language() -> None:
    assert {language for _, language, _ in blocks()} <= {"python", "sh", "toml"}


PYTHON = [(name, text) for name, language, text in blocks() if language == "python"]
COMMANDS = [
    (name, line)
    for name, language, text in blocks()
    if language == "sh" and not text.startswith("dataflow cluster start")
    for line in text.splitlines()
]
TABLES = [(name, text) for name, language, text in blocks() if language == "toml"]


@pytest.mark.parametrize(("name", "text"), PYTHON, ids=[name for name, _ in PYTHON])
def test_python_block_runs(name: str, text: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(text)
    done = _run([sys.executable, str(script)], tmp_path)
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"^ *print\(.*\)  # (.+)$", text, re.MULTILINE):
        assert expected in done.stdout


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[f"{n} {c}" for n, c in COMMANDS])
def test_command_runs(name: str, line: str, tmp_path: Path) -> None:
    program, *arguments = line.split()
    if program == "make":  # running it here would run this test again
        targets = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{arguments[0]}:", targets, re.MULTILINE)
        return
    assert program == "dataflow", f"{name}: teach this test how to run {program!r}"
    done = _run([sys.executable, "-m", "dataflow", *arguments], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "text"), TABLES, ids=[name for name, _ in TABLES])
def test_every_cluster_can_be_meant(name: str, text: str, tmp_path: Path) -> None:
    for cluster, table in tomllib.loads(text)["clusters"].items():
        spec = ClusterSpec(**table, name=cluster, origin=str(tmp_path / "dataflow.toml"))
        assert spec.shown()["provider"] == table["provider"]


def test_the_life_of_a_cluster(tmp_path: Path) -> None:
    """What begins with a start goes on in one folder, with the page's own files."""
    page = "docs/clusters.md:"
    found = [(language, text) for name, language, text in blocks() if name.startswith(page)]
    first = dict(reversed(found))
    (tmp_path / "dataflow.toml").write_text(first["toml"])
    (tmp_path / "etl.py").write_text(first["python"])
    *lines, last = first["sh"].splitlines()
    try:
        done = [_run([sys.executable, "-m", *line.split()], tmp_path) for line in lines]
    finally:
        ended = _run([sys.executable, "-m", *last.split()], tmp_path)
    for each in (*done, ended):
        assert each.returncode == 0, each.stderr


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATAFLOW_HOME": str(folder / "home")}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
