"""YAML read strictly: what could be read in two ways is refused, with its line and the remedy.

PyYAML reads YAML 1.1, where `1e-5` is a text, `012` is 10, `1:30` is 90, `no` is false, and a
repeated key silently wins.
"""

from collections.abc import Callable, Iterator
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

import yaml
from yaml import events as ev

from search_spaces.problems import SpaceError
from search_spaces.scalars import WORDS, broken, plain, surprise

MAX_DEPTH = 20


MAX_KEYS_ON_A_LINE = 5


class Mapping(dict[str, Any]):
    """A YAML mapping that knows its place, as `v6.yaml:12`, and in `where` that of each key."""

    def __init__(self, items: AnyMapping[str, Any] | None = None, *, place: str = "") -> None:
        """Copy the items; until `put` says otherwise, each key is where the mapping is."""
        super().__init__(items or {})
        self.place = place
        self.where = dict.fromkeys(self, place)

    def put(self, key: str, value: object, place: str) -> None:
        """Set a key, and where it was set."""
        self[key] = value
        self.where[key] = place


def read_yaml(path: str | Path) -> Mapping:
    """Read a file that holds one YAML mapping.

    Raises:
        SpaceError: with every mistake that can be seen, each with its line; or that the file cannot
            be read.
    """
    mapping, problems = scan_yaml(path)
    if problems:
        raise SpaceError(problems)
    return mapping


def scan_yaml(path: str | Path) -> tuple[Mapping, list[str]]:
    """Read as `read_yaml` does, but return the mistakes, so that a caller can add its own.

    Raises:
        SpaceError: if there is no mapping to go on with.
    """
    path = Path(path)
    value, problems = _scan(_text(path), lambda line: f"{path.name}:{line}")
    if isinstance(value, Mapping):
        return value, problems
    raise SpaceError(
        problems or [f"{path.name}:1: the file must hold a YAML mapping, got {_kind(value)}"]
    )


def read_value(text: str, place: str) -> Any:
    """Read one value, as given on a command line; `place` is what its mistakes are named by.

    Raises:
        SpaceError: with every mistake.
    """
    value, problems = _scan(text, lambda line: place)
    if not problems and value is None and text.strip() not in WORDS.keys() - {""}:
        problems = [
            f"{place}: a value must not be empty; write null for none, or '' for an empty text"
        ]
    if problems:
        raise SpaceError(problems)
    return value


def dump_yaml(value: object) -> str:
    """Write plain values as YAML that `read_yaml` reads back as the same values."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=None,
        sort_keys=False,
        allow_unicode=True,
        width=120,
    )


class _Dumper(yaml.SafeDumper):
    """Quotes each text that the strict reader would not take as one; repeats, never aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def quote(self, text: str) -> yaml.ScalarNode:
        surprising = plain(text) != text or surprise(text) is not None or not text.isprintable()
        return self.represent_scalar(
            "tag:yaml.org,2002:str", text, style='"' if surprising else None
        )

    def lay_out(self, mapping: dict[Any, Any]) -> yaml.MappingNode:
        """A short mapping on one line; a longer one with a line for each key."""
        node = self.represent_dict(mapping)
        node.flow_style = node.flow_style and len(mapping) <= MAX_KEYS_ON_A_LINE
        return node


