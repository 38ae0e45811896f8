"""Clusters whose workers are jobs of a batch system: Slurm, PBS, LSF, SGE, HTCondor.

The scheduler runs on this machine, beside the command or the flow that started it; the jobs connect
to it, so it listens beyond loopback, and speaks TLS unless told otherwise.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.heard import logger
from cluster.options import (
    ConfiguredOptions,
    FilePath,
    Options,
    SizedOptions,
    WorkerOptions,
    require,
)
from cluster.provider_protocol import Opening
from cluster.worker_reports import last_lines, output_of

_MOST_JOBS = 3
_MOST_LINES = 5
_TELLING = re.compile(r"state|status|reason|comment|exit|error|hold|pend|schedul|reject", re.I)


class JobOptions(WorkerOptions, ConfiguredOptions, SizedOptions):
    """What a spec may say of any batch system.

    Attributes:
        cores, memory: of a job.
        processes: workers in a job; its cores and memory are shared out among them.
        prologue: lines of shell that the job begins with, such as ``"module load python"``.
        python: the interpreter on the nodes; None: the path of ours.
        host: a name or address of this machine that the nodes can reach; None: found by Dask.
        interface: a network interface, instead of ``host``, here and on the nodes.
        local_folder: where workers put what does not fit into memory.
        log_folder: where the batch system writes what jobs print.
        shared_folder: which the nodes can read, for certificates; None: ``DATAFLOW_HOME``.
        patience_seconds: a day, since jobs may have to wait for others.
        kwargs: more arguments of dask-jobqueue's class.
    """

    cores: Annotated[int, Field(ge=1)] = 1
    memory: str
    processes: Annotated[int, Field(ge=1)] = 1
    prologue: list[str] = Field(default_factory=list)
    python: str | None = None
    host: str | None = None
    interface: str | None = None
    local_folder: str | None = None
    log_folder: FilePath | None = None
    shared_folder: FilePath | None = None
    patience_seconds: Annotated[float, Field(gt=0)] = 86_400.0
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def offered(self) -> dict[str, float] | None:
        """The resources of each worker; None: more arguments than ours may say it."""
        import dask

        others = f"{self.kwargs} {dask.config.get('jobqueue', {})}"
        return None if "--resources" in others else self.resources

    def lines(self) -> list[str]:
        """What the shell of a job begins with."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.env.items()]
        moved = [f"cd {shlex.quote(self.working_folder)} || exit"] if self.working_folder else []
        return [*self.prologue, *exports, *moved]


class QueueOptions(JobOptions):
    """Of batch systems with queues.

    Attributes:
        directives: further lines of the job's header, such as ``"--gres=gpu:1"``.
        queue: or partition.
        account: that pays; the project, where it is called so.
        walltime: the longest that a job may take, as the batch system writes it.
    """

    directives: list[str] = Field(default_factory=list)
    queue: str | None = None
    account: str | None = None
    walltime: str | None = None


class CondorOptions(JobOptions):
    """Of HTCondor.

    Attributes:
        directives: further lines of the submit description.
        disk: that a job needs, such as ``"1GB"``.
    """

    directives: dict[str, str | int | float] = Field(default_factory=dict)
    disk: str


