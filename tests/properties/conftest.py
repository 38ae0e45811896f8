"""A store of its own for each test."""

from __future__ import annotations

from tests.runners.conftest import of_its_own

__all__ = ["of_its_own"]
