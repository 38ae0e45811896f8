"""How the host of a standing cluster is spoken to, and when it ends.

It listens at a socket that only this user can reach; each line there is a question as JSON, and
gets an answer as JSON. Runs that use the cluster tell what remains for them, and the sum of that
is what the size follows.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from cluster.connecting import connect
from cluster.host_messages import Hosted, HostRequest
from cluster.options import needs_of, offers_of
from cluster.standing_records import CONTROL_PREFIX, StandingRecord, write_record
from cluster.usage import usage_of
from dataflow.execution.runner_protocol import Remaining
from dataflow.process_ids import this_process

_LOOK_SECONDS = 0.5
_LOST_SECONDS = 10.0


class StandingHost:
    """Looks after a standing cluster; in a ``with``, it is written down.

    Args:
        request: what was asked for.
        hosted: the cluster.
    """

    def __init__(self, request: HostRequest, hosted: Hosted) -> None:
        assert request.standing is not None
        self._place = request.standing
        self._spec = request.spec
        self._hosted = hosted
        self._idle_seconds: float | None = getattr(request.spec.options, "idle_seconds", None)
        self._ended = threading.Event()
        self._remaining: dict[int, Remaining] = {}
        self._lock = threading.Lock()
        self._askers = count()
        self._client: Any = None
        self._asked: int | None = None
        self._folder = request.folder
        self._path = str(
            Path(tempfile.mkdtemp(prefix=CONTROL_PREFIX), "control")
        )  # it must be short
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> StandingHost:
        answer = self._hosted.answer
        security = answer.tls.security() if answer.tls is not None else None
        self._client = connect(answer.address, security=security)
        self._listening.bind(self._path)
        self._listening.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()
        record = StandingRecord(
            name=self._place.name,
            provider=self._spec.provider,
            address=answer.address,
            control=self._path,
            folder=self._folder,
            process=this_process(),
            started=time.time(),
            spec=self._spec.shown(),
            needs=needs_of(self._spec.options),
            offers=offers_of(self._spec.options),
            dashboard=answer.dashboard,
            tls=answer.tls,
        )
        write_record(self._place, record)
        self._say(f"stands at {answer.address}")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._place.path("json").unlink(missing_ok=True)
        self._listening.close()
        shutil.rmtree(Path(self._path).parent, ignore_errors=True)
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)

    def serve(self) -> None:
        """Wait until it is told to end, has been idle for too long, or its scheduler is gone."""
        used = answered = asked = time.monotonic()
        while not self._ended.wait(_LOOK_SECONDS):
            now = time.monotonic()
            self._say_sizes()
            if self._client.status == "running":
                answered = now
            elif now - answered > _LOST_SECONDS:
                self._say("its scheduler is gone")
                return
            if self._idle_seconds is None or now - asked < self._idle_seconds / 10:
                continue
            asked = now
            if self._is_used():
                used = now
            elif now - used >= self._idle_seconds:
                self._say(f"nobody has used it for {self._idle_seconds:g} s")
                return
        self._say("was told to end")

    def _say_sizes(self) -> None:
        """Note each size that was to be another one, and why."""
        adaptive = self._hosted.adaptive
        while adaptive is not None and adaptive.changes:
            self._say(f"is to have {adaptive.changes.popleft()}")

    def _is_used(self) -> bool:
        try:
            return bool(usage_of(self._client))
        except Exception as error:
            self._say(f"could not be asked whether it is used: {error}")
            return True

    def _say(self, what: str) -> None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        print(f"{moment} cluster {self._place.name}: {what}", file=sys.stderr, flush=True)

    # --- questions -------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        asker = next(self._askers)
        with contextlib.suppress(OSError, ValueError), connection:
            for line in connection.makefile("rb"):
                answer = self._answer(json.loads(line), asker)
                connection.sendall(json.dumps(answer).encode() + b"\n")
        self._take_remaining(asker, None)

    def _answer(self, question: dict[str, Any], asker: int) -> dict[str, Any]:
        try:
            return self._carry_out(question.pop("do"), question, asker)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _carry_out(self, what: str, given: dict[str, Any], asker: int) -> dict[str, Any]:
        if what == "expect":
            self._take_remaining(asker, Remaining(**given))
        elif what == "scale":
            return self._scale(given["workers"])
        elif what == "stop":
            self._ended.set()
        elif what == "info":
            return {"size": self._size(), "working_runs": self._working_runs}
        elif what == "report":
            return {"report": self._hosted.report()}
        else:
            return {"error": f"Nobody here knows how to {what!r}."}
        return {}

    @property
    def _working_runs(self) -> int:
        """Runs for which work remains, of those that say so; their work is added up."""
        with self._lock:
            return sum(map(bool, self._remaining.values()))

    @property
    def _adapts(self) -> bool:
        return getattr(self._spec.options, "adapt", None) is not None

    @property
    def _can_be_scaled(self) -> bool:
        return bool(getattr(self._hosted.cluster, "_supports_scaling", True))

    def _size(self) -> str:
        """How large the cluster is to be, and why."""
        adaptive = self._hosted.adaptive
        if adaptive is not None:
            return str(adaptive.size)
        if self._adapts:
            return "what its provider thinks right: it adapts in a way of its own"
        if self._asked is not None:
            return f"{self._asked} worker(s): asked for by dataflow cluster scale"
        workers = getattr(self._spec.options, "workers", None)
        if not self._can_be_scaled:
            made = getattr(self._hosted.cluster, "worker_spec", {})
            return f"{len(made) or 'some'} worker(s): those that it was made with"
        if workers is None:
            return "what its provider thinks right: neither workers nor adapt is in its spec"
        return f"{workers} worker(s): its spec says so (workers)"

    def _scale(self, workers: int) -> dict[str, Any]:
        if self._adapts:
            return {"error": "Its size follows the work, as its spec says (adapt)."}
        if not self._can_be_scaled:
            return {"error": "Its size is what its spec says: the hosts that are listed there."}
        self._hosted.cluster.scale(workers)
        self._asked = workers
        self._say(f"is to have {workers} workers")
        return {}

    def _take_remaining(self, asker: int, remaining: Remaining | None) -> None:
        """Note what remains for one run, or that it has gone."""
        with self._lock:
            if remaining is None:
                if self._remaining.pop(asker, None) is None:
                    return
            else:
                self._remaining[asker] = remaining
            every = list(self._remaining.values())
        self._hosted.expect(
            Remaining(
                sum(each.elements for each in every),
                sum(each.seconds for each in every),
                sum(each.unmeasured for each in every),
            )
        )
