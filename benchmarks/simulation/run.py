"""One simulated run: a map of many elements on many threads."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peak_memory import peak_growth
from benchmarks.simulation.client import Client, SimulatedRunner
from benchmarks.simulation.cluster import Cluster, Timeline
from dataflow import task
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.trace import trace_map
from dataflow.ids import new_run_id
from dataflow.model.batches import RunInfo
