"""What a scalar of a YAML file is, if it can be read in one way only; else why it is refused."""

import math
import re
from typing import Any

from search_spaces.problems import show_float

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_SURPRISES = [  # the first that matches names the reason
    (r"(?i)yes|no|on|off", "is true or false to YAML 1.1; write true or false, or quote it"),
    (r"<<", "is a merge key to YAML 1.1; write the keys out, use extends, or quote it"),
    (r"=", "is a default value to YAML 1.1; quote it"),
    (r"None|(?i:true|false|null)", "is a text to YAML; write true, false or null, or quote it"),
    (r"(?i)[-+]?\.?(nan|inf|infinity)", "is not a finite number; write a number, or quote it"),
    (
        r"[-+]?0[0-9_]+",
        "has a leading zero, which is octal to YAML 1.1; write it without, or quote it",
    ),
    (r"[-+]?0[xXbBoO][0-9a-fA-F_]+", "must be a decimal number; write it in decimal, or quote it"),
    (
        r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?",
        "is base 60 to YAML 1.1; write one number, or quote it",
    ),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?", "is a date to YAML 1.1; quote it"),
]
_NUMBERLIKE = re.compile(r"[-+]?\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?")
_LARGE = "is too large a number; whole numbers must fit in 64 bits, others be finite"


def plain(text: str) -> Any:
    """What an unquoted scalar is; only plain decimals are numbers."""
    if text in WORDS:
        return WORDS[text]
    if _INT.fullmatch(text) and len(text) <= 20:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def surprise(text: str) -> str | None:
    """Why an unquoted scalar is refused, or None if it says what it looks like."""
    value = plain(text)
    if not isinstance(value, str):
        small = value is None or (
            abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
        )
        return None if small else _LARGE
    if _INT.fullmatch(text):
        return _LARGE
    for pattern, reason in _SURPRISES:
        if re.fullmatch(pattern, text):
            return reason
    if _NUMBERLIKE.fullmatch(text) or _reads_as_float(text):
        return f"looks like a number but is not one to YAML 1.1; write {_fix(text)}, or quote it"
    return broken(text)


def _reads_as_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fix(text: str) -> str:
    """The same number as a plain decimal, if there is one."""
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return "a plain decimal"
    if not math.isfinite(number):
        return "a finite number"
    return str(int(number)) if re.fullmatch(r"[-+]?[0-9_]+", text) else show_float(number)


def broken(text: str) -> str | None:
    """Why a text is refused: half of a surrogate pair can't be written to a file or a terminal."""
    return "holds half of a surrogate pair" if re.search("[\ud800-\udfff]", text) else None
