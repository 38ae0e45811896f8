"""`python -m benchmarks`: what it takes and what it answers."""

from __future__ import annotations

import pytest

from benchmarks import command_line
from benchmarks.command_line import main


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
    output = tmp_path / "figures.md"
    assert main(["overhead", "--peers", "dask, ray,pool", "--output", str(output)]) == 0
    assert (asked[0].peers, asked[0].rounds, asked[0].scale) == (("dask", "ray", "pool"), 5, 1.0)
    assert output.exists() and output.with_suffix(".json").exists()
    assert "# Overhead" in capsys.readouterr().out


def test_quick_writes_no_file_by_itself(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(command_line, "RESULTS", tmp_path / "RESULTS.md")
    assert main(["overhead", "--quick"]) == 0
    assert (asked[0].rounds, asked[0].peers) == (3, ("pool", "dask"))
    assert not list(tmp_path.iterdir())
    assert main(["overhead"]) == 0
    assert len(list(tmp_path.iterdir())) == 2


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
