"""Proves that what can't be a training function is refused before anything is trained.

pytest tests/trainables
"""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from trainables.user_code.signature import function_problem


def generator(config, seed=7, epochs=3):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def hands_on(config):  # type: ignore[no-untyped-def]
    if config:
        return generator(config)
    return None


def stars(*args):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


@functools.wraps(generator)
def wrapper(config, **options):  # type: ignore[no-untyped-def]
    return generator(config, **options)


class Callable_:
    def __call__(self, config):  # type: ignore[no-untyped-def]
        yield {"loss": 0.5}

    def method(self, config):  # type: ignore[no-untyped-def]
        yield {"loss": 0.5}


def returns_nothing(config):  # type: ignore[no-untyped-def]
    def inner():  # type: ignore[no-untyped-def]
        yield 1
        return 2

    inner()


def returns_dict(config):  # type: ignore[no-untyped-def]
    if config:
        return {"loss": 0.5}
    return {"loss": 1}


def returns_list(config):  # type: ignore[no-untyped-def]
    return [{"loss": 0.5}]


def returns_sum(config):  # type: ignore[no-untyped-def]
    return 1 + len(config)


async def coroutine(config):  # type: ignore[no-untyped-def]
    return {"loss": 0.5}


async def async_generator(config):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def no_arguments():  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def two_arguments(config, data):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def by_keyword(*, config):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def open_keywords(**values):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


def by_position(config, seed, /):  # type: ignore[no-untyped-def]
    yield {"loss": 0.5}


GOOD = [
    generator,
    hands_on,
    stars,
    wrapper,
    Callable_(),
    Callable_().method,
    functools.partial(generator, epochs=2),
    lambda config: iter([{"loss": 0.5}]),
]
BAD: list[tuple[Callable[..., Any], str]] = [
    (returns_nothing, "it returns nothing"),
    (returns_dict, "it returns {'loss': 0.5}"),
    (returns_list, "it returns [{'loss': 0.5}]"),
    (returns_sum, "it returns 1 + len(config)"),
    (coroutine, "got an async one"),
    (async_generator, "got an async one"),
    (len, "got the built-in len"),
    (no_arguments, "too many positional arguments"),
    (two_arguments, "missing a required argument: 'data'"),
    (by_keyword, "too many positional arguments"),
    (open_keywords, "too many positional arguments"),
    (by_position, "'seed' parameter is positional only"),
]


@pytest.mark.parametrize("function", GOOD, ids=range(len(GOOD)))
def test_what_may_be_a_training_function_passes(function: Callable[..., Any]) -> None:
    assert function_problem(function) is None


@pytest.mark.parametrize(
    ("function", "reason"), BAD, ids=[function.__name__ for function, _ in BAD]
)
def test_what_can_be_none_is_refused_with_the_reason(
    function: Callable[..., Any], reason: str
) -> None:
    problem = function_problem(function)
    assert problem is not None
    assert reason in problem
