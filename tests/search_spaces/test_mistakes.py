"""Proves that every mistake in a space is told with its line and its fix, all at once.

pytest tests/search_spaces
"""

from pathlib import Path

import pytest

from search_spaces import SpaceError, load_space

HEAD = (
    "task: digits\nbudget: {trials: 8, max_epochs: "
    "9}\nparameters:\n"
)  # three lines: a parameter is on line 4
TWO = "  a: {choice: [x, y]}\n  b: {float: [1, 2]}\n"  # lines 4 and 5


def problems_of(folder: Path, text: str) -> list[str]:
    file = folder / "s.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    return caught.value.problems


PARAMETERS = {
    "{float: [3, 1]}": "low must be below high, got [3, 1]",
    "{float: [1, 1]}": "low must be below high, got [1, 1]; a single value belongs in fixed",
    "{int: [1.0, 3]}": "low and high must each be a whole number, got [1.0, 3]",
    "{int: [true, 3]}": "low and high must each be a whole number, got [true, 3]",
    "{float: [a, 3]}": 'low and high must each be a finite number, got ["a", 3]',
    "{float: [-1.0e+308, 1.0e+308]}": "high - low must be a finite number, got [-1.0e+308, "
    "1.0e+308]",
    "{float: [0, 1], log: true}": "log needs low above 0, got [0, 1]",
    "{float: [1, 2], log: 1}": "log must be true or false, got 1",
    "{int: [1, 9], log: true, step: 2}": "step and log must not be given together, got step=2; "
    "remove one",
    "{int: [1, 8], step: 3}": "step must divide the range, got step=3 and [1, 8]; the nearest "
    "valid high is 7",
    "{float: [0, 1], step: 0.3}": "step must divide the range, got step=0.3 and [0, 1]; the "
    "nearest valid high is 0.9",
    "{float: [0, 1], step: 2}": "step must divide the range, got step=2 and [0, 1]; the nearest "
    "valid high is 2.0",
    "{float: [0, 1], step: 1.0e-12}": "step must be at least a billionth of the range, got 1.0e-12",
    "{int: [0, 4], step: 0}": "step must be a whole number above 0, got 0",
    "{int: [0, 4], step: 0.5}": "step must be a whole number above 0, got 0.5",
    "{float: [0, 4], step: -1}": "step must be a finite number above 0, got -1",
    "{float: [1, 2, 3]}": "float must be [low, high], got [1, 2, 3]",
    "{int: 3}": "int must be [low, high], got 3",
    "{choice: x}": 'choice must be a list of values, got "x"',
    "{choice: []}": "choice must list at least two values, got []; a single value belongs in fixed",
    "{choice: [x]}": 'choice must list at least two values, got ["x"]; a single value belongs in '
    "fixed",
    "{choice: [x, y, x]}": 'choices must differ (true is 1 and 1.0 to Optuna), got "x" twice',
    "{choice: [true, 1]}": "choices must differ (true is 1 and 1.0 to Optuna), got 1 twice",
    "{choice: [1, 1.0]}": "choices must differ (true is 1 and 1.0 to Optuna), got 1.0 twice",
    "{choice: [x, [1, y]]}": "a choice must be a text, a finite number, true, false or null, got "
    '[1, "y"]',
    "{choice: [x, y], log: true}": 'in parameters.p, a key must be one of choice, when, got "log"',
    "{float: [1, 2], stpe: 1}": 'a key must be one of float, log, step, when, got "stpe" (did you '
    "mean step?)",
    "{float: [1, 2], int: [1, 2]}": "must be {float: [low, high]}, {int: [low, high]} or {choice: "
    "[values]}",
    "{}": "must be {float: [low, high]}, {int: [low, high]} or {choice: [values]}, got {}",
    "3": "must be {float: [low, high]}, {int: [low, high]} or {choice: [values]}, got 3",
    "": "null must remove a parameter of the space that is extended, got a new name",
    "{float: [1, 2], when: 3}": "when must be {name: value or [values]}, got 3",
    "{float: [1, 2], when: {q: x}}": 'a name in when must be one of a, b, got "q"',
    "{float: [1, 2], when: {p: 1}}": "when must name another parameter, got itself",
    "{float: [1, 2], when: {a: []}}": "when must name at least one value of a, got []",
    "{float: [1, 2], when: {a: z}}": 'when: a must be one of "x", "y", got "z"',
    "{float: [1, 2], when: {a: [x, true]}}": 'when: a must be one of "x", "y", got true',
    "{float: [1, 2], when: {b: 3}}": "when: b must be within [1, 2], got 3",
}


