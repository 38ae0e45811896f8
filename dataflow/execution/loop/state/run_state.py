"""The heart: which node can begin, which has ended, and what follows from that.

No input or output, no clock, no thread: things are told to it (``traced``, ``reported``,
``answered``, ``lost``, ``cancel``, ``retry``), and what is to be done stands in its outbox
afterwards: records to write, announcements to make once they are written, results to look up,
retries to come back to.
"""

from __future__ import annotations

from dataflow.execution.loop.state.answered import Answered
from dataflow.execution.loop.state.cancelled import Cancelled
from dataflow.execution.loop.state.lost import Lost
from dataflow.execution.loop.state.outbox import Retry
from dataflow.execution.loop.state.reported import Reported
from dataflow.execution.loop.state.traced import Traced
from dataflow.graph.nodes import ENDED_CODES, TaskNode


class RunState(Traced, Reported, Answered, Lost, Cancelled):
    """All graphs of this process, and what runs of them; each kind of news has its module."""

    def retry(self, retry: Retry) -> None:
        """The delay of a retry is over."""
        node = retry.node
        if isinstance(node, TaskNode):
            if node.code not in ENDED_CODES:
                node.graph.queue.add_call(node)
        elif node.settled[retry.element] not in ENDED_CODES:
            node.graph.queue.add_range(node.work, retry.element, retry.element + 1)