class JobQueueProvider:
    """Submits jobs through dask-jobqueue; a subclass for each batch system."""

    options: ClassVar[type[Options]] = QueueOptions
    is_hosted: ClassVar[bool] = True
    class_name: ClassVar[str]
    status_command: ClassVar[tuple[str, ...]]
    named: ClassVar[dict[str, str]] = {
        "queue": "queue",
        "account": "account",
        "walltime": "walltime",
    }

    def __init__(self) -> None:
        self._jobs: list[str] = []  # ids of all that were submitted

    def listens_beyond_loopback(self, options: JobOptions) -> bool:
        """The jobs are elsewhere."""
        return True

    def open(self, options: JobOptions, opening: Opening) -> Any:
        """A cluster that submits jobs: as many as the spec says, or none yet if it adapts."""
        problem = f"Clusters of this kind ({self.class_name}) need dask-jobqueue."
        library = require("dask_jobqueue", problem, "jobqueue")
        made = getattr(library, self.class_name)
        job = noted_class(made.job_cls, self._jobs.append)
        cluster = made(**{"job_cls": job, **self.arguments(options, opening)})
        if options.adapt is None and options.workers:
            try:
                cluster.sync(_submit, cluster, options.workers)
            except BaseException:  # an interruption, too, must not leave jobs behind
                cluster.close()
                raise
        return cluster

    def report(self, cluster: Any) -> list[str]:
        """What the batch system says of the jobs that were submitted last."""
        lines = [f"job {each}: {self.state_of(each)}" for each in self._jobs[-_MOST_JOBS:]]
        return [f"jobs submitted: {len(self._jobs)}", *lines]

    def state_of(self, job: str) -> str:
        """What the batch system says of a job."""
        return telling_lines(output_of(*self.status_command, job))

    def arguments(self, options: JobOptions, opening: Opening) -> dict[str, Any]:
        """What dask-jobqueue's class is called with."""
        scheduler = options.scheduler_options()
        if options.host is not None:
            scheduler["host"] = options.host
        given = {
            "job_name": f"dataflow-{opening.name}",
            "cores": options.cores,
            "memory": options.memory,
            "processes": options.processes,
            "job_script_prologue": options.lines(),
            "python": options.python,
            "interface": options.interface,
            "local_directory": options.local_folder,
            "log_directory": options.log_folder,
            "job_extra_directives": getattr(options, "directives", None),
            **{ours: getattr(options, field) for field, ours in self.named.items()},
        }
        arguments = {name: value for name, value in given.items() if value is not None}
        arguments["scheduler_options"] = scheduler
        if opening.tls is not None:
            # paths stand in the jobs' command lines; what is in the files does not
            security = opening.tls.security_of_files(opening.folder)
            arguments |= {"protocol": "tls://", "security": security}
        return {**arguments, **options.kwargs, **self._worker_arguments(options)}

    def _worker_arguments(self, options: JobOptions) -> dict[str, Any]:
        """Those of the workers' command: ours, and what the spec and Dask's configuration add."""
        import dask

        ours = [shlex.quote(each) for each in options.worker_arguments()]
        if not ours:
            return {}
        place = f"jobqueue.{self.class_name.removesuffix('Cluster').lower()}.worker-extra-args"
        others = options.kwargs.get("worker_extra_args", dask.config.get(place, []))
        return {"worker_extra_args": [*others, *ours]}


async def _submit(cluster: Any, workers: int) -> None:
    """Submit jobs; what the batch system refuses is an error now, and not only in a log."""
    cluster.scale(workers)
    await cluster._correct_state()


def noted_class(job_class: Any, note: Callable[[str], None]) -> Any:
    """A class of jobs each of which is noted when it has been submitted, or said to be refused."""

    class NotedJob(job_class):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:
                told = str(error).partition("stderr:")[2] or str(error)
                logger.warning("a job was refused: %s", " ".join(told.split()))
                raise
            note(str(self.job_id))

    return NotedJob


def telling_lines(output: str) -> str:
    """What a batch system's long answer says of why a job does not run."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "; ".join([line for line in lines if _TELLING.search(line)][:_MOST_LINES] or lines[:1])


class SlurmProvider(JobQueueProvider):
    """Slurm (the entry point ``slurm``)."""

    class_name = "SLURMCluster"
    status_command = ("scontrol", "show", "job", "--oneliner")

    def state_of(self, job: str) -> str:
        """Its state, why it is in it, and the end of its log if that can be read here."""
        told = output_of(*self.status_command, job)
        found = dict(re.findall(r"(\w+)=(\S+)", told))
        if "JobState" not in found:
            return telling_lines(told)
        state = f"{found['JobState']}, reason {found.get('Reason')}, exit {found.get('ExitCode')}"
        log = found.get("StdErr", "").replace("%J", job).replace("%j", job)
        return state + "".join(f"\n    {line}" for line in last_lines(log))


class PbsProvider(JobQueueProvider):
    """PBS (the entry point ``pbs``)."""

    class_name = "PBSCluster"
    status_command = ("qstat", "-f")


class LsfProvider(JobQueueProvider):
    """LSF (the entry point ``lsf``)."""

    class_name = "LSFCluster"
    status_command = ("bjobs", "-l")
    named: ClassVar[dict[str, str]] = {**JobQueueProvider.named, "account": "project"}


class SgeProvider(JobQueueProvider):
    """Grid Engine (the entry point ``sge``)."""

    class_name = "SGECluster"
    status_command = ("qstat", "-j")
    named: ClassVar[dict[str, str]] = {**JobQueueProvider.named, "account": "project"}


class CondorProvider(JobQueueProvider):
    """HTCondor (the entry point ``htcondor``)."""

    options: ClassVar[type[Options]] = CondorOptions
    class_name = "HTCondorCluster"
    status_command = ("condor_q", "-analyze")
    named: ClassVar[dict[str, str]] = {"disk": "disk"}
