"""Several versions of the same modules in one process."""

from __future__ import annotations

import builtins
import importlib
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from textwrap import dedent
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dataflow.worker import run_logs
from runners.dask import code_worlds
from runners.dask.code_worlds import World, behind, context_of_world, entered, native
from tests.runners.far_cluster import write_files
from tests.runners.quick_switches import quick_switches

FILES = {
    "w_top.py": """
        from __future__ import annotations

        import dataclasses
        import importlib
        import pickle
        import typing

        import w_pack.sub as sub
        from w_pack import *
        from w_pack import other

        @dataclasses.dataclass
        class Point:
            x: int
            y: Point | None = None

        def seen():
            import w_pack.lazy
            from w_pack import lazy2

            again = pickle.loads(pickle.dumps(Point(1)))
            assert type(again) is Point
            assert typing.get_type_hints(Point)["x"] is int
            by_name = importlib.import_module("w_pack.lazy3")
            modules = (sub, other, w_pack.lazy, lazy2, by_name, lazy4)
            return {VALUE, *(module.VALUE for module in modules)}

        def fail():
            raise ValueError(VALUE)

        def set_value(value):
            import sys
            sys.modules[__name__].VALUE = value
        """,
    "w_pack/__init__.py": '__all__ = ["lazy4"]\nfrom . import other\n',
    **{f"w_pack/{name}.py": "" for name in ("sub", "other", "lazy", "lazy2", "lazy3", "lazy4")},
    "w_broken.py": "import w_nothing\n",
}


def write_version(folder: Path, value: int) -> Path:
    """One version: each of its modules has its number, and some import each other in a ring."""
    plain = ("w_pack/__init__.py", "w_broken.py")
    texts = {name: FILES[name] for name in plain}
    for name in FILES.keys() - plain:
        more = "" if name == "w_top.py" else "import w_top\n"
        texts[name] = f"{dedent(FILES[name])}\nVALUE = {value}\n{more}"
    return write_files(folder, texts)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[int], World]]:
    """Makes worlds; nothing of them is left."""
    worlds: list[World] = []

    def make_world(value: int) -> World:
        folder = write_version(tmp_path / f"version{value}", value)
        origins = {"w_top.py": f"/home/of/{value}/w_top.py"}
        worlds.append(World(folder, origins))
        return worlds[-1]

    yield make_world
    for world in worlds:
        if world in code_worlds._worlds:
            world.forget()
    for name in [name for name in native.modules if name.startswith("w_")]:
        native.take_back(name)
    for name in [name for name in sys.modules if name.startswith("w_")]:
        del sys.modules[name]


def seen_in(world: World) -> Any:
    """A function of a world, as a batch gets it."""
    with entered(world):
        return pickle.loads(b"cw_top\nseen\n.")


def test_one_world(make: Callable[[int], World]) -> None:
    world = make(1)
    with entered(world):
        import w_top  # type: ignore[import-not-found]

        assert w_top.seen() == {1}
        assert w_top is world.modules["w_top"]
    assert w_top.VALUE == 1  # nobody else has it


def test_each_world_has_its_own(make: Callable[[int], World]) -> None:
    worlds = {value: make(value) for value in (1, 2, 3)}
    functions = {value: seen_in(world) for value, world in worlds.items()}
    for value in (1, 2, 3, 2, 1):
        with entered(worlds[value]):
            assert functions[value]() == {value}
            point = pickle.loads(pickle.dumps(worlds[value].modules["w_top"].Point(1)))
            assert type(point) is worlds[value].modules["w_top"].Point
            assert value == importlib.import_module("w_top").VALUE
            assert vars(importlib.import_module("w_top"))["VALUE"] == value
            assert "VALUE" in dir(importlib.import_module("w_top"))


def test_threads_of_a_world_know_where_they_are(make: Callable[[int], World]) -> None:
    """Nobody tells them: they have an empty context."""
    functions = [seen_in(make(value)) for value in (1, 2)]
    found: list[Any] = []
    for function in functions * 2:
        thread = threading.Thread(target=lambda function=function: found.append(function()))
        thread.start()
        thread.join()
    assert found == [{1}, {2}, {1}, {2}]


