"""The user's own modules on workers that do not have them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cluster.local_modules import own_modules
from dataflow import ClusterSpec, flow, task
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import client_of
from tests.runners.far_cluster import (
    FarCluster,
    far_cluster,
    program_in,
    result_of,
    run_program,
    write_files,
)
from tests.runners.programs import wait_until

PROJECT = {
    "steps.py": """
        import os
        from dataclasses import dataclass
        from pathlib import Path

        from dataflow import task
        from words import read_words

        @dataclass
        class Found:
            count: int
            where: int

        @task
        def look(number):
            import later
            return Found(number * len(read_words()) + later.MORE, os.getpid())

        @task
        def again(found):
            assert type(found) is Found
            return found
        """,
    "later.py": "MORE = 100\n",
    "words/__init__.py": "from .reading import read_words\n",
    "words/reading.py": """
        from pathlib import Path
        from . import names

        def read_words():
            return (Path(__file__).parent / names.FILE).read_text().split()
        """,
    "words/names.py": 'FILE = "data/words.txt"\n',
    "words/data/words.txt": "one two three\n",
    "program.py": """
        import json, os, sys
        from dataflow import DaskTaskRunner, flow
        from steps import again, look

        @flow
        def whole():
            return again.map(look.map(range(4))).result()

        if __name__ == "__main__":
            with DaskTaskRunner(sys.argv[1]) as runner:
                found = whole.with_options(task_runner=runner)()
            print(json.dumps([[each.count, each.where == os.getpid()] for each in found]))
        """,
}
EXPECTED = [[number * 3 + 100, False] for number in range(4)]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarCluster]:
    """Two workers of one thread."""
    with far_cluster(tmp_path_factory.mktemp("far") / "cluster", 1, 1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarCluster]:
    """One worker of two threads."""
    with far_cluster(tmp_path_factory.mktemp("one") / "cluster", 2) as cluster:
        yield cluster


def test_a_script_with_modules_beside_it(far: FarCluster, tmp_path: Path) -> None:
    """Among them a package with relative imports and data, and one imported in a function."""
    folder = write_files(tmp_path / "project", PROJECT)
    assert run_program(folder, "program.py", far.address) == EXPECTED


FLOW_OF_A_PACKAGE = {
    "inside/__init__.py": "",
    "inside/own.py": "MORE = 1\n",
    "inside/flows.py": """
        from dataflow import flow, task
        from . import own

        @task
        def add(number):
            from .own import MORE
            return [number + MORE + own.MORE]

        @flow
        def whole():
            return add.map(range(4)).result()
        """,
    "alone.py": """
        from dataflow import flow, task
        from words import read_words

        @task
        def count(number):
            import later
            return [number * len(read_words()) + later.MORE]

        @flow
        def whole():
            return count.map(range(4)).result()
        """,
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("alone.py:whole", [[100], [103], [106], [109]]),
        ("alone:whole", [[100], [103], [106], [109]]),
        ("inside/flows.py", [[2], [3], [4], [5]]),
    ],
)
def test_the_command_line(
    far: FarCluster, tmp_path: Path, target: str, expected: list[list[int]]
) -> None:
    folder = write_files(tmp_path / "project", {**PROJECT, **FLOW_OF_A_PACKAGE})
    command = ["-m", "dataflow", "run", target, "--json", "--runner", f"dask:{far.address}"]
    with program_in(folder, *command) as program:
        out, err = program.communicate(timeout=60)
    assert json.loads(out or "{}").get("result") == expected, err


def test_a_notebook(far: FarCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions come from cells; a module that only one of them imports comes along, too."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = write_files(tmp_path / "project", PROJECT)
    cells = [
        "import steps\nfrom dataflow import DaskTaskRunner, flow, task",
        """@task
def both(number):
    import late_too
    return steps.look.fn(number).count + late_too.MORE""",
        f"""@flow(task_runner=DaskTaskRunner({far.address!r}))
