"""`python -m glofnd.data fetch | shard`: from a source to checked shards."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from glofnd.command_line import Parser, at_least_one
from glofnd.data.catalogue import SOURCES, Dataset, load, resolved
from glofnd.data.sources.commands import FetchError
from glofnd.data.writer import write_shards
from glofnd.failures import report
from glofnd.files import none_from_the_future, read_json, sha256, write_json
from glofnd.lifetime import end_with_caller
from glofnd.progress import progress

_MANY_FILES = 1000
# Samples left out that are named on the terminal.
_NAMED = 3


def _reported(files: list[str], description: str) -> Iterable[str]:
    """The files, with progress where they are so many that reading them takes a while."""
    return progress(files, len(files), description, "files") if len(files) > _MANY_FILES else files


def fetch(name: str, out: Path) -> None:
    """Fetch a source into `out` and write `source.json` last: its presence means that everything is there."""
    entry = SOURCES[name]
    out.mkdir(parents=True, exist_ok=True)
    (out / "source.json").unlink(missing_ok=True)
    stated = load(entry.target)(out)
    files = {file: sha256(out / file) for file in _reported(stated.pop("files"), f"checksums of {name}")}
    description = {"source": name, "licence": entry.licence, "homepage": entry.homepage, **stated, "sha256": files}
    write_json(out / "source.json", description)
    print(f"{name}: {len(files)} files in {out}")


def _source(entry: Dataset, raw: Path | None) -> dict[str, Any]:
    """What `source.json` says, after comparing every file with its checksum there."""
    if entry.source is None:
        return {}
    again = f"run `python -m glofnd.data fetch --source {entry.source} --out {raw}`"
    if raw is None or not (raw / "source.json").is_file():
        raise ValueError(f"{raw}: source.json is missing; {again}")
    source: dict[str, Any] = read_json(raw / "source.json")
    stated = source.get("sha256") if isinstance(source, dict) else None
    if not isinstance(stated, dict) or not stated:
        raise ValueError(f"{raw / 'source.json'}: has no checksums of its files; {again}")
    for file in _reported(list(stated), f"checking {entry.source}"):
        if not (raw / file).is_file() or sha256(raw / file) != stated[file]:
            raise ValueError(f"{raw / file}: missing or changed since it was fetched; {again}")
    return source


def shard(config: dict[str, Any], name: str, split: str, raw: Path | None, out: Path, processes: int) -> None:
    """Write one split of one data set as shards."""
    entry, parameters = resolved(config, name)
    for key, schema in entry.parameters.items():
        for problem in Draft202012Validator(schema).iter_errors(parameters[key]):
            missing = key == "path" and parameters[key] == ""
            raise ValueError(f"datasets.{name}.{key}: {f'missing; {entry.obtain}' if missing else problem.message}")
    if split not in entry.splits:
        raise ValueError(f"datasets.{name}: no split {split!r}; it has {', '.join(entry.splits)}")
    source = _source(entry, raw)
    root = Path(parameters["path"]) if parameters.get("path") else raw
    try:
        if root is None or not root.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(root))
        manifest = write_shards(
            load(entry.target)(root, split, parameters),
            out,
            shards=parameters["shards"],
            head={"dataset": name, "split": split, "image_size": parameters["image_size"]},
            tail={
                "licence": source.get("licence", entry.licence),
                "source": source,
                "config": {"dataset": config.get("dataset", name), **parameters},
            },
            processes=processes,
        )
    except FileNotFoundError as error:
        advice = entry.obtain or "leave `path` out to have it fetched"
        raise ValueError(f"datasets.{name}: {error.filename} is missing; {advice}") from error
    print(f"{name}/{split}: {manifest['samples']} pictures in {len(manifest['shards'])} shards")
    if skipped := manifest.get("skipped"):
        print(f"  left out {len(skipped)} bad samples: {_first_of(skipped)}")
    for field, count in manifest["false_negatives"].items():
        print(
            f"  pairs sharing {field}: {count['pairs']} ({100 * count['share']:.3f} % of all pairs; "
            f"{255 * count['share']:.2f} false negatives per anchor in a batch of 256)"
        )


def _first_of(skipped: list[dict[str, Any]]) -> str:
    """Where the first samples left out are, and why; the manifest lists all."""
    named = [f"{entry['where']}: {entry['reason']}" for entry in skipped[:_NAMED]]
    return "; ".join([*named, *(["..."] if len(skipped) > _NAMED else [])])


def _block(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def _cores() -> int:
    """Cores this process may run on, which a scheduler can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parser() -> Parser:
    parser = Parser(prog="python -m glofnd.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="fetch a source and check it")
    command.add_argument("--source", required=True, choices=sorted(SOURCES))
    command.add_argument("--out", required=True, type=Path)
    command = commands.add_parser("shard", help="write one split as webdataset tars with a manifest")
    command.add_argument("--dataset-config", required=True, type=_block, metavar="JSON", help="a block of `datasets:`")
    command.add_argument("--name", help="the block's key, in the manifest (default: its `dataset`)")
    command.add_argument("--split", required=True)
    command.add_argument("--raw", type=Path, help="folder of the fetched source")
    command.add_argument("--out", required=True, type=Path)
    command.add_argument("--processes", type=at_least_one, default=_cores(), help="processes that encode pictures")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's error is one line on stderr and status 2."""
    end_with_caller()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "fetch":
            fetch(options.source, options.out)
        else:
            config = options.dataset_config
            name = options.name or config.get("dataset")
            if name is None:
                parser.error("--name is missing, and the block names no `dataset`")
            shard(config, name, options.split, options.raw, options.out, options.processes)
            none_from_the_future([] if options.raw is None else [options.raw / "source.json"])
    except Exception as error:
        return report(error, "lower resources.shard.threads or raise its mem_mb", also=(FetchError,))
    return 0


if __name__ == "__main__":
    sys.exit(main())
