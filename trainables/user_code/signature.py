"""What a training function must look like, as far as can be seen without calling it."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

GIVEN = ("seed", "max_epochs", "device", "folder", "rank", "workers")
NO_ITERATORS = (
    *(
        ast.Constant,
        ast.JoinedStr,
        ast.Dict,
        ast.List,
        ast.Tuple,
        ast.Set,
        ast.ListComp,
        ast.DictComp,
        ast.SetComp,
    ),
    *(ast.BinOp, ast.UnaryOp, ast.Compare),
)


def accepted(function: Any, context: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the context's entries that the function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(context)
    names = {parameter.name for parameter in list(parameters)[1:]}
    return {name: value for name, value in context.items() if name in names}


def function_problem(function: Callable[..., Any]) -> str | None:
    """Why something callable is no training function, as far as can be seen without calling it."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(_called(function)):
        return "must be a plain generator function, got an async one"
    if inspect.isbuiltin(function):
        return f"must be a generator function, got the built-in {function.__name__}"
    if not inspect.isgeneratorfunction(_called(function)) and (returned := _returned(function)):
        return (
            "must be a generator function: yield a dict of metrics after each epoch; it "
            f"returns {returned}"
        )
    try:
        signature = inspect.signature(function)
        signature.bind({}, **accepted(function, dict.fromkeys(GIVEN)))
    except (TypeError, ValueError) as error:
        return (
            "must take the configuration, a dict, as its first argument, and may take "
            f"{', '.join(GIVEN)} by name; it can't be called so: {error}"
        )
    return None


def first_argument(function: Callable[..., Any]) -> str:
    """The name of the argument that the configuration is handed to."""
    return next(iter(inspect.signature(function).parameters), "")


def _called(function: Any) -> Any:
    """The function that is behind a partial one or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _returned(function: Any) -> str | None:
    """What a function without `yield` returns, if that can't be an iterator whatever happens.

    Else None.

    It may be one that hands on another generator: `return rows(config)`.
    """
    called = _called(function)
    if hasattr(called, "__wrapped__"):
        return None  # The source would be that of the function within.
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(called))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    values = [
        node.value
        for node in _own_nodes(tree)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    if not all(isinstance(value, NO_ITERATORS) for value in values):
        return None
    return textwrap.shorten(ast.unparse(values[0]), 60) if values else "nothing"


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What a function consists of, without the functions within it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own_nodes(node)
