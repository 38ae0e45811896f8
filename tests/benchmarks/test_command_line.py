"""`python -m benchmarks`: what it takes and what it answers."""

from __future__ import annotations

import pytest

from benchmarks import command_line
from benchmarks.command_line import main
from benchmarks.suites import SUITES


@pytest.fixture
def asked(monkeypatch, session):
    """The options that the command came to; nothing is measured."""
    options = []

    def run_session(given, tell):
        options.append(given)
        return session

    monkeypatch.setattr(command_line, "run_session", run_session)
    return options


def test_the_full_form(asked, tmp_path, capsys):
    assert main(["overhead", "--peers", "dask, ray,pool", "--output", str(tmp_path)]) == 0
    assert (asked[0].peers, asked[0].rounds, asked[0].scale) == (("dask", "ray", "pool"), 5, 1.0)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert written == {"RESULTS.md", "results/overhead.md", "results/overhead.json"}
    assert "# Overhead" in capsys.readouterr().out


def test_quick_writes_no_file_by_itself(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(command_line, "FOLDER", tmp_path)
    assert main(["overhead", "--quick"]) == 0
    assert (asked[0].rounds, asked[0].peers) == (3, ("pool", "dask"))
    assert not list(tmp_path.iterdir())
    assert main(["overhead"]) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_all_suites_one_after_another(asked):
    assert main(["all", "--quick"]) == 0
    assert [options.suite for options in asked] == list(SUITES)


def test_a_suite_has_its_own_number_of_workers(asked):
    for arguments in (["overhead"], ["requests"], ["requests", "--workers", "3"]):
        assert main([*arguments, "--quick"]) == 0
    assert [options.workers for options in asked] == [2, 1, 3]


def test_a_suite_has_its_own_number_of_rounds(asked):
    for arguments in (["simulate"], ["simulate", "--rounds", "2"], ["uneven"]):
        assert main([*arguments, "--quick"]) == 0
    assert [options.rounds for options in asked] == [1, 2, 3]


def test_quoting_in_a_document_without_marks_is_told(asked, tmp_path, capsys):
    document = tmp_path / "README.md"
    document.write_text("nothing\n")
    assert main(["overhead", "--quick", "--quote", str(document)]) == 0
    assert "no marks for the figures of overhead" in capsys.readouterr().err
    assert document.read_text() == "nothing\n"


def test_check_fails_when_a_target_is_missed(asked, capsys):
    assert main(["overhead", "--quick", "--check"]) == 1
    assert "target ≤ 60 ms: missed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["overhead", "--peers", "pool,airflow"], "No such peer: airflow"),
        (["overhead", "--rounds", "0"], "not 1 or more"),
        (["overhead", "--scale", "0"], "not above 0"),
        (["underhead"], "invalid choice"),
        ([], "required"),
    ],
)
def test_misuse(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
