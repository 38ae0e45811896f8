"""The user's own modules as one archive: what a run's workers are sent, and which version it is.

What is loaded goes whole: a package with all its files, the data in it too; a single module alone.
So does what these import somewhere but have not yet, and what the spec names. Of a module that is
loaded it is the text that was loaded. The version is a digest of all that.
"""

from __future__ import annotations

import fnmatch
import io
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from cluster.local_modules import (
    OwnModule,
    Stamp,
    find_own,
    imported_names,
    is_own,
    own_modules,
    stamp_of,
    texts_without_file,
    truly_imports,
)
from cluster.needs import Needs
from dataflow.errors import TransferError

MOST_BYTES = 100_000_000
MOST_FILES = 20_000
_NO_FOLDERS = frozenset(("__pycache__", "node_modules"))
_NO_FILES = (".pyc", ".pyo")


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """The user's modules at one moment.

    Attributes:
        digest: which version it is.
        archive: the files, as a compressed tar file.
        origins: where each Python file is here, by its path there: tracebacks name that.
    """

    digest: bytes
    archive: bytes
    origins: dict[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is sent."""

    path: str
    stamp: Stamp | None
    source: bytes | None  # as it was loaded

    def read(self) -> bytes:
        return Path(self.path).read_bytes() if self.source is None else self.source


class LocalCode:
    """What the workers of a cluster are to be sent.

    Args:
        needs: what the cluster's spec says of it.
    """

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._files: dict[str, _File] = {}
        self._version: CodeVersion | None = None
        self._imports: dict[tuple[str, Stamp | None], set[str]] = {}

    def now(self) -> CodeVersion | None:
        """The version of this moment; None: there is nothing to send.

        Raises:
            TransferError: it is too large.
        """
        if not self._needs.code:
            return None
        files = self._find_files()
        if files != self._files:
            self._files, self._version = files, _pack(files) if files else None
        return self._version

    # --- which files -----------------------------------------------------------------------------

    def _find_files(self) -> dict[str, _File]:
        loaded = own_modules.now()
        found = _Found(self._needs, loaded)
        for module in loaded.values():
            if "." not in module.name:
                found.add_module(module)
        for folder in self._needs.folders:
            found.add_named(Path(folder))
        for text in texts_without_file():
            self._add_imports(found, imported_names(text), text)
        for file in found.fresh():  # and those that come with it
            self._add_imports(found, self._imports_of(file), file)
        return found.files

    def _add_imports(self, found: _Found, names: set[str], source: bytes | _File) -> None:
        """Add what a text imports that is not loaded, and is the user's."""
        for name in names:
            other = find_own(name)
            if other is None or name in found.names:
                continue
            if truly_imports(source if isinstance(source, bytes) else source.read(), name):
                found.add_module(other)

    def _imports_of(self, file: _File) -> set[str]:
        key = file.path, file.stamp
        names = self._imports.get(key)
        if names is None:
            names = self._imports[key] = imported_names(file.read())
        return names


class _Found:
    """What is to be sent.

    Attributes:
        files: by their path there.
        names: modules among them that imports find.
    """

    def __init__(self, needs: Needs, loaded: dict[str, OwnModule]) -> None:
        self.files: dict[str, _File] = {}
        self.names: set[str] = set()
        self._exclude = needs.exclude
        self._loaded = {module.path: module for module in loaded.values() if module.path}
        self._bytes = 0
        self._unread: list[_File] = []

    def fresh(self) -> Iterator[_File]:
        """Python files that were not handed out before, those that are added meanwhile too."""
        while self._unread:
            yield self._unread.pop()

    def add_module(self, module: OwnModule) -> None:
        """A top-level module, or a package with all that is in it."""
        self.names.add(module.name)
        for place in module.places:
            self._add_folder(Path(place), module.name)
        if module.path is not None and not module.places:
            name = Path(module.path).name
            is_named_so = name.partition(".")[0] == module.name
            self._add(module.path, name if is_named_so else module.name + Path(name).suffix)

    def add_named(self, path: Path) -> None:
        """What a spec names: a folder that imports begin at, a package, or a file."""
        if path.is_file():
            self._add(str(path), path.name)
        elif path.is_dir():
            self._add_folder(path, path.name if (path / "__init__.py").exists() else "")
        else:
            raise TransferError(
                f"The workers cannot be sent {path}, which the cluster's spec names: "
                "it is not there.",
                hint="Correct code in the spec.",
            )

    def _add_folder(self, folder: Path, name: str) -> None:
        for parent, folders, files in os.walk(folder):
            inside = os.path.relpath(parent, folder)
            prefix = name if inside == "." else f"{name}/{Path(inside).as_posix()}".lstrip("/")
            folders[:] = [
                each for each in folders if self._is_wanted(f"{prefix}/{each}".lstrip("/"), parent)
            ]
            for each in files:
                there = f"{prefix}/{each}".lstrip("/")
                if not each.endswith(_NO_FILES) and self._is_wanted(there, ""):
                    self._add(f"{parent}/{each}", there)

    def _is_wanted(self, there: str, parent: str) -> bool:
        """Whether a file, or a folder in ``parent``, is sent."""
        name = there.rpartition("/")[2]
        if name.startswith(".") or name in _NO_FOLDERS:
            return False
        if any(
            fnmatch.fnmatch(there, each) or fnmatch.fnmatch(name, each) for each in self._exclude
        ):
            return False
        if not parent:
            return True
        folder = f"{parent}/{name}"
        return is_own(folder + os.sep) and not os.path.exists(f"{folder}/pyvenv.cfg")  # noqa: PTH110

    def _add(self, path: str, there: str) -> None:
        if there in self.files:
            return
        module = self._loaded.get(path)
        if module is not None and module.source is not None:
            file = _File(path, module.stamp, module.source)
        else:
            stamp = stamp_of(path)
            if stamp is None or not Path(path).is_file():  # a socket, or a link to nothing
                return
            file = _File(path, stamp, None)
        self.files[there] = file
        if path.endswith(".py"):
            self._unread.append(file)
        self._bytes += file.stamp[1] if file.stamp else 0
        if self._bytes > MOST_BYTES or len(self.files) > MOST_FILES:
            self._refuse()

    def _refuse(self) -> None:
        sizes: Counter[str] = Counter()
        for there, file in self.files.items():
            sizes[there.rpartition("/")[0] or there] += file.stamp[1] if file.stamp else 0
        largest, nbytes = sizes.most_common(1)[0]
        example = next(there for there in self.files if there.startswith(largest))
        folder = str(Path(self.files[example].path).parent)
        raise TransferError(
            f"The modules that workers are to be sent take more than {MOST_BYTES / 1e6:.0f} MB, or "
            f"are more than {MOST_FILES:,} files. Most of it, {nbytes / 1e6:.0f} MB, is in "
            f"{folder}.",
            hint=f"Leave out what no worker needs: code_exclude = [{largest!r}] in the cluster's "
            "spec; or say code = false, if the workers have all modules.",
        )


# --- the archive ----------------------------------------------------------------------------------


def _pack(files: dict[str, _File]) -> CodeVersion:
    digest = blake2b(digest_size=16)
    packed = io.BytesIO()
    origins = {}
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for there, file in sorted(files.items()):
            data = file.read()
            entry = tarfile.TarInfo(there)
            entry.size = len(data)
            entry.mode = 0o755 if _is_program(file.path) else 0o644
            archive.addfile(entry, io.BytesIO(data))
            if there.endswith(".py"):
                origins[there] = file.path
            for part in (there, file.path, str(entry.mode)):
                digest.update(part.encode(errors="surrogateescape") + b"\0")
            digest.update(blake2b(data, digest_size=16).digest())
    return CodeVersion(digest.digest(), packed.getvalue(), origins)


def _is_program(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IXUSR)
    except OSError:
        return False
