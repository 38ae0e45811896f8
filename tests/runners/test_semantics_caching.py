"""Results that are taken instead of being made again: by cache keys, on every runner."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import numpy
import pandas
import pytest

from dataflow import flow, records, task, unmapped
from dataflow.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    task_input_hash,
)
from dataflow.errors import DefinitionError, UnhashableInputError
from tests.runners.effects import done, note


@task(cache_policy=INPUTS)
def double(x, place):
    note(place, x)
    return 2 * x


@task(cache_policy=INPUTS)
async def double_async(x, place):
    note(place, x)
    return 2 * x


@task
def increment(x):
    return x + 1


@flow
def doubles(n, place):
    return double.map(range(n), unmapped(place)).result()


def newest(of):
    return records.runs(flow_name=of.name)[0]


def test_what_was_made_is_not_made_again(runner, place):
    assert doubles(20, place) == doubles(20, place) == [2 * x for x in range(20)]
    assert done(place) == {str(x): 1 for x in range(20)}
    second, first = records.runs(flow_name="doubles")
    assert first.nodes()[0].counts == {"Completed": 20}
    assert second.nodes()[0].counts == {"Cached": 20}


def test_a_hit_is_completed_named_cached_and_names_the_run_that_made_it(runner, place):
    doubles(3, place)
    made_by = newest(doubles).id

    @flow
    def looks():
        future = double.submit(2, place)
        future.wait()
        return [future.state]

    state = looks(return_state=True).data
    state = newest(looks).element("double-0").state
    assert (state.is_completed(), state.name) == (True, "Cached")
    assert made_by in state.message
    assert state.result() == 4


def test_the_state_of_a_hit_is_told_in_the_flow_too(runner, place):
    doubles(3, place)
    seen = []

    @flow
    def looks():
        futures = double.map(range(3), unmapped(place))
        futures.wait()
        seen.extend(future.state for future in futures)
        seen.append(double(1, place, return_state=True))

    looks()
    assert {state.name for state in seen} == {"Cached"}
    assert [state.result() for state in seen] == [0, 2, 4, 2]
    assert all("was taken" in state.message for state in seen)


def test_of_a_map_that_is_half_cached_the_other_half_is_made(runner, place):
    doubles(10, place)
    assert doubles(20, place) == [2 * x for x in range(20)]
    assert done(place) == {str(x): 1 for x in range(20)}
    assert newest(doubles).nodes()[0].counts == {"Cached": 10, "Completed": 10}
    assert doubles(20, place) == [2 * x for x in range(20)]
    assert newest(doubles).nodes()[0].counts == {"Cached": 20}


def test_hits_between_misses(runner, place):
    @flow
    def some(xs):
        return double.map(xs, unmapped(place)).result()

    some([1, 3, 5])
    assert some([0, 1, 2, 3, 4, 5, 6]) == [0, 2, 4, 6, 8, 10, 12]
    assert newest(some).nodes()[0].counts == {"Cached": 3, "Completed": 4}
    assert newest(some).results("double-0") == [0, 2, 4, 6, 8, 10, 12]


@flow
def every_verb(place):
    called, submitted = double(1, place), double.submit(2, place).result()
    return called, submitted, double.map([3], unmapped(place)).result()


def test_calls_and_submits_and_maps_share_keys(runner, place):
    assert every_verb(place) == every_verb(place) == (2, 4, [6])
    assert done(place) == {"1": 1, "2": 1, "3": 1}
    assert [node.counts for node in newest(every_verb).nodes()] == [{"Cached": 1}] * 3


@flow
def asynchronous(place):
    return double_async.map(range(4), unmapped(place)).result(), double_async(9, place)


def test_what_a_bare_call_came_to_is_found_by_the_next_one(runner, place):
    @flow
    def in_turn():
        for x in range(20):
            double(x, place)
            double(x, place)
            double.submit(x, place).wait()

    @flow
    async def in_turn_async():
        for x in range(20, 40):
            await double_async(x, place)
            await double_async(x, place)

    in_turn()
    asyncio.run(in_turn_async())
    assert set(done(place).values()) == {1}


def test_async_tasks(runner, place):
    assert asynchronous(place) == asynchronous(place) == ([0, 2, 4, 6], 18)
    assert set(done(place).values()) == {1}


@task
def numbers(n):
    return list(range(n))


@flow
def inputs_made_by_tasks(place):
    fixed = increment.submit(4)
    chained = double.map(increment.map(range(5)), unmapped(place))
    dynamic = double.map(numbers.submit(7), unmapped(place))
    gathered = double.submit(fixed, place)
    return chained.result(), dynamic.result(), gathered.result(), increment.map(chained).result()


def test_inputs_that_tasks_made(runner, place):
    first = inputs_made_by_tasks(place)
    assert first == ([2, 4, 6, 8, 10], [0, 2, 4, 6, 8, 10, 12], 10, [3, 5, 7, 9, 11])
    before = done(place)
    assert inputs_made_by_tasks(place) == first
    assert done(place) == before
    kinds = {node.key: set(node.counts) for node in newest(inputs_made_by_tasks).nodes()}
    assert {key: names for key, names in kinds.items() if key.startswith("double")} == {
        f"double-{number}": {"Cached"} for number in range(3)
    }


@task(cache_policy=INPUTS)
def join(parts, place):
    note(place, "join")
    return sum(parts)


@flow
def lists_of_futures(place):
    return join.submit([increment.submit(1), increment.submit(2)], place).result()


def test_futures_inside_containers_count_by_their_values(runner, place):
    assert lists_of_futures(place) == lists_of_futures(place) == 5
    assert done(place) == {"join": 1}


def test_without_a_policy_nothing_is_taken(runner, place):
    kept = double.with_options(cache_policy=None, persist_result=True)
    never = double.with_options(cache_policy=NO_CACHE)

    @flow
    def twice():
        return kept.map([1, 1], unmapped(place)).result(), never.submit(1, place).result()

    twice(), twice()
    assert done(place) == {"1": 6}


def test_persisting_switched_off_switches_the_cache_off(runner, place):
    off = double.with_options(persist_result=False)

    @flow
    def twice():
        return off.submit(1, place).result()

    twice(), twice()
    assert done(place) == {"1": 2}


# --- what counts ----------------------------------------------------------------------------------


def test_refreshing_makes_it_again_and_replaces_it(runner, place):
    doubles(3, place)
    fresh = double.with_options(refresh_cache=True)

    @flow
    def again():
        return fresh.map(range(3), unmapped(place)).result()

    again()
    assert done(place) == {"0": 2, "1": 2, "2": 2}
    doubles(3, place)
    element = newest(doubles).element("double-0", 1)
    assert newest(again).id in element.state.message


def test_what_has_expired_is_made_again(runner, place):
    soon = double.with_options(cache_expiration=timedelta(microseconds=1))
    later = double.with_options(cache_expiration=timedelta(days=1), name="later")

    @flow
    def once():
        return soon.submit(1, place).result(), later.submit(2, place).result()

    once(), once()
    assert done(place) == {"1": 2, "2": 1}


def test_arguments_that_do_not_count(runner, place, tmp_path):
    without = double.with_options(cache_policy=INPUTS - "place")

    @flow
    def elsewhere(there):
        return without.map(range(3), unmapped(there)).result()

    assert elsewhere(place) == elsewhere(str(tmp_path / "other")) == [0, 2, 4]
    assert not done(str(tmp_path / "other"))


def versions(number, place):
    @task(name="versioned", cache_policy=TASK_SOURCE + INPUTS)
    def versioned(x):
        note(place, number)
        return x + number

    return versioned


def test_a_task_whose_source_changed_is_run_again(runner, place):
    @flow
    def run_version(number):
        return versions(number, place).submit(1).result()

    assert [run_version(number) for number in (1, 1, 2, 2)] == [2, 2, 3, 3]
    assert done(place) == {"1": 1, "2": 1}


def test_two_tasks_share_nothing_unless_their_key_functions_say_so(runner, place):
    def other(x, place):
        note(place, f"other {x}")
        return -x

    apart = task(other, cache_policy=INPUTS)
    by_hand = CacheKeyFnPolicy(lambda context, parameters: f"both-{parameters['x']}")
    one, two = double.with_options(cache_policy=by_hand), task(other, cache_policy=by_hand)

    @flow
    def both():
        return [t.submit(1, place).result() for t in (double, apart, one, two)]

    assert both() == [2, -1, 2, 2]


def test_a_run_as_part_of_the_key(runner, place):
    within = double.with_options(cache_policy=INPUTS + RUN_ID)
    default = double.with_options(cache_policy=DEFAULT, name="default")

    @flow
    def three_times():
        return [t.submit(1, place).result() for t in (within, within, default, default)]

    three_times(), three_times()
    assert done(place) == {"1": 4}


def test_the_parameters_of_the_flow_as_part_of_the_key(runner, place):
    by_parameters = double.with_options(cache_policy=FLOW_PARAMETERS)

    @flow
    def parametrized(day):
        return by_parameters.submit(1, place).result()

    for day in ("monday", "monday", "tuesday"):
        parametrized(day)
    assert done(place) == {"1": 2}


def test_key_functions(runner, place):
    def by_parity(context, parameters):
        assert context.task.name == "double"
        assert context.task_run.flow_run_id
        return None if parameters["x"] > 3 else f"parity-{parameters['x'] % 2}"

    keyed = double.with_options(cache_key_fn=by_parity)

    @flow
    def by_key():
        return [keyed.submit(x, place).result() for x in (0, 1, 2, 3, 4, 4)]

    assert by_key() == [0, 2, 0, 2, 8, 8]
    assert done(place) == {"0": 1, "1": 1, "4": 2}


def test_the_key_function_of_old(runner, place):
    hashed = double.with_options(cache_key_fn=task_input_hash)

    @flow
    def old_style():
        return hashed.map(range(3), unmapped(place)).result()

    old_style(), old_style()
    assert set(done(place).values()) == {1}


class ByName(CachePolicy):
    def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
        return f"{task_ctx.task.name}-{inputs['x']}"


def test_a_policy_of_ones_own(runner, place, tmp_path):
    own = double.with_options(cache_policy=ByName() + TASK_SOURCE)

    @flow
    def own_policy(there):
        return own.map(range(3), unmapped(there)).result()

    own_policy(place), own_policy(str(tmp_path / "other"))
    assert not done(str(tmp_path / "other"))


# --- what cannot be hashed ------------------------------------------------------------------------


@task(cache_policy=INPUTS)
def needs_client(x, client):
    return x


def test_an_argument_that_cannot_be_hashed_is_named_with_the_ways_out(shares_objects, runner):
    if not shares_objects:
        return  # it could not be sent either
    client = {"session": [threading.Lock()]}

    @flow(fail_on_unhandled=False)
    def with_client():
        return needs_client.map(range(2), unmapped(client)), needs_client.submit(1, client)

    with pytest.raises(ExceptionGroup):
        with_client()
    (first, *_) = newest(with_client).failures()
    with pytest.raises(UnhashableInputError) as caught:
        raise first.exception
    text = str(caught.value)
    assert "'client' of task 'needs_client'" in text
    assert "lock object at ['session'][0]" in text
    assert "INPUTS - 'client'" in text
    assert caught.value.argument == "client"


def test_a_parameter_of_the_flow_that_cannot_be_hashed_is_named(runner, place):
    by_parameters = double.with_options(cache_policy=FLOW_PARAMETERS)

    @flow(fail_on_unhandled=False)
    def parametrized(client):
        by_parameters.submit(1, place)

    parametrized(threading.Lock())
    (failure,) = newest(parametrized).failures()
    assert "'client' of the flow" in str(failure.exception)


def test_by_default_such_an_argument_fails_no_task(shares_objects, runner):
    if not shares_objects:
        return
    lenient = needs_client.with_options(cache_policy=DEFAULT)
    kept = needs_client.with_options(cache_policy=None, persist_result=True)
    client = threading.Lock()

    @flow
    def with_client():
        called = lenient(1, client), kept(1, client)
        return called, lenient.map([1, 2], unmapped(client)).result()

    assert with_client() == ((1, 1), [1, 2])


def test_a_key_function_that_raises_fails_its_call(runner, place):
    broken = double.with_options(cache_key_fn=lambda context, parameters: 1 / parameters["x"])

    @flow(fail_on_unhandled=False)
    def broken_keys():
        broken.submit(0, place)

    broken_keys()
    (failure,) = newest(broken_keys).failures()
    assert failure.exception_type == "ZeroDivisionError"
    assert not done(place)


def test_what_is_no_policy_is_refused(runner):
    with pytest.raises(DefinitionError, match=r"dataflow\.cache_policies"):
        task(lambda x: x, cache_policy="inputs")
    with pytest.raises(DefinitionError, match="name of an argument"):
        INPUTS - 3  # type: ignore[operator]
    with pytest.raises(DefinitionError, match="more than 0"):
        task(lambda x: x, cache_expiration=timedelta(0))


# --- arrays and frames ----------------------------------------------------------------------------


@task(cache_policy=INPUTS - "place")
def total(frame, array, place):
    note(place, "total")
    return float(frame["x"].sum() + array.sum())


@flow
def of_arrays(place, step=1):
    frame = pandas.DataFrame({"x": range(100), "name": ["a", "b"] * 50})
    array = numpy.arange(1000.0) * step
    return total.submit(frame, array, place).result()


def test_frames_and_arrays_count_by_their_content(runner, place):
    assert of_arrays(place) == of_arrays(place)
    assert done(place) == {"total": 1}
    of_arrays(place, step=2)
    assert done(place) == {"total": 2}


# --- damage ---------------------------------------------------------------------------------------


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def _damage(path):
    data = bytearray(path.read_bytes())
    data[2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_truncate, _damage, lambda path: path.unlink()])
def test_a_damaged_result_is_found_said_and_made_again(runner, place, home, harm):
    doubles(5, place)
    for path in (home / "results").rglob("*"):
        if path.is_file():
            harm(path)
    assert doubles(5, place) == [0, 2, 4, 6, 8]
    assert done(place) == {str(x): 2 for x in range(5)}
    run = newest(doubles)
    assert run.nodes()[0].counts == {"Completed": 5}
    assert any("computed again" in line.message for line in run.logs(level="WARNING"))
    doubles(5, place)
    assert newest(doubles).nodes()[0].counts == {"Cached": 5}


def test_hooks_of_completion_are_called_for_hits(runner, place):
    seen = []
    hooked = double.with_options(on_completion=[lambda t, run, state: seen.append(state.name)])

    @flow
    def hooked_flow():
        return hooked.map(range(2), unmapped(place)).result(), hooked(7, place)

    hooked_flow(), hooked_flow()
    assert sorted(seen) == ["Cached"] * 3 + ["Completed"] * 3


# --- at once --------------------------------------------------------------------------------------


def test_runs_that_want_a_key_at_once_make_it_once(runner, place):
    once = double.with_options(cache_policy=INPUTS.configure(isolation="serializable"))

    @flow
    def wanting():
        futures = once.map([1, 2, 3, 1, 2, 3], unmapped(place))
        return futures.result(), once.submit(1, place).result(), once(4, place)

    found = []
    threads = [threading.Thread(target=lambda: found.append(wanting())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [([2, 4, 6, 2, 4, 6], 2, 8)] * 3
    assert done(place) == {"1": 1, "2": 1, "3": 1, "4": 1}


def test_who_waits_for_a_call_that_fails_makes_it_itself(runner, place, monkeypatch):
    monkeypatch.setattr("dataflow.execution.loop.run_loop.RENEW_SECONDS", 0.05)

    @task(cache_policy=INPUTS.configure(isolation="serializable"))
    def fails_first(x, place):
        note(place, x)
        if done(place)[str(x)] == 1:
            raise ValueError(x)
        return x

    @flow(fail_on_unhandled=False)
    def twice():
        futures = fails_first.map([1, 1], unmapped(place))
        futures.wait()
        return [future.state.name for future in futures]

    assert sorted(twice()) == ["Completed", "Failed"]
