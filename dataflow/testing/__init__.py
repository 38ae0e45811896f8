"""For tests of flows: :func:`dataflow_test_harness`, and the pytest fixtures that are made of it.

    from dataflow.testing import dataflow_test_harness

    with dataflow_test_harness() as harness:
        assert my_flow(3) == 6
        assert harness.run(my_flow).state.is_completed()

A function alone is tested without any of it: ``my_task.fn(3)``, ``my_flow.fn(3)``.
"""

from __future__ import annotations

from dataflow.testing.harness import Harness, dataflow_test_harness, keep_pools

__all__ = ["Harness", "dataflow_test_harness", "keep_pools"]
