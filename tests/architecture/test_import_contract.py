"""Who may import whom is kept by import-linter, with no ignored edge."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path


def test_contracts_are_kept(repository: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_edge_is_ignored(repository: Path) -> None:
    configuration = tomllib.loads((repository / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    assert contracts
    escapes = {"ignore_imports", "exhaustive_ignores", "skip_descendants"}
    assert not [contract["name"] for contract in contracts if escapes & set(contract)]
