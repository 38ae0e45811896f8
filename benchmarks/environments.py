"""The interpreters that peers run in: a virtual environment each, made when asked for.

They live in ``.environments`` beside this file, which git ignores. A peer without one is looked for
in the interpreter of this command, so that the pool and Dask, which dataflow needs anyway, can
always be measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import Peer

FOLDER = Path(__file__).with_name(".environments")
INSTALL_SECONDS = 900
_MADE = "requirements.txt"


def interpreter(peer: Peer) -> Path:
    """The Python of the peer's environment, or else the one of this command."""
    own = FOLDER / peer.environment / "bin" / "python"
    return own if peer.environment and own.exists() else Path(sys.executable)


def make_environments(peers: tuple[Peer, ...], tell: Callable[[str], None]) -> dict[str, str]:
    """Make what is missing.

    Returns:
        Why an environment could not be made, by the name of the environment.
    """
    failures = {}
    for peer in {peer.environment: peer for peer in peers if peer.environment}.values():
        if _is_made(peer):
            continue
        tell(f"making the environment of {peer.environment} ...")
        failure = _make(peer)
        if failure:
            failures[peer.environment] = failure
            tell(failure)
    return failures


def _is_made(peer: Peer) -> bool:
    note = FOLDER / peer.environment / _MADE
    return note.exists() and note.read_text().split() == list(peer.requirements)


def _make(peer: Peer) -> str | None:
    folder = FOLDER / peer.environment
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True, with_pip=bool(peer.requirements))
    failure = _install(folder, peer) if peer.requirements else None
    if failure:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        (folder / _MADE).write_text("\n".join(peer.requirements) + "\n")
    return failure


def _install(folder: Path, peer: Peer) -> str | None:
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", *peer.requirements]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip did not install it within {INSTALL_SECONDS} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return f"pip could not install it: {lines[0] if lines else done.stderr.strip()[-200:]}"