@pytest.mark.parametrize("spec", PARAMETERS)
def test_each_mistake_of_a_parameter_names_its_line(tmp_path: Path, spec: str) -> None:
    problems = problems_of(tmp_path, HEAD + f"  p: {spec}\n" + TWO)
    assert len(problems) == 1
    assert problems[0].startswith("s.yaml:4: ")
    assert PARAMETERS[spec] in problems[0]


BEHIND = {  # what follows the parameters a and b, from line 6 on
    "fixed: {a: x}": "s.yaml:6: a must be in parameters or in fixed, got both; remove one",
    "fixed: {c: {d: 1}}": "s.yaml:6: c must be a text, a finite number, true, false, null or a "
    "list of these, got {",
    "fixed: {c d: 1}": 's.yaml:6: a name must be words joined by dots, such as optim.lr, got "c d"',
    "fixed: 3": "s.yaml:6: fixed must be a mapping, got 3",
    "parametres: {}": "s.yaml:6: a key must be one of task, extends, objective, parameters, "
    "fixed, start, search, "
    'budget, resources, seed, got "parametres" (did you mean parameters?)',
    "objective: {maximise: acc}": "s.yaml:6: direction must be one of maximize, minimize, got "
    '"maximise" (did you ',
    "objective: acc": "s.yaml:6: objective must be {maximize: name}, {minimize: name} or a list "
    'of two such, got "acc"',
    "objective: {maximize: 3}": "s.yaml:6: name must be a text that is not empty, got 3",
    "start: {a: x}": 's.yaml:6: start must be a list of mappings from name to value, got {a: "x"}',
    "start:\n- {a: x}\n- {c: 1}": "s.yaml:8: start: a start point's key must be one of a, b, got "
    '"c"',
    "start: [{a: z}]": 's.yaml:6: start: a must be one of "x", "y", got "z"',
    "start: [{b: 3}]": "s.yaml:6: start: b must be within [1, 2], got 3",
    "start: [{b: null}]": "s.yaml:6: start: b must be a finite number, got null",
    "start:\n- {a: x}\n- {a: x}": 's.yaml:8: start points must differ, got {a: "x"} twice',
    "start:\n- {a: x}\n- {}": "s.yaml:8: a start point must name at least one parameter, got {}",
    "fixed: {c: 1}\nstart: [{c: 1}]": "s.yaml:7: start: a start point's key must name a "
    "parameter, got c, which is",
    "search: {sampler: tpf}": "s.yaml:6: sampler must be one of auto, curves, tpe, gp, "
    'cmaes, sobol, grid, random, none, got "tpf" (did you mean tpe?)',
    "search: {sampler: grid}": "s.yaml:5: b: a float on a grid needs a step, or its values as a "
    "choice, got neither",
    "search: {sampler: cmaes}": "s.yaml:6: cmaes needs at least two ranges without when, got b",
    "search: {scheduler: null}": "s.yaml:6: scheduler must be one of auto, freeze_thaw, asha, "
    "promotion, hyperband, median, none, got null",
    "objective: [{maximize: c}, {minimize: d}]\nsearch: {scheduler: median}": (
        "s.yaml:7: scheduler median must have one objective, as two have no median, got two"
    ),
    "search: {reduction: 1}": "s.yaml:6: reduction must be a whole number, at least 2, got 1",
    "search: {grace_epochs: 0}": "s.yaml:6: grace_epochs must be a whole number, at least 1, got 0",
    "search:\n  grace_epochs: 10": "s.yaml:7: grace_epochs must not exceed max_epochs, got "
    "grace_epochs=10, max_",
    "search: {gracee: 1}": "s.yaml:6: in search, a key must be one of sampler, scheduler, "
    "reduction, grace_epochs",
    "resources: {cpus: 0}": "s.yaml:6: cpus must be a number above 0, got 0",
    "resources: {gpus: 1.5}": "s.yaml:6: gpus must be auto, a number from 0 to 1, or a whole "
    "number, got 1.5",
    "resources: {gpus: some}": "s.yaml:6: gpus must be auto, a number from 0 to 1, or a whole "
    'number, got "some"',
    "resources: {workers: true}": "s.yaml:6: workers must be a whole number, at least 1, got true",
    "resources: {memory_gb: -1}": "s.yaml:6: memory_gb must be a number from 0, got -1",
    "resources: {custom: {license: 0}}": (
        "s.yaml:6: custom must be names of Ray's resources, each with a number above 0, such as "
        "{license: 1}, got {license: 0}"
    ),
    "resources: {custom: {GPU: 1}}": (
        "s.yaml:6: custom must be names of Ray's resources, each with a number above 0, such as "
        "{license: 1}, got {GPU: 1}"
    ),
    "seed: -1": "s.yaml:6: seed must be a whole number, at least 0, got -1",
    "seed: 4294967296": "s.yaml:6: seed must be a whole number, at most 4294967295, got 4294967296",
    "seed: 1.0": "s.yaml:6: seed must be a whole number, at least 0, got 1.0",
    "extends: nowhere": "s.yaml:6: extends: a space must be one of",
    "extends: [x]": 's.yaml:6: extends: must be the name of a space, got ["x"]',
    "extends: s": "s.yaml:6: extends: must not lead in a circle, got s.yaml -> s.yaml",
}


