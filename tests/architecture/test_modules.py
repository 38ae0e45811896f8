"""Each module says what it is for and is named after what it holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["dataflow", "runners", "cluster", "benchmarks"]
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
DRAWERS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
MAX_DOCSTRING_LINES = 10
PICTURES = {
    ROOT / "dataflow" / "__init__.py",
    ROOT / "dataflow" / "errors.py",
}  # an example, a tree


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_has_a_short_docstring(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()) <= MAX_DOCSTRING_LINES or path in PICTURES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_no_drawer(path: Path) -> None:
    assert not DRAWERS & {path.stem, *path.relative_to(ROOT).parent.parts}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {path.parent for path in MODULES if path.is_relative_to(ROOT / package)}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
