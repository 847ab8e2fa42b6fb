"""Fetches a source, and writes one split of a data set as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.catalogue import Dataset, resolved, sources
from glofnd.files import read_json, sha256, write_json
from glofnd.parameters import REQUIRED, parameters
from glofnd.progress import progress

__all__ = ["fetch", "shard"]


def fetch(source: str, out: Path) -> None:
    """Fetch a source of the catalogue into `out`; `out/source.json` is written last and means that all is there.

    Raises:
        OSError: it cannot be fetched, or `out` cannot be written.
    """
    entry = sources()[source]
    out.mkdir(parents=True, exist_ok=True)
    (out / "source.json").unlink(missing_ok=True)
    stated = entry.fetch(out) if entry.fetch else {}
    paths = stated.pop("files")
    files = {file: sha256(out / file) for file in progress(paths, len(paths), f"checksums of {source}", "files")}
    description = {"source": source, "licence": entry.licence, "homepage": entry.homepage, **stated, "sha256": files}
    write_json(out / "source.json", description)
    print(f"{source}: {len(files)} files in {out}")


def _checked_source(entry: Dataset, raw: Path | None) -> dict[str, Any]:
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
    for file in progress(stated, len(stated), f"checking {entry.source}", "files"):
        if not (raw / file).is_file() or sha256(raw / file) != stated[file]:
            raise ValueError(f"{raw / file}: missing or changed since it was fetched; {again}")
    return source


def shard(
    dataset_config: dict[str, Any], name: str, split: str, raw: Path | None, out: Path, processes: int = 1
) -> None:
    """Write one split of a data set as webdataset tars with a manifest into `out`.

    Args:
        dataset_config: a block of the config's `datasets`; options that it lacks have their defaults.
        name: the block's name, for the manifest and messages.
        split: one of the data set's splits.
        raw: folder of the fetched source; None for the user's own files.
        out: folder to write.
        processes: how many encode pictures; the bytes written are the same for any number.

    Raises:
        ValueError, OSError: naming the option, file or sample that is wrong.
    """
    # Writing needs webdataset, which imports torch; whoever reads the catalogue alone does not.
    from glofnd.data.writer import write_shards

    entry, options = resolved(dataset_config, name)
    if missing := [key for key, value in options.items() if value is REQUIRED or value == ""]:
        raise ValueError(f"datasets.{name}.{missing[0]}: missing; {entry.obtain}")
    if split not in entry.splits:
        raise ValueError(f"datasets.{name}: no split {split!r}; it has {', '.join(entry.splits)}")
    source = _checked_source(entry, raw)
    root = Path(options["path"]) if options.get("path") else raw
    fetched = f"delete {raw} to have it fetched again" if entry.source else "leave `path` out to have it fetched"
    advice = entry.obtain or fetched
    shards = options["shards"]
    if isinstance(shards, dict):
        shards = shards.get(split, parameters(entry.build)["shards"].default)
    if root is None or not root.is_dir():
        raise ValueError(f"datasets.{name}: {root} is no folder; {advice}")
    try:
        manifest = write_shards(
            entry.build(**{**options, "path": root}).split(split),
            out,
            shards=shards,
            head={"dataset": name, "split": split, "image_size": options["image_size"]},
            tail={
                "licence": source.get("licence", entry.licence),
                "source": source,
                "config": {"dataset": dataset_config.get("dataset", name), **options},
            },
            processes=processes,
        )
    except FileNotFoundError as error:
        raise ValueError(f"datasets.{name}: {error.filename} is missing; {advice}") from error
    except RuntimeError as error:
        if "Dataset not found" not in str(error):  # torchvision's
            raise
        raise ValueError(f"datasets.{name}: {root}: {error}; {advice}") from error
    print(f"{name}/{split}: {manifest['samples']} pictures in {out}")
    if skipped := manifest.get("skipped"):
        named = "; ".join(f"{entry['where']}: {entry['reason']}" for entry in skipped[:3])
        print(f"  left out {len(skipped)} bad samples, which the manifest lists: {named}")
    for field, count in manifest["false_negatives"].items():
        print(
            f"  pairs sharing {field}: {count['pairs']} ({100 * count['share']:.3f} % of all pairs; "
            f"{255 * count['share']:.2f} false negatives per anchor in a batch of 256)"
        )
