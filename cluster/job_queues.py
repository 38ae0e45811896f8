"""Clusters whose workers are jobs of a batch system: Slurm, PBS, LSF, SGE, HTCondor.

The scheduler runs on this machine, beside the command or the flow that started it; the jobs connect
to it, so it listens beyond loopback, and speaks TLS unless told otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.options import ConfiguredOptions, FilePath, Options, SizedOptions, require
from cluster.provider_protocol import Opening


class JobOptions(ConfiguredOptions, SizedOptions):
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
    kwargs: dict[str, Any] = Field(default_factory=dict)


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
    named: ClassVar[dict[str, str]] = {
        "queue": "queue",
        "account": "account",
        "walltime": "walltime",
    }

    def listens_beyond_loopback(self, options: JobOptions) -> bool:
        """The jobs are elsewhere."""
        return True

    def open(self, options: JobOptions, opening: Opening) -> Any:
        """A cluster that submits jobs; none has been when this returns."""
        problem = f"Clusters of this kind ({self.class_name}) need dask-jobqueue."
        library = require("dask_jobqueue", problem, "jobqueue")
        return getattr(library, self.class_name)(**self.arguments(options, opening))

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
            "job_script_prologue": options.prologue,
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
        return {**arguments, **options.kwargs}


class SlurmProvider(JobQueueProvider):
    """Slurm (the entry point ``slurm``)."""

    class_name = "SLURMCluster"


class PbsProvider(JobQueueProvider):
    """PBS (the entry point ``pbs``)."""

    class_name = "PBSCluster"


class LsfProvider(JobQueueProvider):
    """LSF (the entry point ``lsf``)."""

    class_name = "LSFCluster"
    named: ClassVar[dict[str, str]] = {**JobQueueProvider.named, "account": "project"}


class SgeProvider(JobQueueProvider):
    """Grid Engine (the entry point ``sge``)."""

    class_name = "SGECluster"
    named: ClassVar[dict[str, str]] = {**JobQueueProvider.named, "account": "project"}


class CondorProvider(JobQueueProvider):
    """HTCondor (the entry point ``htcondor``)."""

    options: ClassVar[type[Options]] = CondorOptions
    class_name = "HTCondorCluster"
    named: ClassVar[dict[str, str]] = {"disk": "disk"}
