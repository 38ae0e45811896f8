"""What a cache key is made of.

    from dataflow.cache_policies import INPUTS, TASK_SOURCE

    @task(cache_policy=TASK_SOURCE + INPUTS - "session")
    def fetch(session, day): ...

Results with the same key are the same result: it is made once, and taken ever after. The task's
name is part of every key but those of key functions, so that two tasks never share a result by
accident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.errors import DefinitionError, UnhashableInputError
from dataflow.hashing.calls import NO_DIGEST, CallHasher, UnhashableArgument
from dataflow.hashing.encoding import Unhashable, digest_of
from dataflow.hashing.values import source_of, text_of

__all__ = [
    "CachePolicy",
    "CacheKeyFnPolicy",
    "DEFAULT",
    "INPUTS",
    "TASK_SOURCE",
    "FLOW_PARAMETERS",
    "RUN_ID",
    "NO_CACHE",
    "task_input_hash",
]

KeyFn = Callable[[Any, dict[str, Any]], str | None]
KeyOf = Callable[[Sequence[Any], Mapping[str, Any], int], bytes]
_WAYS_OUT = (
    "Leave it out of the key (cache_policy=INPUTS - {name!r}), give a cache_key_fn, or make the "
    "object inside the task."
)


@dataclass(frozen=True)
class KeySubject:
    """What keys are made for: some calls of one task in one run.

    Attributes:
        source: gives the hash of the task's source.
        context_of: what key functions are told of a call, by its number and arguments.
    """

    task: Any
    run_id: str
    parameters: Mapping[str, Any]
    source: Callable[[], bytes]
    context_of: Callable[[int, Any, Any], Any]


class CachePolicy:
    """What a cache key is made of; policies are added with ``+``.

    For one of your own, subclass it and write :meth:`compute_key`.
    """

    leave_out: frozenset[str] = frozenset()
    isolation: str | None = None
    is_lenient = False
    is_empty = False

    def compute_key(
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """The part of the key of one call; None: there is no key.

        Args:
            task_ctx: the call: ``task``, ``task_run`` and ``parameters``.
            inputs: its arguments by name.
            flow_parameters: the parameters of the flow run.
            kwargs: what later versions may tell.
        """
        raise NotImplementedError

    @property
    def policies(self) -> tuple[CachePolicy, ...]:
        """The policies that it is made of."""
        return (self,)

    def __add__(self, other: CachePolicy) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return _Compound(
            tuple(dict.fromkeys((*self.policies, *other.policies))),
            self.leave_out | other.leave_out,
            self.is_lenient or other.is_lenient,
            self.isolation or other.isolation,
        )

    def __sub__(self, argument: str) -> CachePolicy:
        if not isinstance(argument, str):
            raise DefinitionError(
                f"From a cache policy only the name of an argument can be taken, not {argument!r}.",
                hint='Such as INPUTS - "session".',
            )
        leave_out = self.leave_out | {argument}
        return _Compound(self.policies, leave_out, self.is_lenient, self.isolation)

    def configure(self, isolation: str | None = None) -> CachePolicy:
        """The same with ``isolation="serializable"``: runs that want a key at once make it once."""
        if isolation not in (None, "read_committed", "serializable"):
            raise DefinitionError(
                f"isolation must be 'serializable' or 'read_committed', not {isolation!r}."
            )
        wanted = None if isolation == "read_committed" else isolation
        return _Compound(self.policies, self.leave_out, self.is_lenient, wanted)

    def key_maker(self, subject: KeySubject) -> KeyOf:
        """What makes the keys of the calls of a task in a run: 16 bytes, or zeros for no key."""
        policies = self.policies
        parts = [each for each in policies if isinstance(each, _Part)]
        own = [each for each in policies if not isinstance(each, _Part)]
        names = {part.name for part in parts}
        prefix = "|".join(part.text(subject) for part in sorted(parts, key=lambda p: p.name))
        if parts:
            prefix = f"{subject.task.name}|{_qualified_name(subject.task)}|{prefix}"
        hasher = CallHasher(subject.task, self.leave_out)
        with_inputs = "inputs" in names
        digest = hasher.digest

        def key_of_parts(args: Sequence[Any], kwargs: Mapping[str, Any], at: int) -> bytes:
            return digest(args, kwargs, prefix)

        def key_of(args: Sequence[Any], kwargs: Mapping[str, Any], at: int) -> bytes:
            keys = ""
            if own:
                context = subject.context_of(at, args, kwargs)
                found = _own_keys(own, context, hasher.arguments(args, kwargs), subject)
                if found is None:
                    return NO_DIGEST
                keys = found
            return digest(args, kwargs, prefix + keys) if with_inputs else digest_of(prefix + keys)

        maker = key_of_parts if with_inputs and not own else key_of
        return _lenient(maker) if self.is_lenient else maker

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _lenient(key_of: KeyOf) -> KeyOf:
    def key_or_none(args: Any, kwargs: Any, at: int) -> bytes:
        try:
            return key_of(args, kwargs, at)
        except UnhashableArgument:
            return NO_DIGEST

    return key_or_none


def _own_keys(
    policies: Sequence[CachePolicy], context: Any, inputs: dict[str, Any], subject: KeySubject
) -> str | None:
    keys = [
        policy.compute_key(context, dict(inputs), dict(subject.parameters)) for policy in policies
    ]
    if None in keys:
        return None
    return "".join(f"|own:{key}" for key in keys)


def _qualified_name(task: Any) -> str:
    return str(getattr(task.fn, "__qualname__", type(task.fn).__qualname__))


@dataclass(frozen=True, repr=False)
class _Compound(CachePolicy):
    """Several policies, some arguments left out."""

    parts: tuple[CachePolicy, ...]
    leave_out: frozenset[str] = frozenset()
    is_lenient: bool = False
    isolation: str | None = None

    @property
    def policies(self) -> tuple[CachePolicy, ...]:
        """The policies that it is made of."""
        return self.parts

    @property
    def is_empty(self) -> bool:  # type: ignore[override]
        """Whether there are no keys."""
        return all(part.is_empty for part in self.parts)

    def compute_key(self, task_ctx: Any, inputs: dict[str, Any], *_: Any, **kwargs: Any) -> None:
        """Not used: the parts are asked."""

    def __repr__(self) -> str:
        shown = " + ".join(map(repr, self.parts))
        return "".join([shown, *(f" - {name!r}" for name in sorted(self.leave_out))])


@dataclass(frozen=True, repr=False)
class _Part(CachePolicy):
    """One of the parts that every policy is made of."""

    name: str

    def text(self, subject: KeySubject) -> str:
        """What is the same for all calls of a task in a run."""
        if self.name == "source":
            return f"source={subject.source().hex()}"
        if self.name == "run":
            return f"run={subject.run_id}"
        if self.name == "parameters":
            return f"parameters={_parameters_digest(subject.parameters).hex()}"
        return self.name

    def __repr__(self) -> str:
        names = {"source": "TASK_SOURCE", "run": "RUN_ID", "parameters": "FLOW_PARAMETERS"}
        return names.get(self.name, self.name.upper())


def _parameters_digest(parameters: Mapping[str, Any]) -> bytes:
    texts = []
    for name in sorted(parameters):
        try:
            texts.append(f"{name}={text_of(parameters[name])}")
        except Unhashable as error:
            raise UnhashableInputError(
                f"Parameter {name!r} of the flow cannot be part of a cache key: {error}.",
                hint="Leave FLOW_PARAMETERS out of the policy, or give a cache_key_fn.",
                argument=name,
            ) from error
    return digest_of(";".join(texts))


class _NoCache(CachePolicy):
    is_empty = True

    def __sub__(self, argument: str) -> CachePolicy:
        return self

    def configure(self, isolation: str | None = None) -> CachePolicy:
        """No keys, whatever else."""
        return self

    def __repr__(self) -> str:
        return "NO_CACHE"


@dataclass(frozen=True, repr=False)
class CacheKeyFnPolicy(CachePolicy):
    """Keys from a function of the call and its arguments; None means that there is none.

    Attributes:
        cache_key_fn: called with the call (``task``, ``task_run``, ``parameters``) and the
            arguments by name.
    """

    cache_key_fn: KeyFn

    def compute_key(
        self,
        task_ctx: Any,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """What the function says."""
        key = self.cache_key_fn(task_ctx, inputs)
        if key is not None and not isinstance(key, str):
            raise DefinitionError(
                f"The cache_key_fn of task {task_ctx.task.name!r} returned {type(key).__name__}, "
                "not text or None."
            )
        return key


INPUTS: CachePolicy = _Part("inputs")
"""The arguments, by content."""
TASK_SOURCE: CachePolicy = _Part("source")
"""The source of the task's function, and of what it uses."""
FLOW_PARAMETERS: CachePolicy = _Part("parameters")
"""The parameters of the flow run."""
RUN_ID: CachePolicy = _Part("run")
"""The flow run: results are taken within it only."""
NO_CACHE: CachePolicy = _NoCache()
"""No keys: every call is made."""
DEFAULT: CachePolicy = _Compound((INPUTS, TASK_SOURCE, RUN_ID), is_lenient=True)
"""INPUTS + TASK_SOURCE + RUN_ID; a call whose arguments cannot be hashed is simply made."""


def task_input_hash(context: Any, arguments: dict[str, Any]) -> str:
    """A ``cache_key_fn``: the task, its source and its arguments.

    Raises:
        UnhashableInputError: an argument cannot be hashed.
    """
    task = context.task
    try:
        inputs = CallHasher(task).digest((), arguments)
    except UnhashableArgument as error:
        raise unhashable_input(task, error) from error
    return digest_of(f"{task.name}|{source_of(task.fn).hex()}|{inputs.hex()}").hex()


def unhashable_input(task: Any, error: UnhashableArgument) -> UnhashableInputError:
    """The error for a call that has no key."""
    return UnhashableInputError(
        f"Argument {error.argument!r} of task {task.name!r} cannot be part of a cache key: "
        f"{error.reason}.",
        hint=_WAYS_OUT.format(name=error.argument),
        argument=error.argument,
    )
