"""``dataflow limits``, and ``dataflow runs cancel`` for what cannot be cancelled."""

from __future__ import annotations

import pytest


def test_limits_are_made_listed_changed_and_removed(command) -> None:
    assert command("limits", "ls").out == "No limits yet.\n"
    assert "database has 3 slot(s)" in command("limits", "create", "database", "--limit", "3").out
    more = ["--slot-decay-per-second", "5", "--disable"]
    command("limits", "create", "tag:api", "--limit", "10", *more)
    head, database, api = command("limits", "ls").lines
    assert head.split() == ["NAME", "HELD", "LIMIT", "WAITING", "A", "SECOND"]
    assert database.split() == ["database", "0", "3", "0"]
    assert api.split() == ["tag:api", "0", "10", "0", "5", "disabled"]
    command("limits", "update", "tag:api", "--limit", "2", "--enable")
    (_, found) = command("limits", "ls", "--json").json
    assert (found["name"], found["slots"], found["active"]) == ("tag:api", 2, True)
    assert "Nobody holds" in command("limits", "inspect", "database").out
    assert command("limits", "inspect", "database", "--json").json == []
    assert "was removed" in command("limits", "rm", "database").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "db", "--limit", "-1"], "must be a whole number, 0 or more, not -1"),
        (["create", "db", "--limit", str(10**20)], "must be a whole number, 0 or more"),
        (["create", "", "--limit", "1"], "needs a name"),
        (["create", "db"], "--limit"),
        (["create", "db", "--limit", "x"], "x"),
        (["rm", "nothing"], "no limit 'nothing'"),
        (["inspect", "nothing"], "no limit 'nothing'"),
        (["update", "nothing", "--limit", "2"], "no limit 'nothing'"),
    ],
)
def test_misuse_is_told_without_a_traceback(command, arguments: list[str], said: str) -> None:
    done = command("limits", *arguments, status=2)
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_limit_of_zero_may_be_made_and_lets_nothing_begin(command) -> None:
    command("limits", "create", "db", "--limit", "0")
    (command.folder / "held.py").write_text(
        "from dataflow import concurrency, flow\n"
        "@flow\n"
        "def held():\n"
        "    with concurrency('db'):\n"
        "        pass\n"
    )
    done = command("run", "held.py", status=1)
    assert "nothing may begin" in done.err
    assert "dataflow limits update db --limit 1" in done.err


def test_a_run_that_has_ended_cannot_be_cancelled(seen, etl_name: str) -> None:
    done = seen("runs", "cancel", etl_name, status=1)
    assert f"{etl_name} has ended: it is Failed." in done.err
    assert "no run" in seen("runs", "cancel", "nobody-knows", status=2).err.lower()