def whole():
    return both.map(range(3)).result()""",
        "print(whole())",
    ]
    (folder / "late_too.py").write_text("MORE = 1000\n")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    assert notebook.cells[-1].outputs[-1]["text"] == "[1100, 1103, 1106]\n"


def test_an_editable_install(far: FarCluster, tmp_path: Path) -> None:
    """Of an environment that the workers do not have."""
    project = {
        "pyproject.toml": """
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "ours"
            version = "1"

            [tool.hatch.build]
            dev-mode-dirs = ["src"]
            """,
        "src/ours/__init__.py": "",
        "src/ours/tasks.py": "from dataflow import task\n@task\ndef double(x): return 2 * x\n",
    }
    source = write_files(tmp_path / "ours", project)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (here,) = {path for path in sys.path if path.endswith("site-packages")}
    (packages / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    python = str(venv / "bin/python")
    install = ["pip", "--python", python, "install", "--no-build-isolation", "--no-deps", "-q"]
    subprocess.run([sys.executable, "-m", *install, "-e", str(source)], check=True)
    folder = write_files(
        tmp_path / "elsewhere",
        {
            "program.py": """
                import sys
                from dataflow import DaskTaskRunner, flow
                from ours.tasks import double

                @flow(task_runner=DaskTaskRunner(sys.argv[1]))
                def whole():
                    return double.map(range(3)).result()

                print(whole())
                """
        },
    )
    assert run_program(folder, "program.py", far.address, python=python) == [0, 2, 4]


def test_a_compiled_module(far: FarCluster, tmp_path: Path) -> None:
    """Beside the script, as somebody builds it there."""
    from markupsafe import _speedups  # type: ignore[attr-defined]

    source = Path(_speedups.__file__)
    program = """
        import json, sys
        from dataflow import DaskTaskRunner, flow, task
        import _speedups

        @task
        def escape(text):
            return _speedups._escape_inner(text), str(_speedups.__file__)

        @flow(task_runner=DaskTaskRunner(sys.argv[1]))
        def whole():
            (text, path), = escape.map(["<a>"]).result()
            return text, path != _speedups.__file__

        print(json.dumps(whole()))
        """
    folder = write_files(tmp_path / "project", {"program.py": program})
    (folder / source.name).write_bytes(source.read_bytes())
    assert run_program(folder, "program.py", far.address) == ["&lt;a&gt;", True]


def test_what_a_module_raises_when_it_is_imported(far: FarCluster, tmp_path: Path) -> None:
    """On the worker alone: the error names it, and the user's line."""
    steps = """
        import os
        from dataflow import task
        if os.path.exists("scheduler.json"):
            raise RuntimeError("not on a worker")
        @task
        def one(): return 1
        """
    program = """
        import json, sys
        from dataflow import DaskTaskRunner, flow
        from steps import one

        @flow(task_runner=DaskTaskRunner(sys.argv[1]))
        def whole():
            return one.submit().result()

        try:
            whole()
        except Exception as error:
            place = error.__cause__.__traceback__
            while place.tb_next is not None:
                place = place.tb_next
            print(json.dumps([str(error), place.tb_frame.f_code.co_filename]))
        """
    folder = write_files(tmp_path / "project", {"program.py": program, "steps.py": steps})
    text, path = run_program(folder, "program.py", far.address)
    assert "tcp://127.0.0.1" in text
    assert "RuntimeError: not on a worker" in text
    assert path == str(folder / "steps.py")


# --- what the spec says ---------------------------------------------------------------------------

NAMED = {
    "program.py": """
        import importlib, json, sys
        from dataflow import ClusterSpec, DaskTaskRunner, flow, task

        @task
        def plugged(name):
            return importlib.import_module(f"plugins.{name}").VALUE

        options = json.loads(sys.argv[2])
        spec = ClusterSpec("address", address=sys.argv[1], **options)

        @flow(task_runner=DaskTaskRunner(cluster=spec))
        def whole():
            return plugged.map(["one", "two"]).result()

        if __name__ == "__main__":
            try:
                print(json.dumps(whole()))
            except Exception as error:
                print(json.dumps([type(error).__name__, str(error)]))
        """,
    "src/plugins/one.py": "VALUE = 1\n",
    "src/plugins/two.py": "VALUE = 2\n",
    "src/plugins/large.bin": "x" * 1000,
}


def named(far: FarCluster, folder: Path, options: dict[str, Any]) -> Any:
    return run_program(folder, "program.py", far.address, json.dumps(options))