def test_many_threads_load_at_once(make: Callable[[int], World]) -> None:
    worlds = [make(value) for value in (1, 2)] * 8
    begin = threading.Barrier(len(worlds))
    found: list[Any] = []

    def load(world: World) -> None:
        begin.wait(60)
        with entered(world):
            found.append(importlib.import_module("w_top").seen())

    threads = [threading.Thread(target=load, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(sorted, found)) == [[1]] * 8 + [[2]] * 8


GATED = "import w_gate\nw_gate.begun.set()\nw_gate.go_on.wait(60)\n"
RING = {
    "w_ring/__init__.py": "from w_ring import one, two\nfrom .deep import inner\nDONE = True\n",
    "w_ring/one.py": "import w_ring.two as two\n\ndef sum():\n    return VALUE + two.VALUE\n",
    "w_ring/two.py": "from w_ring.deep.inner import last\n",
    "w_ring/three.py": "import importlib\nimportlib.import_module('w_ring.one')\n",
    "w_ring/deep/__init__.py": "DONE = True\n",
    "w_ring/deep/inner.py": "import w_first\n\ndef last():\n    return w_first.VALUE\n",
    "w_parts/alone.py": "import w_ring\n",
    "w_first.py": "import w_ring.deep\n",
}
RING_NAMES = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in RING]


class Gate(ModuleType):
    """Where a module of a world waits while it is being loaded, and what others found meanwhile."""

    def __init__(self) -> None:
        super().__init__("w_gate")
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.found: list[Any] = []

    def start(self, world: World, load: Callable[[], Any]) -> threading.Thread:
        def run() -> None:
            with entered(world):
                self.found.append(load())

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate()
    monkeypatch.setitem(sys.modules, "w_gate", found)
    return found


@pytest.mark.parametrize(
    "load",
    [
        lambda: importlib.import_module("w_gated").DONE,
        lambda: pickle.loads(b"cw_gated\nDONE\n."),
        lambda: sys.modules["w_gated"].DONE,
    ],
    ids=["by name", "pickle", "sys.modules"],
)
def test_a_module_is_whole_for_other_threads(
    make: Callable[[int], World], tmp_path: Path, gate: Gate, load: Callable[[], Any]
) -> None:
    write_files(tmp_path / "version1", {"w_gated.py": f"{GATED}DONE = 1\n"})
    world = make(1)
    threads = [gate.start(world, lambda: world.load("w_gated").DONE)]
    assert gate.begun.wait(60)
    threads.append(gate.start(world, load))
    threads[1].join(0.1)  # it may take what there is, if it can
    gate.go_on.set()
    for thread in threads:
        thread.join(60)
    assert gate.found == [1, 1]


def test_a_package_and_its_part_at_once(make: Callable[[int], World], tmp_path: Path) -> None:
    """The one imports the other in either direction."""
    packages = [f"w_pair{number}" for number in range(50)]
    for package in packages:
        files = {"__init__": "from . import part\n", "part": "VALUE = 1\n"}
        write_files(
            tmp_path / "version1", {f"{package}/{name}.py": text for name, text in files.items()}
        )
    world = make(1)
    begin = threading.Barrier(2)
    found: list[Any] = []

    def load(ending: str) -> None:
        for package in packages:
            begin.wait(60)
            found.append(world.load(f"{package}{ending}").__name__)

    threads = [threading.Thread(target=load, args=(ending,)) for ending in ("", ".part")]
    with quick_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == sorted([*packages, *(f"{package}.part" for package in packages)])


def test_a_module_that_waits_for_a_thread_that_imports(
    make: Callable[[int], World], tmp_path: Path
) -> None:
    text = """
        import threading

        found = []

        def load():
            import w_pack.lazy
            found.append(w_pack.lazy.VALUE)

        thread = threading.Thread(target=load)
        thread.start()
        thread.join(60)
        """
    write_files(tmp_path / "version1", {"w_waits.py": text})
    with entered(make(1)):
        assert importlib.import_module("w_waits").found == [1]


@pytest.mark.parametrize("seed", range(5))
def test_threads_load_a_ring_from_every_side(
    make: Callable[[int], World], tmp_path: Path, seed: int
) -> None:
    """Several versions of it at once, and they switch as often as they can."""
    random = Random(seed)
    worlds = {}
    for value in (1, 2, 3):
        texts = {name: f"{text}VALUE = {value}\n" for name, text in RING.items()}
        write_files(tmp_path / f"version{value}", texts)
        worlds[value] = make(value)
    jobs = [(value, random.choice(RING_NAMES)) for value in worlds for _ in range(6)]
    random.shuffle(jobs)
    begin = threading.Barrier(len(jobs))
    found: list[Any] = []

    def load(value: int, name: str) -> None:
        begin.wait(60)
        with entered(worlds[value]):
            found.append((value, pickle.loads(f"c{name}\nVALUE\n.".encode())))

    threads = [threading.Thread(target=load, args=job) for job in jobs]
    with quick_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == sorted((value, value) for value, _ in jobs)
    for value, world in worlds.items():
        with entered(world):
            assert importlib.import_module("w_ring.one").sum() == 2 * value


