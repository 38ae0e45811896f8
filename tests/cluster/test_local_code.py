"""Which modules are the user's own, and what of them is sent."""

from __future__ import annotations

import importlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from cluster import local_code
from cluster.local_code import CodeVersion, LocalCode
from cluster.local_modules import (
    find_own,
    imported_names,
    is_own,
    own_modules,
    truly_imports,
)
from cluster.needs import Needs
from cluster.options import needs_of
from cluster.spec import ClusterSpec
from dataflow.errors import SettingsError, TransferError
from tests.runners.far_cluster import write_files

OWN = {
    "own_steps.py": "import own_late\nimport own_bundle\n",
    "own_late.py": "def f():\n    from own_later import x\n",
    "own_later.py": '"""\nfrom own_data import the rows\n"""\n',
    "own_data/rows.csv": "1\n",
    "own_bundle/__init__.py": "",
    "own_bundle/inside/deep.py": "",
    "own_bundle/inside/table.csv": "1,2\n",
    "own_bundle/__pycache__/x.pyc": "",
    "own_bundle/.hidden/secret": "",
    "own_bundle/.env": "TOKEN=1",
    "own_bundle/venv/pyvenv.cfg": "",
    "own_bundle/venv/lib/module.py": "",
    "own_spaces/part/module.py": "",
}
STEPS = {"own_steps.py", "own_late.py", "own_later.py"}
BUNDLE = {"own_bundle/__init__.py", "own_bundle/inside/deep.py", "own_bundle/inside/table.csv"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write_files(tmp_path, OWN)
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def version(needs: Needs | None = None) -> CodeVersion:
    found = LocalCode(needs or Needs()).now()
    assert found is not None
    return found


def texts(found: CodeVersion) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(found.archive), mode="r:gz") as archive:
        return {
            name: archive.extractfile(name).read().decode()  # type: ignore[union-attr]
            for name in archive.getnames()
            if name.startswith("own_")
        }


def test_what_was_installed_is_not_the_users_own() -> None:
    own = own_modules.now()
    for name in ("json", "pytest", "dataflow", "cluster.local_code", "numpy", "__main__"):
        assert name not in own
    assert __name__ in own
    assert not is_own(pytest.__file__)
    assert not is_own(io.__file__)
    assert is_own(__file__)


def test_a_module_brings_what_it_imports(folder: Path) -> None:
    """Also what it imports in a function; not what only a docstring speaks of."""
    importlib.import_module("own_steps")
    assert set(texts(version())) == STEPS | BUNDLE


def test_a_package_without_a_file_of_its_own(folder: Path) -> None:
    importlib.import_module("own_spaces.part.module")
    assert set(texts(version())) == {"own_spaces/part/module.py"}


def test_what_is_left_out(folder: Path) -> None:
    importlib.import_module("own_steps")
    assert set(texts(version(Needs(exclude=("*.csv",))))) == STEPS | BUNDLE - {
        "own_bundle/inside/table.csv"
    }
    found = texts(version(Needs(exclude=("own_bundle/inside",))))
    assert set(found) == STEPS | {"own_bundle/__init__.py"}
    assert LocalCode(Needs(code=False)).now() is None


def test_what_the_spec_names(folder: Path) -> None:
    named = (str(folder / "own_spaces"), str(folder / "own_bundle"), str(folder / "own_late.py"))
    with tarfile.open(fileobj=io.BytesIO(version(Needs(folders=named)).archive)) as archive:
        names = set(archive.getnames())
    assert {"part/module.py", "own_bundle/inside/deep.py", "own_late.py"} <= names


def test_the_text_that_was_loaded_is_sent(folder: Path) -> None:
    """Of data it is what is there now."""
    importlib.import_module("own_steps")
    code = LocalCode(Needs())
    first = code.now()
    assert code.now() is first
    write_files(folder, {"own_steps.py": "VALUE = 2\n", "own_bundle/inside/table.csv": "3,4,5\n"})
    second = code.now()
    assert first is not None
    assert second is not None
    assert second.digest != first.digest
    assert texts(second)["own_steps.py"] == OWN["own_steps.py"]
    assert texts(second)["own_bundle/inside/table.csv"] == "3,4,5\n"
    importlib.reload(sys.modules["own_steps"])
    assert texts(version())["own_steps.py"] == "VALUE = 2\n"


def test_the_same_files_are_the_same_version(folder: Path) -> None:
    importlib.import_module("own_steps")
    assert version().digest == version().digest
    assert version().origins["own_bundle/inside/deep.py"] == str(
        folder / "own_bundle/inside/deep.py"
    )


def test_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("own_steps")
    rest = sum(len(text) for text in texts(version()).values())
    monkeypatch.setattr(local_code, "MOST_BYTES", 10_000_000)
    (folder / "own_bundle/inside/huge.bin").write_bytes(b"x" * 20_000_000)
    with pytest.raises(TransferError, match="more than 10 MB") as caught:
        version()
    assert rest < 1000
    assert str(folder / "own_bundle/inside") in caught.value.message
    assert "code_exclude = ['own_bundle/inside']" in str(caught.value.hint)


def test_imports_in_a_text() -> None:
    source = (
        b"import a.b as c, d\nfrom e.f import g\n  from .h import i\nx = 1; import j\nimport k;"
    )
    assert imported_names(source) == {"a", "d", "e", "k"}
    assert truly_imports(source, "e")
    assert not truly_imports(b'"""\nimport e\n"""', "e")
    assert truly_imports(b"!ls\nimport e", "e")


def test_modules_that_are_not_loaded(folder: Path) -> None:
    assert find_own("own_bundle") is not None
    assert find_own("own_spaces") is not None
    for name in ("own_nothing", "json", "wheel", "pytest", "dataflow"):
        assert find_own(name) is None


def test_specs(tmp_path: Path) -> None:
    spec = ClusterSpec("address", address="h:1", code=["src"], origin=str(tmp_path / "x.toml"))
    assert needs_of(spec.options) == Needs(folders=(str(tmp_path / "src"),))
    written = json.dumps(asdict(needs_of(spec.options)))
    assert Needs.read(json.loads(written)) == needs_of(spec.options)
    assert needs_of(ClusterSpec("local", code=False).options) == Needs(code=False)
    assert needs_of(ClusterSpec("local", code_exclude=["*.csv"]).options).exclude == ("*.csv",)
    with pytest.raises(SettingsError, match="code"):
        ClusterSpec("local", code="src")