_Dumper.add_representer(str, _Dumper.quote)
_Dumper.add_multi_representer(dict, _Dumper.lay_out)


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise SpaceError([f"{path}: must be a file, got a folder or a device"])
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpaceError([f"{path}: there is no such file"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpaceError(
            [
                f"{path.name}:{line}: the file must be UTF-8, got the byte "
                f"{error.object[error.start]:#04x}"
            ]
        ) from None
    except (OSError, ValueError) as error:
        raise SpaceError([f"{path}: cannot be read: {error}"]) from None


def _scan(text: str, place: Callable[[int], str]) -> tuple[Any, list[str]]:
    """The value of a text, and its mistakes.

    The value is None where the text has no readable structure.
    """
    reader = _Reader(text, place)
    try:
        return reader.document(), reader.problems
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return None, [
            *reader.problems,
            f"{place(line)}: not valid YAML: a character that must not be in a text file",
        ]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else reader.line
        return None, [*reader.problems, f"{place(line)}: not valid YAML: {_reason(error)}"]
    except (
        ValueError,
        OverflowError,
    ) as error:  # PyYAML's scanner, on an escape or a directive that is out of range
        return None, [
            *reader.problems,
            f"{place(reader.line)}: not valid YAML at or after this line: {error}",
        ]


def _reason(error: yaml.MarkedYAMLError) -> str:
    begun = f" from line {error.context_mark.line + 1}" if error.context_mark else ""
    reason = f"{error.context}{begun}, {error.problem}" if error.context else str(error.problem)
    return f"{reason} (indent with spaces)" if "\\t" in reason else reason


class _Reader:
    """Builds plain values from the parser's events, noting each mistake and going on."""

    def __init__(self, text: str, place: Callable[[int], str]) -> None:
        self.problems: list[str] = []
        self.line = 1
        self._place = place
        self._depth = 0
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Any:
        """The value of the first document; a second one is a mistake."""
        self._next()  # the start of the stream
        if isinstance(self._next(), ev.StreamEndEvent):
            return None
        value = self._value(self._next())
        self._next()  # the end of the document
        if not isinstance(self._next(), ev.StreamEndEvent):
            self._refuse("one file must hold one document; remove the --- and what follows")
        return value

    def _next(self) -> Any:
        event = next(self._events)
        self.line = event.start_mark.line + 1
        return event

    def _refuse(self, text: str) -> None:
        self.problems.append(f"{self._place(self.line)}: {text}")

    def _value(self, event: Any) -> Any:
        if event.anchor:
            self._refuse(
                "anchors and aliases (& and *) are refused; write the value out, or use extends"
            )
        if getattr(event, "tag", None):
            self._refuse(f"tags are refused, got {event.tag}; write the plain value")
        if isinstance(event, ev.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, ev.CollectionStartEvent):
            return self._collection(event)
        return None

    def _scalar(self, event: ev.ScalarEvent) -> Any:
        if event.style:
            value, reason = event.value, broken(event.value)
        else:
            value, reason = plain(event.value), surprise(event.value)
        if reason:
            self._refuse(f"{_short(event.value)} {reason}")
        return value

    def _collection(self, event: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark
            )
        value = self._mapping() if isinstance(event, ev.MappingStartEvent) else self._list()
        self._depth -= 1
        return value

    def _list(self) -> list[Any]:
        items = []
        while not isinstance(event := self._next(), ev.SequenceEndEvent):
            items.append(self._value(event))
        return items

    def _mapping(self) -> Mapping:
        mapping = Mapping(place=self._place(self.line))
        while not isinstance(event := self._next(), ev.MappingEndEvent):
            place = self._place(self.line)
            key = self._key(event, mapping)
            value = self._value(self._next())
            if key is not None:
                mapping.put(key, value, place)
        return mapping

    def _key(self, event: Any, mapping: Mapping) -> str | None:
        """The key, or None if it is a mistake."""
        before = len(self.problems)
        key = self._value(event)
        if len(self.problems) > before:
            return None
        if not isinstance(key, str):
            self._refuse(f"a key must be a text, got {_kind(key)}; quote it if it is a name")
        elif key in mapping:
            self._refuse(
                f"the key {_short(key)} is already given at {mapping.where[key]}; remove one"
            )
        else:
            return key
        return None


def _short(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: object) -> str:
    names = {
        type(None): "nothing",
        bool: "true or false",
        list: "a list",
        Mapping: "a mapping",
        str: "a text",
    }
    return names.get(type(value), "a number")
