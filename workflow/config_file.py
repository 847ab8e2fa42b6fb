"""Reads a config file strictly: Snakemake takes the last of two equal keys and says nothing.

python -m workflow.config_file FILE ...     says what is wrong with a file, and nothing where all is well
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from glofnd.command_line import Parser
from workflow.values import one_line, shown, unmanageable

__all__ = ["ConfigFileError", "read_config", "unreadable"]

_MOST_BYTES = 2**24
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigFileError(ValueError):
    """A file that is no config; the message is one line that names the file and, where there is one, the line."""


class _Strict(_Loader):  # type: ignore[misc]
    """Safe YAML in which no mapping has a key twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._checked = set[int]()

    def flatten_mapping(self, node: Any) -> None:
        """Put what is merged (`<<`) among the keys, where one that is given replaces one that is merged."""
        # At the first call alone the keys are those that stand there; a mapping with an anchor may have several.
        if id(node) not in self._checked:
            self._checked.add(id(node))
            self._refuse_double(node)
        super().flatten_mapping(node)

    def _refuse_double(self, node: Any) -> None:
        first: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            name = key.tag, key.value
            if name in first:
                problem = f"the key {shown(key.value)} stands there twice, first in line {first[name]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            first[name] = key.start_mark.line + 1

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            problem = str(error).partition(";")[0]
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigFileError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigFileError(f"{path}: is a folder; name a file of keys and values") from None
    except (OSError, ValueError) as error:
        raise ConfigFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigFileError(f"{path}: larger than {_MOST_BYTES // 2**20} MB; this is no config")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigFileError(
            f"{path}: byte {error.start} is no UTF-8; this is no config, or in another encoding"
        ) from None


def _why(error: Exception, text: str) -> str:
    """What is wrong with a text that is no YAML, and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line, error.problem_mark.column
        lines = text.splitlines()
        tab = line < len(lines) and lines[line][column : column + 1] == "\t"
        problem = "a tab; indent by blanks" if tab else error.problem or error.context
        return f"line {line + 1}, column {column + 1}: {problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.reason} (the character at position {error.position})"
    return "is nested too deeply"


def read_config(path: Path) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds.

    Raises:
        ConfigFileError: the file is not there, is no YAML or no mapping, or has a key twice.
    """
    text = _text(path)
    try:
        found = yaml.load(text, Loader=_Strict)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigFileError(one_line(f"{path}: {_why(error, text)}")) from None
    if found is None:
        raise ConfigFileError(f"{path}: is empty; a config holds keys and values")
    if not isinstance(found, dict):
        raise ConfigFileError(one_line(f"{path}: holds {shown(found)}, not keys and values"))
    if trouble := unmanageable(found):
        raise ConfigFileError(f"{path}: {trouble}")
    return found


def unreadable(paths: Iterable[Path | str]) -> list[str]:
    """What is wrong with config files, one line for each that is."""
    found = []
    for path in paths:
        try:
            read_config(Path(path))
        except ConfigFileError as error:
            found.append(str(error))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check files; problems are lines on stderr and exit code 2."""
    parser = Parser(prog="python -m workflow.config_file", description="Check that files are configs.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    problems = unreadable(parser.parse_args(arguments).files)
    for line in problems:
        print(f"error: {line}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
