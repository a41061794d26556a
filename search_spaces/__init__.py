"""Search spaces: YAML files that say what to search, and the code that reads and checks them."""

from search_spaces.load import builtin_spaces, find_space, load_space
from search_spaces.parameter import Parameter
from search_spaces.problems import SpaceError
from search_spaces.reader import read_objective, space_from_mapping
from search_spaces.space import Budget, Objective, Resources, Search, Space, parse_duration
from search_spaces.strict_yaml import Mapping, dump_yaml, read_value, read_yaml

__all__ = [
    "Budget",
    "Mapping",
    "Objective",
    "Parameter",
    "Resources",
    "Search",
    "Space",
    "SpaceError",
    "builtin_spaces",
    "dump_yaml",
    "find_space",
    "load_space",
    "parse_duration",
    "read_objective",
    "read_value",
    "read_yaml",
    "space_from_mapping",
]