@pytest.mark.parametrize("tail", BEHIND)
def test_each_mistake_of_the_other_sections_names_its_line(tmp_path: Path, tail: str) -> None:
    problems = problems_of(tmp_path, HEAD + TWO + tail + "\n")
    assert len(problems) == 1
    assert problems[0].startswith(BEHIND[tail])


BUDGETS = {
    "{trials: 0, max_epochs: 1}": "trials must be a whole number, at least 1, got 0",
    "{trials: 2.0, max_epochs: 1}": "trials must be a whole number, at least 1, got 2.0",
    "{trials: 2, max_epochs: 0}": "max_epochs must be a whole number, at least 1, got 0",
    "{trials: 2, max_epochs: 1, retries: -1}": "retries must be a whole number, at least 0, got -1",
    "{trials: 2, max_epochs: 1, epochs: 0}": "epochs must be a whole number, at least 1, got 0",
    "{trials: 2, max_epochs: 1, epochs: 1.5}": "epochs must be a whole number, at least 1, got 1.5",
    "{trials: 2, max_epochs: 1, keep: 0}": "keep must be a whole number, at least 1, got 0",
    "{trials: 2, max_epochs: 1, time: 7200}": "time must be a duration above 0 such as 90s, 30m, "
    "2h, 1h30m or 1d, got",
    "{trials: 2, max_epochs: 1, time: 0s}": "time must be a duration above 0",
    "{trials: 2}": "in budget, the key max_epochs must be given, got trials",
    "{max_epochs: 1}": "in budget, the key trials must be given, got max_epochs",
    "3": "budget must be a mapping, got 3",
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_mistake_of_the_budget_names_its_line(tmp_path: Path, budget: str) -> None:
    text = (
        f"task: t\nparameters: {{a: {{int: [1, 9]}}}}\nstart: [{{a: 1}}, {{a: 2}}]\nbudget: "
        f"{budget}\n"
    )
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1
    assert problems[0].startswith(f"s.yaml:4: {BUDGETS[budget]}")


def test_a_circle_of_conditions_is_told(tmp_path: Path) -> None:
    text = (
        HEAD
        + "  a: {int: [1, 2], when: {b: 1}}\n  b: {int: [1, 2], when: {c: 1}}\n  c: {int: [1, 2], "
        "when: {a: 1}}\n"
    )
    assert problems_of(tmp_path, text) == [
        "s.yaml:4: when must not lead in a circle, got one among a, b, c"
    ]


def test_a_start_value_that_takes_no_part_is_told_also_two_conditions_away(tmp_path: Path) -> None:
    text = (
        HEAD
        + TWO
        + "  c: {int: [1, 2], when: {a: x}}\n  d: {int: [1, 2], when: {c: 1}}\nstart: [{a: y, d: "
        "1}]\n"
    )
    told = 's.yaml:8: start: d must be left out where it takes no part, got 1 with a: "y"'
    assert problems_of(tmp_path, text) == [told]


@pytest.mark.parametrize("name", ["optim lr", "1lr", "optim.", ".lr", "a..b", "'a-b'", "''"])
def test_a_name_that_is_no_dotted_word_is_refused(tmp_path: Path, name: str) -> None:
    problems = problems_of(tmp_path, HEAD + f"  {name}: {{int: [1, 2]}}\n")
    assert len(problems) == 1
    assert "s.yaml:4: " in problems[0]
    assert "a name must be words joined by dots" in problems[0]


def test_a_space_without_parameters_a_task_or_a_budget_is_refused(tmp_path: Path) -> None:
    told = [
        "s.yaml:1: the key task must be given, got parameters",
        "s.yaml:1: the key budget must be given, got parameters",
    ]
    assert problems_of(tmp_path, "parameters: {}\n") == [
        *told,
        "s.yaml:1: a space must have at least one parameter, got none",
    ]


MANY = """\
task: 3
objectives: {maximize: acc}
parameters:
  optim.lr: {float: [1e-5, 1e-3], log: true}
  optim.restart_epochs: {int: [2, 8], when: {optim.schedule: cosine}}
  model.depth: {int: [1, 8], step: 3}
  model.depth: {int: [1, 9]}
  model.bias: {choice: [yes, no]}
fixed: {model.depth: 3, data.size: 012}
start:
- {optim.lr: 0.1, model.depth: 99}
search: {grace_epochs: 20}
budget: {trials: 4, max_epoch: 18, time: 1:30}
seed: -1
"""

ALL_OF_MANY = """\
s.yaml:1: task must be a text that is not empty, got 3
s.yaml:2: a key must be one of task, extends, objective, parameters, fixed, start, search, budget, \
resources, seed, got "objectives" (did you mean objective?)
s.yaml:4: 1e-5 looks like a number but is not one to YAML 1.1; write 1.0e-05, or quote it
s.yaml:4: 1e-3 looks like a number but is not one to YAML 1.1; write 0.001, or quote it
s.yaml:5: optim.restart_epochs: a name in when must be one of optim.lr, model.depth, model.bias, \
got "optim.schedule" (did you mean optim.lr?)
s.yaml:6: model.depth: step must divide the range, got step=3 and [1, 8]; \
the nearest valid high is 7
s.yaml:7: the key model.depth is already given at s.yaml:6; remove one
s.yaml:8: yes is true or false to YAML 1.1; write true or false, or quote it
s.yaml:8: no is true or false to YAML 1.1; write true or false, or quote it
s.yaml:9: 012 has a leading zero, which is octal to YAML 1.1; write it without, or quote it
s.yaml:9: model.depth must be in parameters or in fixed, got both; remove one
s.yaml:13: 1:30 is base 60 to YAML 1.1; write one number, or quote it
s.yaml:13: in budget, a key must be one of trials, max_epochs, epochs, time, retries, keep, \
got "max_epoch" (did you mean max_epochs?)
s.yaml:14: seed must be a whole number, at least 0, got -1"""


def test_many_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    """To renew: print the joined problems and read them as a user would."""
    assert "\n".join(problems_of(tmp_path, MANY)) == ALL_OF_MANY
