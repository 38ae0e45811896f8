"""What tasks and flows have in common: a function with options, that is bound, hooked and sent."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dataflow.model.functions import (
    described,
    importable_name,
    kind_of,
    portable,
    require_callable,
    signature_of,
)
from dataflow.model.options import Hook, check_options, hooks_in, tags_in, timeout_in
from dataflow.model.result_options import ResultOptions, result_options
from dataflow.model.retry_policy import RetryPolicy, make_retry_policy

if TYPE_CHECKING:
    from dataflow.model.run_names import RunName


known_flows: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""The flows that this process has, by name; of several with one name the last that was written."""
known_tasks: dict[str, weakref.WeakSet[Any]] = {}
"""The tasks that this process has, by name, but for those that were made inside a function."""


def is_global(fn: Any) -> bool:
    """Whether a function is the same for everybody: it was not made inside another."""
    return "<locals>" not in getattr(fn, "__qualname__", "<locals>")


class Declared:
    """A function that was declared a task or a flow.

    Attributes:
        fn: the function itself.
        kind: ``"sync"``, ``"async"``, ``"generator"`` or ``"async_generator"``.
        signature: its signature.
        name, description, version, tags: what it is called, and what it is for.
        retry_policy: how often, when and whether it is tried again.
        timeout_seconds: how long one attempt may take.
        log_prints: whether its prints become log lines.
        results: what becomes of its results.
        hooks: functions to be called when a run enters a state, by the hook's name.
    """

    decorator: str
    name: str

    def declare(self, fn: Callable[..., Any], options: Mapping[str, Any], known: type[Any]) -> None:
        """Take the function and the options that tasks and flows share.

        Args:
            fn: the function.
            options: those that were given.
            known: the typed dict of those that there are.

        Raises:
            DefinitionError: it is no function, or an option cannot be used.
        """
        require_callable(fn, self.decorator)
        check_options(self.decorator, options, known)
        self.fn = fn
        self.kind = kind_of(fn)
        self.signature = signature_of(fn)
        self.hooks = hooks_in(options, known)
        self.description = described(fn, options.get("description"))
        self.version: str | None = options.get("version")
        self.tags = tags_in(options)
        self.timeout_seconds = timeout_in(options)
        self.log_prints: bool | None = options.get("log_prints")
        self.retry_policy: RetryPolicy = make_retry_policy(
            options.get("retries"),
            options.get("retry_delay_seconds"),
            options.get("retry_jitter_factor"),
            options.get("retry_condition_fn"),
        )
        self.results: ResultOptions = result_options(options, self.decorator)
        self._options = {name: value for name, value in options.items() if name not in self.hooks}

    def options(self) -> dict[str, Any]:
        """The options that would make the same again."""
        return {**self._options, "name": self.name, **self.hooks}

    def compiled_run_name(self, template: Any) -> RunName | None:
        """What makes the names of runs, if they are not the default ones.

        Raises:
            DefinitionError: the template asks for what is not there.
        """
        if template is None:
            return None
        from dataflow.model.run_names import compile_run_name

        return compile_run_name(template, self.signature, f"{self.decorator} {self.name!r}")

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

    def on_cancellation(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run was cancelled."""
        return self.add_hook("on_cancellation", hook)

    def on_crashed(self, hook: Hook) -> Hook:
        """Decorate a hook that is called when a run has crashed."""
        return self.add_hook("on_crashed", hook)

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
