"""Specs as they may be shown: without what nobody else should know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

HIDDEN = "***"
_NAMES = (
    r"passw(or)?d|passphrase|(?<![a-z])pass(?![a-z])|pwd|secret|token|credential|cookie"
    r"|authorization|(api|private|access|account|encryption|signing)_?key"
)
_SECRET = re.compile(_NAMES, re.IGNORECASE)
_VALUE = r"((bearer|basic)\s+)?\S+"
_SETTING = re.compile(rf"(\w*(?:{_NAMES})\w*\s*[=:]\s*){_VALUE}", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def without_secrets(value: Any, name: str = "") -> Any:
    """Plain data as a spec has it, with stars for secrets.

    Args:
        value: a model, or data in it.
        name: under which it stands: ``password`` and the like say what it is.
    """
    is_secret = isinstance(value, SecretStr) or _SECRET.search(name) is not None
    if is_secret and value is not None and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, BaseModel):
        given = value.model_fields_set
        return {each: without_secrets(getattr(value, each), each) for each in sorted(given)}
    if isinstance(value, Mapping):
        return {str(each): without_secrets(inner, str(each)) for each, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner, name) for inner in value]
    if isinstance(value, str):
        return hide_secrets(value)
    return value if isinstance(value, (int, float, bool)) or value is None else repr(value)


def hide_secrets(text: str) -> str:
    """A text with stars for users of URLs, and for what follows ``TOKEN=`` and the like."""
    return _SETTING.sub(rf"\1{HIDDEN}", _USER.sub(HIDDEN, text))