def test_what_the_process_has_stays_as_it_is(
    make: Callable[[int], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_version(tmp_path / "mine", 0))
    mine = importlib.import_module("w_top")
    before = dict(vars(mine))
    world = make(1)
    assert seen_in(world)() == {1}
    with entered(native):
        assert importlib.import_module("w_top").seen() == {0}
    assert sys.modules["w_top"] is mine
    assert mine.seen() == {0}
    assert vars(mine) == before
    with entered(world):
        world.modules["w_top"].set_value(5)
        assert world.modules["w_top"].VALUE == 5
    assert mine.VALUE == 0


def test_what_the_process_imports_later(
    make: Callable[[int], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a module of that name is there: a world's."""
    monkeypatch.syspath_prepend(write_version(tmp_path / "mine", 0))
    world = make(1)
    assert seen_in(world)() == {1}
    with entered(native):
        assert importlib.import_module("w_top").seen() == {0}
    assert importlib.import_module("w_top").seen() == {0}  # nor need the process say who it is
    with entered(world):
        assert importlib.import_module("w_top").seen() == {1}


def test_what_cannot_be_told(make: Callable[[int], World]) -> None:
    """Is not there, rather than anybody's."""
    for value in (1, 2):
        seen_in(make(value))
    with pytest.raises(ModuleNotFoundError):
        sys.modules["w_top"].VALUE


def test_what_only_others_have_is_not_there(make: Callable[[int], World]) -> None:
    with entered(make(1)):
        importlib.import_module("w_top")
    with entered(native), pytest.raises(ModuleNotFoundError, match="No module named 'w_top'"):
        import w_top

        w_top.VALUE


def test_a_module_that_is_not_there(make: Callable[[int], World]) -> None:
    """Is called what users call it."""
    with entered(make(1)):
        for name in ("w_pack.nothing", "w_top.nothing"):
            with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'") as caught:
                importlib.import_module(name)
            assert caught.value.name == name
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError, match="No module named 'w_nothing'"):
                importlib.import_module("w_broken")
        assert "w_broken" not in sys.modules


def test_tracebacks_name_the_users_file(make: Callable[[int], World]) -> None:
    with entered(make(4)), pytest.raises(ValueError, match="4") as caught:
        importlib.import_module("w_top").fail()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.line) == ("/home/of/4/w_top.py", "raise ValueError(VALUE)")


def test_a_world_that_is_forgotten(make: Callable[[int], World]) -> None:
    """Its modules go, others stand in for them, and what still runs in it goes on."""
    first, second = make(1), make(2)
    functions = [seen_in(world) for world in (first, second)]
    assert [function() for function in functions] == [{1}, {2}]
    first.forget()
    assert functions[0]() == {1}
    with entered(second):
        assert importlib.import_module("w_top").seen() == {2}
    second.forget()
    left = [name for name in sys.modules if name.startswith(("w_", first.prefix, second.prefix))]
    assert left == []


def test_a_world_that_is_left_by_an_interruption(make: Callable[[int], World]) -> None:
    with behind():
        entering = entered(make(1))
        entering.__enter__()
        assert context_of_world().run(code_worlds._current.get) is not None
    assert code_worlds._current.get() is None


def test_a_namespace_with_parts_elsewhere(
    make: Callable[[int], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_files(tmp_path / "mine", {"w_space/there.py": "VALUE = 0\n"}))
    write_files(tmp_path / "version1", {"w_space/here.py": "from w_space import there\n"})
    with entered(make(1)):
        assert importlib.import_module("w_space.here").there.VALUE == 0


def test_modules_of_a_kind_of_their_own(
    make: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> str:
            return f"lazy {name}"

    mine = Lazy("w_top")
    monkeypatch.setitem(sys.modules, "w_top", mine)
    world = make(1)
    assert seen_in(world)() == {1}
    assert mine.anything == "lazy anything"
    assert isinstance(mine, Lazy)


def test_prints_of_its_modules_become_log_lines_whatever_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    target = SimpleNamespace(
        log_prints=True, logger_name="tasks", log=lambda *line: lines.append(line[-1])
    )
    monkeypatch.setattr(builtins, "print", run_logs._print)  # as before any run wanted it
    world = World(write_files(tmp_path, {"w_prints.py": "def say():\n    print('said')\n"}), {})
    module = world.load("w_prints")
    token = run_logs.log_target.set(target)
    try:
        run_logs.capture_prints()
        module.say()
    finally:
        run_logs.log_target.reset(token)
        world.forget()
    assert lines == ["said"]
