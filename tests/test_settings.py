"""Settings come from the environment; what cannot be is told with the variable's name."""

from __future__ import annotations

import pytest

from dataflow.errors import SettingsError
from dataflow.settings import get_settings


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("WORKERS", "-3", "a whole number, 0 or more"),
        ("WORKERS", "many", "a whole number, 0 or more"),
        ("STORE_RETRY_SECONDS", "-1", "a number, 0 or more"),
        ("STORE_RETRY_SECONDS", "nan", "a number, 0 or more"),
        ("DASK_CONNECT_SECONDS", "inf", "a number, 0 or more"),
        ("LOG_LEVEL", "loud", "DEBUG or INFO"),
        ("LOG_TO_TERMINAL", "maybe", "true or false"),
        ("PROGRESS", "loud", "auto or bars"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch, name, text, wanted):
    monkeypatch.setenv(f"DATAFLOW_{name}", text)
    with pytest.raises(SettingsError) as caught:
        get_settings()
    assert f"DATAFLOW_{name}={text!r} is not usable: expected {wanted}" in str(caught.value)
    assert f"Unset DATAFLOW_{name}" in str(caught.value.hint)


def test_what_may_be_written_in_several_ways(monkeypatch):
    monkeypatch.setenv("DATAFLOW_LOG_LEVEL", "debug")
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "No")
    monkeypatch.setenv("DATAFLOW_WORKERS", "0")
    settings = get_settings()
    assert (settings.log_level, settings.log_to_terminal, settings.workers) == ("DEBUG", False, 0)