def test_folders_that_the_spec_names(far: FarCluster, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "project", NAMED)
    assert named(far, folder, {"code": ["src"]}) == [1, 2]
    kind, text = named(far, folder, {"code": ["src"], "code_exclude": ["two.py"]})
    assert (kind, text) == ("ModuleNotFoundError", "No module named 'plugins.two'")


def test_modules_that_the_workers_have_no_use_for_are_not_sent(
    far: FarCluster, tmp_path: Path
) -> None:
    folder = write_files(
        tmp_path / "project",
        {
            **NAMED,
            "steps.py": PROJECT["steps.py"],
            **{name: text for name, text in PROJECT.items() if name.startswith(("words", "later"))},
        },
    )
    source = (folder / "program.py").read_text()
    (folder / "program.py").write_text(
        source.replace("plugged.map([", "steps.look.map([1,").replace(
            "import importlib", "import steps, importlib"
        )
    )
    kind, text = named(far, folder, {"code": False})
    assert kind == "TransferError"
    assert "tcp://127.0.0.1" in text
    assert "No module named 'steps'" in text
    assert 'code = ["src"]' in text


def test_what_is_too_large(far: FarCluster, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "project", NAMED)
    with (folder / "src/plugins/huge.bin").open("wb") as file:
        file.truncate(200_000_000)
    kind, text = named(far, folder, {"code": ["src"]})
    assert kind == "TransferError"
    assert "200 MB" in text
    assert str(folder / "src/plugins") in text
    assert "code_exclude" in text
    assert named(far, folder, {"code": ["src"], "code_exclude": ["*.bin"]}) == [1, 2]


def test_what_the_spec_names_has_to_be_there(far: FarCluster, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "project", NAMED)
    kind, text = named(far, folder, {"code": ["nowhere"]})
    assert kind == "TransferError"
    assert str(folder / "nowhere") in text


# --- versions -------------------------------------------------------------------------------------

VERSION = {
    "steps.py": """
        import os, pickle, time
        from dataclasses import dataclass
        from pathlib import Path
        from dataflow import task
        from part import VALUE

        @dataclass
        class Own:
            version: int

        def wait_for(path):
            deadline = time.monotonic() + 60
            while not path.exists():
                assert time.monotonic() < deadline, f"{path} did not come"
                time.sleep(0.01)

        @task
        def meet(folder, me, other):
            seen = [VALUE]
            for turn in range(3):
                (Path(folder) / f"{me}-{turn}").touch()
                wait_for(Path(folder) / f"{other}-{turn}")
                import part
                from importlib import import_module
                seen += [part.VALUE, import_module(f"late{turn}").VALUE]
                again = pickle.loads(pickle.dumps(Own(VALUE)))
                assert type(again) is Own
                seen.append(again.version)
            return os.getpid(), seen, Own(VALUE)

        @task
        async def meet_async(folder, me, other):
            import asyncio
            (Path(folder) / f"{me}-async").touch()
            while not (Path(folder) / f"{other}-async").exists():
                await asyncio.sleep(0.01)
            from importlib import import_module
            return import_module("late0").VALUE, Own(VALUE)

        @task
        def check(own):
            assert type(own) is Own
            return own.version
        """,
    "program.py": """
        import json, sys
        from dataflow import DaskTaskRunner, flow
        from steps import Own, check, meet, meet_async
        import late0, late1, late2
        address, folder, me, other = sys.argv[1:]

        @flow
        def whole():
            met = meet.submit(folder, me, other)
            pid, seen, own = met.result()
            assert type(own) is Own
            late, owned = meet_async.submit(folder, me, other).result()
            return pid, [*seen, late, check.submit(own).result(), check.submit(owned).result()]

        if __name__ == "__main__":
            with DaskTaskRunner(address) as runner:
                print(json.dumps(whole.with_options(task_runner=runner)()))
        """,
}


def version(folder: Path, value: int) -> Path:
    parts = {f"{name}.py": f"VALUE = {value}\n" for name in ("part", "late0", "late1", "late2")}
    return write_files(folder, {**VERSION, **parts})


