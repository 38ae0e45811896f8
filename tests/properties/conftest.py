"""A store of its own for each test."""

from __future__ import annotations

from tests.runners.conftest import free_threads, of_its_own

__all__ = ["free_threads", "of_its_own"]
