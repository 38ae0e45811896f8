"""What a cluster is to be: who provides it, and what is asked of the provider.

A spec is whole: what is wrong with it is said when it is made, in a sentence for each thing, with
the name of the cluster and the file that it stands in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError

from cluster.any_class import ClassProvider
from cluster.options import Options
from cluster.provider_protocol import ClusterProvider
from cluster.shown import without_secrets
from dataflow.errors import SettingsError
from dataflow.plugins import load_plugin, plugin_names

_GROUP = "dataflow.clusters"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ClusterSpec(BaseModel):
    """A cluster as it is to be.

    Args:
        provider: ``"local"``, ``"address"``, ``"ssh"``, ``"slurm"`` ..., or ``"module:Class"``.
        name: under which it is shown; it stands in messages.
        origin: the file that it stands in.
        **options: what the provider understands; see the page of the documentation on it.

    Raises:
        SettingsError: there is no such provider, or it does not understand the options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    name: str | None = None
    origin: str | None = None
    options: SerializeAsAny[Options]

    def __init__(
        self,
        provider: str = "local",
        *,
        name: str | None = None,
        origin: str | None = None,
        **options: Any,
    ) -> None:
        where = _where(name, origin)
        found = find_provider(provider, where)
        if isinstance(options.get("options"), Options):
            understood = options["options"]  # pydantic makes one from another
        else:
            if ":" in provider:
                options = {"class_path": provider, **options}
            understood = _read_options(found.options, options, where, origin)
        super().__init__(provider=provider, name=name, origin=origin, options=understood)

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.shown().items()]
        return f"ClusterSpec({', '.join(shown)})"

    __str__ = __repr__

    def shown(self) -> dict[str, Any]:
        """The spec as it may be shown to anyone: without secrets."""
        named = {"provider": self.provider} | ({"name": self.name} if self.name else {})
        options: dict[str, Any] = without_secrets(self.options)
        options.pop("class_path", None)
        return {**named, **options}

    def with_options(self, **options: Any) -> ClusterSpec:
        """The same with some options changed; tables are replaced as a whole."""
        names = type(self.options).model_fields
        given = {
            name: getattr(self.options, name)
            for name in self.options.model_fields_set
            if name in names
        }
        return ClusterSpec(
            **{"provider": self.provider, "name": self.name, "origin": self.origin}
            | {**given, **options}
        )

    @property
    def where(self) -> str:
        """What messages call it."""
        return _where(self.name, self.origin)

    @property
    def start_seconds(self) -> float:
        """How long it may take to be there."""
        return float(getattr(self.options, "start_seconds", 60.0))

    def find_provider(self) -> ClusterProvider:
        """Who makes it."""
        return find_provider(self.provider, self.where)


def check_name(name: str) -> str:
    """Refuse what cannot be the name of a cluster, since files are named after it.

    Raises:
        SettingsError: it is too long, or has other characters than letters, digits and ``_.-``.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be the name of a cluster.",
            hint="Use up to 64 letters, digits, and _ . - behind the first.",
        )
    return name


def find_provider(name: str, where: str) -> ClusterProvider:
    """The provider of a name, or of any class.

    Raises:
        SettingsError: there is none; the hint has the names there are.
    """
    if not isinstance(name, str):
        raise SettingsError(f"{where}: the provider is {name!r}; it should be a text.")
    if ":" in name:
        return ClassProvider()
    known = plugin_names(_GROUP)
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        nearly = f"Did you mean {close[0]!r}? " if close else ""
        raise SettingsError(
            f"{where}: there is no cluster provider {name!r}.",
            hint=f"{nearly}Known providers: {', '.join(known)}, or 'module:Class'.",
        )
    provider: ClusterProvider = load_plugin(_GROUP, name)()
    return provider


def _where(name: str | None, origin: str | None) -> str:
    called = f"Cluster {name!r}" if name else "The cluster's spec"
    return f"{called} ({origin})" if origin else called


def _read_options(
    wanted: type[Options], given: Mapping[str, Any], where: str, origin: str | None
) -> Options:
    folder = Path(origin).parent if origin else None
    try:
        return wanted.model_validate(dict(given), context={"folder": folder})
    except ValidationError as error:
        _refuse(error, wanted, where)


def _refuse(error: ValidationError, wanted: type[Options], where: str) -> NoReturn:
    problems = [_sentence(each, wanted) for each in _deepest(error.errors(include_url=False))]
    fields = ", ".join(name for name in wanted.model_fields if name != "class_path")
    raise SettingsError(
        f"{where}: " + f"\n{where}: ".join(dict.fromkeys(problems)),
        hint=f"Its provider understands: {fields}.",
    ) from None


def _deepest(problems: list[Any]) -> list[Any]:
    """Of a field that may be one of several things, what is wrong with what it nearly is."""
    depths = {each["loc"][0]: 0 for each in problems}
    for each in problems:
        depths[each["loc"][0]] = max(depths[each["loc"][0]], len(each["loc"]))
    return [
        each
        for each in problems
        if len(each["loc"]) == depths[each["loc"][0]] or not _is_branch(each["loc"][-1])
    ]


def _sentence(problem: Any, wanted: type[Options]) -> str:
    """One problem in words; values of secrets are not in them."""
    field = ".".join(str(part) for part in problem["loc"] if not _is_branch(part))
    if problem["type"] == "extra_forbidden":
        known = _fields_at(wanted, problem["loc"][:-1])
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, 1)
        return f"there is no field {field!r}" + (f", did you mean {close[0]!r}?" if close else ".")
    if problem["type"] == "missing":
        return f"the field {field!r} is missing."
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = without_secrets({field: problem["input"]})[field]
    if isinstance(shown, (str, int, float, bool)):
        return f"{field} = {shown!r} cannot be used: {message[:1].lower()}{message[1:]}."
    return f"{field} cannot be used: {message[:1].lower()}{message[1:]}."


def _is_branch(part: Any) -> bool:
    """Whether a part of a place only says what pydantic tried: a type of several, or a key."""
    models = {model.__name__ for model in Options.__subclasses__()}
    return part in {"bool", "str", "int", "float", "[key]", *models}


def _fields_at(wanted: type[Options], place: tuple[Any, ...]) -> list[str]:
    """The fields of the model at a place."""
    if not place:
        return list(wanted.model_fields)
    found = [
        name for model in Options.__subclasses__() if model.__name__ == place[-1]
        for name in model.model_fields
    ]  # fmt: skip
    if found:
        return found
    field = wanted.model_fields.get(str(place[0]))
    models = [each for each in _parts(field.annotation) if _is_model(each)] if field else []
    return [name for model in models for name in model.model_fields]


def _parts(annotation: Any) -> list[Any]:
    from typing import get_args

    return list(get_args(annotation)) or [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
