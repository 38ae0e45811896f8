"""What tasks and flows have in common: a function with options, that is bound, hooked and sent."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.errors import DefinitionError
from dataflow.model.functions import (
    importable_name,
    kind_of,
    portable,
    require_callable,
    signature_of,
)

Hook = Callable[[Any, Any, Any], Any]


class Declared:
    """A function that was declared a task or a flow.

    Attributes:
        fn: the function itself.
        kind: ``"sync"``, ``"async"``, ``"generator"`` or ``"async_generator"``.
        signature: its signature.
        hooks: functions to be called when a run enters a state, by the hook's name.
    """

    def declare(
        self, fn: Callable[..., Any], decorator: str, hooks: dict[str, Iterable[Hook] | None]
    ) -> None:
        """Take the function and its hooks.

        Raises:
            DefinitionError: it is no function.
        """
        require_callable(fn, decorator)
        self.fn = fn
        self.kind = kind_of(fn)
        self.signature = signature_of(fn)
        self.hooks: dict[str, list[Hook]] = {name: list(all_ or ()) for name, all_ in hooks.items()}

    def rebound(self) -> None:
        """Called when ``fn`` and ``signature`` have changed, on a copy that is bound."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """In a class this is a method: it is bound to the instance (or to the class)."""
        bind = getattr(self.fn, "__get__", None)
        unbound = instance is None and not isinstance(self.fn, (classmethod, staticmethod))
        if bind is None or unbound:
            return self
        bound = _rebuild(type(self), self.__dict__)
        bound.fn = bind(instance, owner)
        bound.signature = signature_of(bound.fn)
        bound.rebound()
        return bound

    @property
    def has_hooks(self) -> bool:
        """Whether any hook is to be called."""
        return any(self.hooks.values())

    def add_hook(self, name: str, hook: Hook) -> Hook:
        """Have a hook called, too; returns it, so that this can decorate."""
        self.hooks[name].append(hook)
        return hook

    def on_running(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run begins."""
        return self.add_hook("on_running", hook)

    def on_completion(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run has completed."""
        return self.add_hook("on_completion", hook)

    def on_failure(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run has failed for good."""
        return self.add_hook("on_failure", hook)

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """By name where another process can import it, else by value, without hooks."""
        module, name, found = importable_name(self.fn) or ("", "", None)
        if found is self:
            return import_by_name, (module, name)
        state = self.state_to_send()
        if type(found) is type(self) and found.fn is self.fn:  # the same with other options
            del state["fn"]
            return _vary, (module, name, state)
        state["fn"] = portable(self.fn)
        return _rebuild, (type(self), state)

    def state_to_send(self) -> dict[str, Any]:
        """What another process needs; hooks are called in the flow's process."""
        state = dict(self.__dict__)
        state["hooks"] = {kind: [] for kind in self.hooks}
        state.pop("__wrapped__", None)
        return state


def import_by_name(module: str, name: str) -> Any:
    """What a module has under a (dotted) name."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _vary(module: str, name: str, state: dict[str, Any]) -> Declared:
    found = import_by_name(module, name)
    return _rebuild(type(found), {**state, "fn": found.fn})


def _rebuild(kind: type[Declared], state: dict[str, Any]) -> Declared:
    made = kind.__new__(kind)
    made.__dict__.update(state)
    return made


def refuse_unknown_options(kind: str, options: dict[str, Any], later: tuple[str, ...]) -> None:
    """Refuse options that do not exist; say so where one has no effect yet.

    Raises:
        DefinitionError: with the name of the option.
    """
    unknown = [name for name in options if name not in later]
    if unknown:
        raise DefinitionError(
            f"@{kind} has no option {unknown[0]!r}.",
            hint=f"See help(dataflow.{kind.title()}) for the options there are.",
        )
    used = sorted(name for name, value in options.items() if value)
    if used:
        warnings.warn(
            f"Accepted, but without effect in this version: {', '.join(used)}. "
            "Results are not persisted or cached yet.",
            UserWarning,
            stacklevel=5,
        )
