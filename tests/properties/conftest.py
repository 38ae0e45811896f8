"""A store of its own for each test."""

from __future__ import annotations

from tests.runners.conftest import home

__all__ = ["home"]
