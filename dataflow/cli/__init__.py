"""The command ``dataflow``: see ``dataflow --help``.

Exit status: 0, 1 if a flow failed or the machinery did, 2 for misuse (nothing has run), 130 after
Ctrl-C. Mistakes are told in a sentence and a hint; a traceback is a user's own, never ours.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

FAILED, MISUSE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; returns the exit status.

    Args:
        arguments: what stands behind the command's name (None: those of this process).
    """
    import click

    from dataflow.cli.commands import dataflow
    from dataflow.errors import DataflowError

    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error has it: file names, parameters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = dataflow.main(
            args=None if arguments is None else list(arguments),
            prog_name="dataflow",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except DataflowError as error:
        return _refuse(error)
    except BrokenPipeError:  # `dataflow runs ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    return status if isinstance(status, int) else 0


def _refuse(error: Exception) -> int:
    from dataflow.cli.complaints import complain, status_of
    from dataflow.settings import get_settings

    if os.environ.get("DATAFLOW_DEBUG") and get_settings().debug:
        raise error
    complain(error)
    return status_of(error)