@pytest.mark.parametrize("cluster", ["one", "far"])
def test_two_versions_at_the_same_time(
    request: pytest.FixtureRequest, tmp_path: Path, cluster: str
) -> None:
    """Calls of both wait for each other, in one process or in two, three times over."""
    place: FarCluster = request.getfixturevalue(cluster)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with ExitStack() as stack:
        programs = [
            stack.enter_context(
                program_in(
                    version(tmp_path / f"v{mine}", mine),
                    *("program.py", place.address, str(meeting), str(mine), str(other)),
                )
            )
            for mine, other in ((1, 2), (2, 1))
        ]
        (first, seen_by_first), (second, seen_by_second) = map(result_of, programs)
    assert set(seen_by_first) == {1}
    assert set(seen_by_second) == {2}
    assert (first == second) == (cluster == "one")


def test_a_version_after_another(far: FarCluster, tmp_path: Path) -> None:
    """The same file changed between runs, as when somebody works on it."""
    folder = write_files(tmp_path / "project", PROJECT)
    assert run_program(folder, "program.py", far.address) == EXPECTED
    for more in range(4):
        (folder / "later.py").write_text(f"MORE = {more}\n")
        found = run_program(folder, "program.py", far.address)
        assert found == [[number * 3 + more, False] for number in range(4)]
    with far.client() as client:
        worlds = client.run(count_worlds)
    assert max(worlds.values()) <= 4, worlds  # of five


def count_worlds() -> int:
    from runners.dask import code_worlds

    return len(code_worlds._worlds)


def uses_of_versions() -> int:
    from runners.dask import code as dask_code

    return dask_code._versions._users.total()


def test_a_worker_that_comes_later(tmp_path: Path) -> None:
    """And has nobody beside it to ask: the one before it has gone."""
    folder = write_files(tmp_path / "project", PROJECT)
    source = PROJECT["program.py"].replace(
        "found = whole", "whole.with_options(task_runner=runner)(); input(); found = whole"
    )
    write_files(folder, {"program.py": source})
    with (
        far_cluster(tmp_path / "cluster", 1) as cluster,
        cluster.client() as client,
        program_in(folder, "program.py", cluster.address) as program,
    ):
        wait_until(lambda: client.nthreads(), "no worker came")
        (first,) = client.nthreads()
        wait_until(lambda: 1 in client.run(count_worlds).values(), "no version came")
        cluster.start_worker()
        wait_until(lambda: len(client.nthreads()) == 2, "no other worker came")
        client.retire_workers([first])
        wait_until(lambda: first not in client.nthreads(), "the first worker stays")
        assert result_of(program, "\n") == EXPECTED
        assert list(client.run(count_worlds).values()) == [1]


def test_the_first_worker_comes_later(tmp_path: Path) -> None:
    """Batches wait for it, and for what is sent ahead of them."""
    folder = write_files(tmp_path / "project", PROJECT)
    with (
        far_cluster(tmp_path / "cluster") as cluster,
        cluster.client() as client,
        program_in(folder, "program.py", cluster.address) as program,
    ):
        wanted = lambda dask_scheduler: len(dask_scheduler.tasks)  # noqa: E731
        wait_until(lambda: client.run_on_scheduler(wanted) >= 2, "no batch was sent")
        cluster.start_worker()
        assert result_of(program) == EXPECTED


STUBBORN = {
    "waiting.py": """
        import time
        from pathlib import Path
        from dataflow import task

        @task
        def wait(folder):
            (Path(folder) / "begun").touch()
            while True:
                time.sleep(0.001)
        """,
    "program.py": """
        import sys, time
        from pathlib import Path
        from dataflow import DaskTaskRunner, flow
        from waiting import wait

        @flow
        def whole(folder):
            begun = Path(folder) / "begun"
            for _ in range(10):
                call = wait.submit(folder)
                while not begun.exists():
                    time.sleep(0.005)
                begun.unlink()
                call.cancel()

        if __name__ == "__main__":
            with DaskTaskRunner(sys.argv[1]) as runner:
                whole.with_options(task_runner=runner)(sys.argv[2], return_state=True)
            print("1")
        """,
}


