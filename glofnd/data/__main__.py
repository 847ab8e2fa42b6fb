"""`python -m glofnd.data fetch | shard`: from a source to checked shards."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from glofnd.data.catalogue import SOURCES, load, resolved
from glofnd.data.sources.commands import FetchError
from glofnd.data.writer import write_shards
from glofnd.files import read_json, sha256, write_json


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fetch(name: str, out: Path) -> None:
    """Fetch a source into `out` and write `source.json` last: its presence means that everything is there."""
    entry = SOURCES[name]
    out.mkdir(parents=True, exist_ok=True)
    (out / "source.json").unlink(missing_ok=True)
    stated = load(entry.target)(out)
    files = {file: sha256(out / file) for file in stated.pop("files")}
    description = {"source": name, "licence": entry.licence, "homepage": entry.homepage, **stated, "sha256": files}
    write_json(out / "source.json", description)
    print(f"{name}: {len(files)} files in {out}")


def shard(config: dict[str, Any], name: str, split: str, raw: Path | None, out: Path, processes: int) -> None:
    """Write one split of one data set as shards."""
    entry, parameters = resolved(config)
    if split not in entry.splits:
        raise ValueError(f"data set {name}: no split {split!r}; it has {', '.join(entry.splits)}")
    source: dict[str, Any] = {}
    if entry.source is not None:
        if raw is None or not (raw / "source.json").is_file():
            raise ValueError(
                f"{raw}: source.json is missing; run `python -m glofnd.data fetch --source {entry.source} --out {raw}`"
            )
        source = read_json(raw / "source.json")
    manifest = write_shards(
        load(entry.target)(raw, split, parameters),
        out,
        shards=parameters["shards"],
        head={"dataset": name, "split": split, "image_size": parameters["image_size"]},
        tail={
            "licence": source.get("licence", entry.licence),
            "source": source,
            "config": {"dataset": config["dataset"], **parameters},
        },
        processes=processes,
    )
    print(f"{name}/{split}: {manifest['samples']} pictures in {len(manifest['shards'])} shards")
    for field, count in manifest["false_negatives"].items():
        print(
            f"  pairs sharing {field}: {count['pairs']} ({100 * count['share']:.3f} % of all pairs; "
            f"{255 * count['share']:.2f} false negatives per anchor in a batch of 256)"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m glofnd.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="fetch a source and check it")
    command.add_argument("--source", required=True, choices=sorted(SOURCES))
    command.add_argument("--out", required=True, type=Path)
    command = commands.add_parser("shard", help="write one split as webdataset tars with a manifest")
    command.add_argument("--dataset-config", required=True, type=json.loads, metavar="JSON", help="a `datasets:` block")
    command.add_argument("--name", help="data set id in the manifest (default: the catalogue's name)")
    command.add_argument("--split", required=True)
    command.add_argument("--raw", type=Path, help="the fetched source's folder")
    command.add_argument("--out", required=True, type=Path)
    command.add_argument("--processes", type=int, default=_cores(), help="processes that encode pictures")
    return parser.parse_args()


def main() -> None:
    """Run one command; a user's error is one line on stderr and exit status 2."""
    arguments = _parse()
    try:
        if arguments.command == "fetch":
            fetch(arguments.source, arguments.out)
        else:
            config = arguments.dataset_config
            name = arguments.name or config["dataset"]
            shard(config, name, arguments.split, arguments.raw, arguments.out, arguments.processes)
    except (ValueError, FetchError, OSError) as error:
        raise SystemExit(_report(error)) from None


def _report(error: Exception) -> int:
    import sys

    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
