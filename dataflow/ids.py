"""Identifiers of runs, and names that people can say.

A run id is 32 hexadecimal digits of which the first 12 are the milliseconds since the epoch, so
that ids sort by the time at which they were made (the layout of UUID version 7, RFC 9562).
Everything inside a run is named by the run's id and a number; only artifacts, which may be made
outside runs, have ids of their own.
"""

from __future__ import annotations

import os
import random
import time

_ADJECTIVES = (
    "amber ancient azure bold brave bright brisk calm clever cosmic crimson curious daring deft "
    "eager early fabled fearless gentle gleaming golden graceful hardy honest humble jolly keen "
    "kind lively lucid lucky merry mellow mighty nimble noble patient placid polished proud quick "
    "quiet radiant rapid resolute rustic sage serene shiny silent sincere smooth snappy spry "
    "steady sturdy subtle sunny swift tidy tranquil upbeat valiant vivid warm wise witty zesty"
).split()
_ANIMALS = (
    "albatross alpaca antelope badger bat bear beaver bison bobcat buffalo camel caribou cheetah "
    "chinchilla cobra condor coyote crane deer dolphin eagle egret falcon ferret finch fox gazelle "
    "gecko gibbon heron hare hedgehog ibex iguana jackal jaguar kestrel kingfisher koala lark "
    "lemur leopard llama lynx macaw magpie marmot marten meerkat mongoose moose narwhal newt "
    "ocelot "
    "orca osprey otter owl panda parrot pelican penguin puffin puma quail raven robin salmon "
    "seal stork swan tapir tern toucan turtle vole walrus wombat wren yak zebra"
).split()
_random = random.SystemRandom()


def new_run_id() -> str:
    """A new run id: 32 hexadecimal digits, later ids sort after earlier ones."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{milliseconds:012x}7{os.urandom(10).hex()[:19]}"


def new_artifact_id() -> str:
    """A new id of an artifact; it looks like that of a run."""
    return new_run_id()


def new_run_name() -> str:
    """A random name such as ``brisk-otter``."""
    return f"{_random.choice(_ADJECTIVES)}-{_random.choice(_ANIMALS)}"


def task_run_id(run_id: str, node: int, index: int = 0) -> str:
    """The id of one task run: derived, never stored."""
    return f"{run_id}.{node}.{index}"