def test_a_version_is_used_no_more_when_its_calls_were_interrupted(
    one: FarCluster, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", STUBBORN)
    (tmp_path / "begun").mkdir()
    assert run_program(folder, "program.py", one.address, str(tmp_path / "begun")) == 1
    with one.client() as client:
        wait_until(lambda: set(client.run(uses_of_versions).values()) == {0}, "one is in use")


# --- workers that have the modules ----------------------------------------------------------------


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that this process imports from."""
    folder = tmp_path / "beside"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be as old as the next text
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # nor do workers
    for name, module in own_modules.now().items():
        if not module.is_as_on_disk:  # somebody else has left it, and it would be sent as well
            monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write_module(folder: Path, name: str, value: int) -> ModuleType:
    """Write a module and load it, again if it is loaded; it is as old as the one before."""
    path = folder / f"{name}.py"
    path.write_text(
        f"from dataflow import task\nVALUE = {value}\n"
        "@task\ndef tell(n):\n    import sys\n    return VALUE, sys.modules[__name__].VALUE\n"
    )
    importlib.invalidate_caches()
    if name in sys.modules:
        return importlib.reload(sys.modules[name])
    return importlib.import_module(name)


def told(runner: DaskTaskRunner, module: ModuleType) -> set[tuple[int, int]]:
    @flow(task_runner=runner)
    def asked():
        return module.tell.map(range(4)).result()

    return set(asked())


def test_workers_of_this_process_have_its_modules(beside: Path, home: Path) -> None:
    """They are left alone, and others that came with versions of their own are not mixed up."""
    from distributed import LocalCluster

    module = write_module(beside, "mod_of_process", 1)
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False}
    with (
        LocalCluster(**options, dashboard_address=None, silence_logs=50) as cluster,
        DaskTaskRunner(cluster=cluster) as runner,
    ):
        assert told(runner, module) == {(1, 1)}
        module = write_module(beside, "mod_of_process", 2)
        assert told(runner, module) == {(2, 2)}
    assert sys.modules["mod_of_process"] is module
    assert type(module) is ModuleType


def test_workers_of_another_process_that_has_modules_of_that_name(
    beside: Path, home: Path, tmp_path: Path
) -> None:
    """The modules of whoever made the cluster stay what they are, while others' run beside them."""
    from distributed import LocalCluster

    module = write_module(beside, "words", 1)
    folder = write_files(tmp_path / "project", PROJECT)
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "protocol": "tcp"}
    with (
        LocalCluster(**options, dashboard_address=None, silence_logs=50) as cluster,
        DaskTaskRunner(cluster=cluster) as runner,
    ):
        assert told(runner, module) == {(1, 1)}
        assert run_program(folder, "program.py", cluster.scheduler_address) == EXPECTED
        assert told(runner, module) == {(1, 1)}
        assert sys.modules["words"] is module
        assert module.VALUE == 1
        assert not hasattr(module, "read_words")


def test_nothing_is_sent_to_workers_of_this_machine_that_have_it(beside: Path, home: Path) -> None:
    module = write_module(beside, "mod_of_machine", 1)
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:
        assert told(runner, module) == {(1, 1)}
        assert set(client_of(runner).run(count_worlds).values()) == {0}


def test_a_module_that_was_reloaded_is_sent(beside: Path, home: Path) -> None:
    module = write_module(beside, "mod_reloaded", 1)
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:
        assert told(runner, module) == {(1, 1)}
        module = write_module(beside, "mod_reloaded", 2)
        assert told(runner, module) == {(2, 2)}
        before = client_of(runner).run(count_worlds)
        (beside / "mod_reloaded.py").write_text("VALUE = 3\n")  # and not loaded
        assert told(runner, module) == {(2, 2)}
        assert set(before.values()) == {1}


def test_folders_that_the_spec_of_a_cluster_of_this_machine_names(
    home: Path, tmp_path: Path
) -> None:
    write_files(tmp_path / "src", {"mod_plugged.py": "VALUE = 7\n"})

    @task
    def plugged(name):
        import importlib

        return importlib.import_module(name).VALUE

    spec = ClusterSpec("local", workers=1, code=[str(tmp_path / "src")])
    with DaskTaskRunner(cluster=spec) as runner:

        @flow(task_runner=runner)
        def whole():
            return plugged.map(["mod_plugged"]).result()

        assert whole() == [7]


def test_a_folder_that_was_not_on_the_path_when_the_workers_came(
    beside: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:
        assert told(runner, write_module(beside, "mod_early", 1)) == {(1, 1)}
        late = tmp_path / "late"
        late.mkdir()
        monkeypatch.syspath_prepend(late)
        try:
            assert told(runner, write_module(late, "mod_late", 1)) == {(1, 1)}
        finally:
            del sys.modules["mod_late"]
