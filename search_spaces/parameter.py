"""One searched value: its range or its choices, and when it takes part."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeGuard

from search_spaces.problems import (
    MAX_WHOLE,
    Problem,
    Scalar,
    SpaceError,
    is_number,
    is_scalar,
    is_whole,
    one_of,
    rule,
    same,
    show,
)

Kind = Literal["float", "int", "choice"]
KINDS: tuple[Kind, ...] = ("float", "int", "choice")
_MAX_STEPS = 10**9
_ON_GRID = 1e-8  # how far from a multiple of the step Optuna still takes a value as being on it


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One searched value.

    Raises:
        SpaceError: with every rule that the fields break.
    """

    name: str
    """The task's name for it, dotted: `optim.lr`."""
    kind: Kind
    """What it is drawn from: a range of floats or of whole numbers, or a list of choices."""
    low: float | None = None
    """The least value of a range."""
    high: float | None = None
    """The greatest value of a range, itself possible."""
    log: bool = False
    """Whether the range is searched on a logarithmic scale."""
    step: float | None = None
    """The distance between neighbouring values; none is a continuous range, or 1 for whole
    numbers."""
    choices: tuple[Scalar, ...] = ()
    """The values to choose from."""
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """It takes part only when each of these parameters takes part and has one of these values."""

    def __post_init__(self) -> None:
        found = [*self._common_problems()]
        if self.kind == "choice":
            found += self._choice_problems()
        elif self.kind in KINDS:
            found += self._range_problems()
        if found:
            raise SpaceError(
                Problem(text=f"{self.name}: {problem.text}", path=problem.path) for problem in found
            )

    @property
    def is_free_range(self) -> bool:
        """Whether it is a range that takes part in every trial."""
        return self.kind != "choice" and not self.when

    def problem_with(self, value: object) -> str | None:
        """The rule that a value of this parameter breaks, or None if it can take the value."""
        if self.kind == "choice":
            possible = any(same(value, choice) for choice in self.choices)
            return (
                None
                if possible
                else f"must be one of {', '.join(map(show, self.choices))}, got {show(value)}"
            )
        if not self._fits_kind(value):
            return f"must be {_KIND_WORDS[self.kind]}, got {show(value)}"
        low, high, number = _numbers(self.low, self.high, value)
        if not low <= number <= high:
            return f"must be within {show([self.low, self.high])}, got {show(value)}"
        steps = (number - low) / Fraction(self.step or 1)
        if self.step is not None and abs(steps - round(steps)) > _ON_GRID:
            return (
                f"must be {show(self.low)} plus a multiple of the step {show(self.step)}, got "
                f"{show(value)}"
            )
        return None

    def cast(self, value: Any) -> Any:
        """The value in this parameter's type: 5 is 5.0 in a range of floats."""
        return float(value) if self.kind == "float" else value

    def _fits_kind(self, value: object) -> TypeGuard[float]:
        return is_whole(value) if self.kind == "int" else is_number(value)

    def _common_problems(self) -> Iterator[Problem]:
        yield from filter(None, (name_problem(self.name), one_of("kind", self.kind, KINDS)))
        for name, values in self.when.items():
            if name == self.name:
                yield Problem(
                    text="when must name another parameter, got itself", path=("when", name)
                )
            if not values:
                yield Problem(
                    text=f"when must name at least one value of {name}, got []", path=("when", name)
                )

    def _choice_problems(self) -> Iterator[Problem]:
        if len(self.choices) < 2:
            text = (
                f"choice must list at least two values, got {show(self.choices)}; a single "
                "value belongs in fixed"
            )
            yield Problem(text=text, path=("choice",))
        for index, choice in enumerate(self.choices):
            if not is_scalar(choice):
                text = (
                    "a choice must be a text, a finite number, true, false or null, got "
                    f"{show(choice)}"
                )
                yield Problem(text=text, path=("choice",))
            elif any(choice == earlier for earlier in self.choices[:index]):
                text = (
                    f"choices must differ (true is 1 and 1.0 to Optuna), got {show(choice)} twice"
                )
                yield Problem(text=text, path=("choice",))

    def _range_problems(self) -> Iterator[Problem]:
        got = show([self.low, self.high])
        if not isinstance(self.log, bool):
            yield Problem(text=f"log must be true or false, got {show(self.log)}", path=("log",))
        if not (self._fits_kind(self.low) and self._fits_kind(self.high)):
            yield Problem(
                text=f"low and high must each be {_KIND_WORDS[self.kind]}, got {got}",
                path=(self.kind,),
            )
            return
        low, high = _numbers(self.low, self.high)
        if self.kind == "int" and max(abs(low), abs(high)) > MAX_WHOLE:
            text = (
                "whole numbers must be within -2^53 and 2^53, which are exact everywhere, got "
                f"{got}"
            )
            yield Problem(text=text, path=(self.kind,))
        if low >= high:
            hint = "; a single value belongs in fixed" if low == high else ""
            yield Problem(text=f"low must be below high, got {got}{hint}", path=(self.kind,))
        elif not is_number(float(high) - float(low)):
            yield Problem(text=f"high - low must be a finite number, got {got}", path=(self.kind,))
        if self.log is True and low <= 0:
            yield Problem(text=f"log needs low above 0, got {got}", path=("log",))
        if self.step is not None:
            yield from filter(None, (self._step_problem(low, high),))

    def _step_problem(self, low: Fraction, high: Fraction) -> Problem | None:
        if not self._fits_kind(self.step) or self.step <= 0:
            text = f"step must be {_KIND_WORDS[self.kind]} above 0, got {show(self.step)}"
        elif self.log:
            text = (
                f"step and log must not be given together, got step={show(self.step)}; remove one"
            )
        elif low >= high:
            return None
        else:
            text = self._uneven(low, high, *_numbers(self.step))
        return rule(not text, "step", text)

    def _uneven(self, low: Fraction, high: Fraction, step: Fraction) -> str:
        """How the step fails to divide the range, exactly and in decimals, as Optuna divides.

        Empty if it does.
        """
        count = (high - low) / step
        if count > _MAX_STEPS:
            return f"step must be at least a billionth of the range, got {show(self.step)}"
        if count.denominator == 1:
            return ""
        nearest = low + max(1, round(count)) * step
        fix = show(int(nearest) if self.kind == "int" else float(nearest))
        got = f"step={show(self.step)} and {show([self.low, self.high])}"
        return f"step must divide the range, got {got}; the nearest valid high is {fix}"


_KIND_WORDS = {"float": "a finite number", "int": "a whole number"}


def name_problem(name: object) -> Problem | None:
    """The rule that a name is identifiers joined by dots."""
    holds = isinstance(name, str) and all(part.isidentifier() for part in name.split("."))
    return rule(
        holds, "name", f"a name must be words joined by dots, such as optim.lr, got {show(name)}"
    )


def active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether a parameter takes part, given the values of those before it."""
    return all(
        name in values and any(same(values[name], value) for value in allowed)
        for name, allowed in parameter.when.items()
    )


def ordered(parameters: Mapping[str, Parameter]) -> list[Parameter]:
    """The parameters, each after those that its `when` names; what waits in a cycle is left out."""
    waiting, placed = dict(parameters), dict[str, Parameter]()
    while ready := next(
        (name for name, item in waiting.items() if item.when.keys() <= placed.keys()), None
    ):
        placed[ready] = waiting.pop(ready)
    return list(placed.values())


def _numbers(*values: Any) -> list[Fraction]:
    """The numbers as their decimals say: 0.1 is a tenth."""
    return [Fraction(str(value)) for value in values]
