"""Batches: what is answered together, refused, dropped."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packline_core.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from packline_core.serving.batcher import Batcher
from packline_core.serving.config import Limits


class Worker:
    """Doubles numbers; holds each batch until it is let go where a gate is given."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.batches: list[list[Any]] = []
        self.gate = gate

    def __call__(self, items: Sequence[Any]) -> Sequence[Any]:
        self.batches.append(list(items))
        if self.gate is not None:
            assert self.gate.wait(10)
        if "poison" in items:
            raise ValueError("poison")
        return [InvalidInput("bad") if item == "bad" else item * 2 for item in items]


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never")


async def test_a_lone_call_waits_for_nobody() -> None:
    worker = Worker()
    batcher = Batcher(worker, Limits())
    assert await batcher.submit([1, 2]) == [2, 4]
    assert batcher.idle
    batcher.close()


async def test_what_waits_is_answered_together() -> None:
    gate = threading.Event()
    worker = Worker(gate)
    batcher = Batcher(worker, Limits(max_batch=8))
    calls = [asyncio.create_task(batcher.submit([n])) for n in range(6)]
    await until(lambda: batcher.waiting == 5 and worker.batches)
    assert not batcher.idle
    gate.set()
    assert await asyncio.gather(*calls) == [[0], [2], [4], [6], [8], [10]]
    assert worker.batches == [[0], [1, 2, 3, 4, 5]]
    batcher.close()


async def test_a_long_call_lets_short_ones_pass() -> None:
    gate = threading.Event()
    worker = Worker(gate)
    batcher = Batcher(worker, Limits(max_batch=4))
    long = asyncio.create_task(batcher.submit(list(range(10))))
    await until(lambda: worker.batches)
    short = asyncio.create_task(batcher.submit([100]))
    await until(lambda: batcher.waiting == 1)
    gate.set()
    assert await short == [200] and await long == [2 * n for n in range(10)]
    assert 100 in worker.batches[1]
    batcher.close()


async def test_a_full_queue_refuses_and_says_when() -> None:
    gate = threading.Event()
    batcher = Batcher(Worker(gate), Limits(max_queue=2))
    calls = [asyncio.create_task(batcher.submit([n])) for n in range(3)]
    await until(lambda: batcher.waiting == 2)
    with pytest.raises(Overloaded) as refused:
        await batcher.submit([9])
    assert 0.05 <= refused.value.retry_after <= 60
    gate.set()
    assert await asyncio.gather(*calls) == [[0], [2], [4]]
    batcher.close()


async def test_a_call_past_its_deadline_is_never_worked_on() -> None:
    gate = threading.Event()
    worker = Worker(gate)
    batcher = Batcher(worker, Limits())
    first = asyncio.create_task(batcher.submit([1]))
    late = asyncio.create_task(batcher.submit([2], time.monotonic() + 0.02))
    left = asyncio.create_task(batcher.submit([3]))
    await until(lambda: batcher.waiting == 2)
    left.cancel()
    await asyncio.sleep(0.05)
    gate.set()
    assert await first == [2]
    with pytest.raises(DeadlineExceeded):
        await late
    assert worker.batches == [[1]]
    batcher.close()


async def test_one_bad_call_spoils_no_other() -> None:
    gate = threading.Event()
    batcher = Batcher(Worker(gate), Limits())
    first = asyncio.create_task(batcher.submit([0]))
    await until(lambda: not batcher.idle)
    calls = [asyncio.create_task(batcher.submit([item])) for item in (1, "poison", 2, "bad", 3)]
    await until(lambda: batcher.waiting == 5)
    gate.set()
    results = await asyncio.gather(first, *calls, return_exceptions=True)
    assert [results[0], results[1], results[3], results[5]] == [[0], [2], [4], [6]]
    assert isinstance(results[2], ValueError) and isinstance(results[4], InvalidInput)
    batcher.close()


async def test_closing_refuses_what_waits_and_ends_the_threads() -> None:
    gate = threading.Event()
    batcher = Batcher(Worker(gate), Limits())
    first = asyncio.create_task(batcher.submit([1]))
    second = asyncio.create_task(batcher.submit([2]))
    await until(lambda: batcher.waiting == 1)
    batcher.close()
    gate.set()
    assert await first == [2]
    for call in (second, asyncio.create_task(batcher.submit([3]))):
        with pytest.raises(Unavailable):
            await call
    await asyncio.to_thread(batcher.join)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(), max_size=9), max_size=25),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_everybody_gets_their_own_answers_in_order(calls: list[list[int]], max_batch: int, workers: int) -> None:
    async def run() -> None:
        worker = Worker()
        batcher = Batcher(worker, Limits(max_queue=100, max_batch=max_batch, workers=workers))
        results = await asyncio.gather(*(batcher.submit(call) for call in calls))
        assert results == [[2 * item for item in call] for call in calls]
        assert all(len(batch) <= max_batch for batch in worker.batches)
        batcher.close()
        await asyncio.to_thread(batcher.join)

    asyncio.run(run())
