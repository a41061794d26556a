"""What makes a space the one that a study searches, and how others are told apart from it."""

import json
from collections.abc import Mapping
from typing import Any

from search_spaces import Space

SPACE_KEY = "rungs:space"
MAY_CHANGE = (
    *("budget.trials", "budget.epochs", "budget.time", "budget.retries", "budget.keep"),
    "resources",
)


def identity(space: Space) -> dict[str, Any]:
    """What makes a space this one and no other, as flat names.

    Budgets that may be raised are left out.
    """
    flat = flat_names(json.loads(json.dumps(space.to_dict())))
    return {name: value for name, value in flat.items() if not name.startswith(MAY_CHANGE)}


def other_name_text(kept: str, name: str) -> str:
    """What to say of a study whose space has another name."""
    return f"this is a study of the space {kept}, now {name}; give this one another --name"


def other_space_text(kept: Mapping[str, Any], space: Space) -> str | None:
    """What to say of a study that was begun with another space than this.

    Nothing if it was begun with this one.
    """
    if kept == (mine := identity(space)):
        return None
    text = "this is a study of another space; give this one another --name. They differ in:"
    return "\n  ".join([text, *differences(kept, mine)])


def differences(kept: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each name whose value differs."""
    names = [name for name in sorted({*kept, *new}) if _shown(kept, name) != _shown(new, name)]
    return [
        f"{name}: the study has {_shown(kept, name)}, now {_shown(new, name)}" for name in names
    ]


def flat_names(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_names(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _shown(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "nothing"
