"""Proves that orders and answers meet in the mailbox of a group; the slow tests start workers.

pytest tests/cluster/test_group.py
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cluster.group import _Mailbox
from cluster.trainer import Outcome

FAILED = Outcome(failed="ValueError")


def together(*waiting: Coroutine[Any, Any, Any]) -> list[Any]:
    async def gather() -> list[Any]:
        return list(await asyncio.wait_for(asyncio.gather(*waiting), 10))

    return asyncio.run(gather())


def test_every_worker_gets_the_order_that_it_waits_for() -> None:
    mailbox = _Mailbox(workers=2)
    orders = together(mailbox.order_after(-1), mailbox.order_after(-1), mailbox.post("step"))
    assert orders == [(0, "step"), (0, "step"), 0]


def test_a_worker_that_comes_late_gets_the_order_all_the_same() -> None:
    mailbox = _Mailbox(workers=1)
    assert together(mailbox.post("drop")) == [0]
    assert together(mailbox.order_after(-1)) == [(0, "drop")]


def test_the_answers_are_there_when_all_have_answered() -> None:
    async def take_turns() -> dict[int, Outcome]:
        mailbox = _Mailbox(workers=2)
        number = await mailbox.post("step")
        waiting = asyncio.create_task(mailbox.answers(number, 10))
        await mailbox.answer(number, 1, FAILED)
        await asyncio.sleep(0)
        assert not waiting.done(), "the first one waits for the second"
        await mailbox.answer(number, 0, Outcome())
        return await waiting

    assert asyncio.run(take_turns()) == {0: Outcome(), 1: FAILED}


def test_after_a_while_the_answers_are_those_that_came() -> None:
    async def answer_alone() -> dict[int, Outcome]:
        mailbox = _Mailbox(workers=2)
        number = await mailbox.post("step")
        await mailbox.answer(number, 1, FAILED)
        return await mailbox.answers(number, 0.01)

    assert asyncio.run(answer_alone()) == {1: FAILED}


def test_an_answer_to_an_order_of_before_is_not_taken_for_one_to_this() -> None:
    async def answer_late() -> dict[int, Outcome]:
        mailbox = _Mailbox(workers=1)
        before = await mailbox.post("step")
        number = await mailbox.post("drop")
        await mailbox.answer(before, 0, FAILED)
        return await mailbox.answers(number, 0.01)

    assert asyncio.run(answer_late()) == {}
