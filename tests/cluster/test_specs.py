"""What is said of a cluster: in Python, in files; and what is said of what is wrong with it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dataflow
from cluster.opening import find_cluster
from cluster.shown import without_secrets
from cluster.spec import ClusterSpec, check_name
from cluster.spec_files import Written, written_clusters, written_spec
from dataflow.errors import ClusterError, ClusterNotFound, MissingExtra, SettingsError
from dataflow.execution import runner_choice
from dataflow.execution.runner_choice import choose_runner
from dataflow.testing import dataflow_test_harness
from runners.dask import DaskTaskRunner


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, and the user's below it."""
    monkeypatch.chdir(tmp_path)
    with dataflow_test_harness(None, home=tmp_path / "home"):
        (tmp_path / "home").mkdir(exist_ok=True)
        yield tmp_path


def problems_of(provider: str, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        ClusterSpec(provider, name="lab", origin="/etc/dataflow.toml", **options)
    return caught.value.message


@pytest.mark.parametrize(
    ("provider", "options", "sentence"),
    [
        ("slrum", {}, "there is no cluster provider 'slrum'."),
        ("local", {"wokers": 1}, "there is no field 'wokers', did you mean 'workers'?"),
        ("local", {"workers": "4"}, "workers = '4' cannot be used: input should be a valid int"),
        ("local", {"workers": -1}, "workers = -1 cannot be used: input should be greater than"),
        ("local", {"adapt": {"maximum": 0}}, "adapt.maximum = 0 cannot be used"),
        ("local", {"adapt": {"maxmum": 3, "maximum": 1}}, "no field 'adapt.maxmum', did you mean"),
        ("local", {"security": {"ca": "x", "cert": "y", "ky": "z"}}, "no field 'security.ky'"),
        ("ssh", {}, "the field 'hosts' is missing."),
        ("ssh", {"hosts": []}, "hosts cannot be used: list should have at least 1 item"),
        ("ssh", {"hosts": ["a"], "workers": 2}, "there is no field 'workers', did you mean"),
        ("address", {"address": "tcp://nowhere"}, "it should be like tcp://host:8786"),
        ("slurm", {"memory": "1GB", "disk": "1GB"}, "there is no field 'disk'"),
        ("gateway", {"auth": "magic"}, "auth = 'magic' cannot be used"),
        ("gateway", {"password": {"env": "NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    provider: str, options: dict[str, object], sentence: str
) -> None:
    message = problems_of(provider, **options)
    assert sentence in message
    assert all(
        line.startswith("Cluster 'lab' (/etc/dataflow.toml): ") for line in message.splitlines()
    )


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(problems_of("local", wokers=1, memory=3, threads=0).splitlines()) == 3


def test_a_provider_that_is_nearly_right_is_named() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean 'slurm'\?.*pbs") as caught:
        ClusterSpec("slrum")
    assert caught.value.message == "The cluster's spec: there is no cluster provider 'slrum'."


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", "from-the-environment")
    spec = ClusterSpec("gateway", address="https://me:topsecret@gate", password={"env": "GATE"})
    for text in (repr(spec), str(spec), str(spec.shown()), str(spec.options)):
        assert "from-the-environment" not in text
    assert "topsecret" not in repr(spec)
    assert spec.options.password.get_secret_value() == "from-the-environment"  # type: ignore[attr-defined]
    assert "12345" not in problems_of("gateway", password=12345)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_secrets_in_what_is_only_passed_on_are_not_shown_either() -> None:
    spec = ClusterSpec(
        "somewhere:Cluster",
        kwargs={"token": "t0psecret", "environment": {"AWS_SECRET_ACCESS_KEY": "t0psecret"}},
    )
    assert "t0psecret" not in repr(spec)
    assert without_secrets(["export API_TOKEN=t0psecret"]) == ["export API_TOKEN=***"]
    for name in ("DB_PASS", "pwd", "PGPASSWORD", "Authorization", "AccountKey", "credentials"):
        assert without_secrets({name: "t0psecret"}) == {name: "***"}
        assert without_secrets({name: {"user": "t0psecret"}}) == {name: "***"}
        assert "t0psecret" not in without_secrets(f"-H '{name}: Bearer t0psecret'")
    for name in ("bypass", "passenger", "keys", "author"):
        assert without_secrets({name: "shown"}) == {name: "shown"}
    assert without_secrets({"key_file": "~/.ssh/id"}) == {"key_file": "~/.ssh/id"}


def test_with_other_options() -> None:
    spec = ClusterSpec("local", workers=2, threads=3).with_options(workers=5)
    assert spec.shown() == {"provider": "local", "workers": 5, "threads": 3}


def test_users_need_one_import() -> None:
    assert dataflow.ClusterSpec is ClusterSpec


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", "a b", "x" * 65])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name"):
        check_name(name)


# --- files ----------------------------------------------------------------------------------------


def test_the_projects_file_and_the_users(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "dataflow.toml").write_text("[clusters.lab]\nworkers = 1\n")
    (place / "home" / "dataflow.toml").write_text(
        "[clusters.lab]\nworkers = 9\n[clusters.mine]\nprovider = 'address'\naddress = 'a:1'\n"
    )
    below = place / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    lab, mine = written_spec("lab"), written_spec("mine")
    assert lab is not None and lab.shown() == {"provider": "local", "name": "lab", "workers": 1}
    assert lab.origin == str(place / "dataflow.toml")
    assert mine is not None and mine.options.address == "tcp://a:1"  # type: ignore[attr-defined]
    assert written_clusters() == {
        "lab": Written(place / "dataflow.toml", "local"),
        "mine": Written(place / "home" / "dataflow.toml", "address"),
    }
    assert written_spec("other") is None


def test_paths_begin_at_their_file(place: Path) -> None:
    (place / "dataflow.toml").write_text(
        "[clusters.far]\nprovider = 'ssh'\nhosts = ['a']\nkey_file = 'keys/id'\n"
    )
    far = written_spec("far")
    assert far is not None
    assert far.options.key_file == str(place / "keys" / "id")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[clusters", "cannot be read"),
        ("clusters = 1", "should have a table for each cluster"),
        ("[clusters]\nlab = 1", "should have a table for each cluster"),
        ("[clusters.lab]\nname = 'x'", "there is no field 'name'"),
        ("[clusters.lab]\nprovider = 3", "the provider is 3; it should be a text"),
    ],
)
def test_files_that_cannot_be_used(place: Path, text: str, problem: str) -> None:
    (place / "dataflow.toml").write_text(text)
    with pytest.raises(SettingsError, match=problem) as caught:
        written_spec("lab")
    assert str(place / "dataflow.toml") in caught.value.message


def test_a_name_that_nobody_knows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_choice, "runners_by_name", {})  # nobody else is to get it
    (place / "dataflow.toml").write_text("[clusters.lab]\n")
    with pytest.raises(ClusterNotFound, match=r"There is no cluster 'labs'.*\n.*mean 'lab'\?"):
        choose_runner("dask:labs")
    assert isinstance(find_cluster("local"), ClusterSpec)
    assert repr(choose_runner("dask:lab")) == "DaskTaskRunner(cluster='lab')"


def test_what_a_runner_is_given() -> None:
    with pytest.raises(ValueError, match="cluster_kwargs make a cluster, but cluster names one"):
        DaskTaskRunner(cluster="lab", cluster_kwargs={"n_workers": 1})
    with pytest.raises(ValueError, match="says by itself whether it adapts"):
        DaskTaskRunner(cluster=ClusterSpec(), adapt_kwargs={"maximum": 2})
    assert repr(DaskTaskRunner(cluster="tcp://a:1")) == "DaskTaskRunner(address='tcp://a:1')"
    shown = repr(DaskTaskRunner(cluster=ClusterSpec("gateway", password="t0psecret")))
    assert "t0psecret" not in shown


def test_a_class_that_is_not_there() -> None:
    from cluster.any_class import find_class

    for path in ("nowhere_at_all:Cluster", "cluster.spec:Nothing"):
        with pytest.raises(ClusterError, match="cannot be used"):
            find_class(path)


@pytest.mark.parametrize(
    ("provider", "options", "library", "extra"),
    [
        ("ssh", {"hosts": ["a"], "security": False}, "asyncssh", "ssh"),
        ("slurm", {"memory": "1GB", "security": False}, "dask_jobqueue", "jobqueue"),
        ("gateway", {}, "dask_gateway", "gateway"),
    ],
)
def test_a_library_that_is_not_installed(
    provider: str,
    options: dict[str, Any],
    library: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from cluster.provider_protocol import Opening

    spec = ClusterSpec(provider, **options)
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'dataflow-runtime\[{extra}\]'"):
        spec.find_provider().open(spec.options, Opening("x", tmp_path, None))
