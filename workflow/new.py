"""A config to begin with, for pictures of one's own: guesses, each with its reason, that run as they are.

python -m workflow new my.yaml --folder DIR       pictures in class folders, or flat and without classes
python -m workflow new my.yaml --tars DIR         webdataset tars, with or without classes and captions
python -m workflow new my.yaml --captions FILE    a list of pictures and captions: .csv, .tsv or .jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from glofnd.data.catalogue import DATASETS, configured
from glofnd.data.datasets.folder import foreign
from glofnd.data.datasets.tars import samples_of
from glofnd.data.picture_files import opened
from glofnd.data.split import Split
from glofnd.failures import report
from glofnd.files import atomic_open
from workflow.config import resolve

__all__ = ["main", "new_config"]

_TRAIN, _TEST = ("train", "training"), ("test", "val", "valid", "validation")
_SIZES = (32, 64, 96, 128, 224)
_LOOKED_AT = 50
"""Pictures whose size is looked at."""


def _sides(root: Path) -> tuple[str, str]:
    """Folders of the training and the test split; one where they are not told apart."""
    there = {entry.name.lower(): entry.name for entry in sorted(root.iterdir()) if entry.is_dir()}
    train = next((there[name] for name in _TRAIN if name in there), ".")
    return train, next((there[name] for name in _TEST if name in there and train != "."), train)


def _folder(root: Path) -> dict[str, Any]:
    """Options of the data set `folder`; without `test` where there are no classes, so that all is trained on."""
    train, test = _sides(root)
    while len(inner := [e.name for e in (root / train).iterdir() if e.is_dir() and not foreign(e.name)]) == 1:
        train = test = (Path(train) / inner[0]).as_posix()  # one class is none
    block = {"dataset": "folder", "path": str(root), "train": train}
    return block | {"test": test} if inner else block


def _tars(root: Path, out: Path) -> dict[str, Any]:
    """Options of the data set `webdataset`; may write a list of classes beside `out`."""
    tars = sorted(root.rglob("*.tar"))
    if not tars:
        raise ValueError(f"{root}: there are no .tar files below it")
    train, test = _sides(root)
    patterns = [f"{train}/*.tar", f"{test}/*.tar"]
    if train == ".":
        every = "*.tar" if tars[0].parent == root else "**/*.tar"
        named = [word for word in _TEST if any(word in tar.name for tar in tars)]
        patterns = ["*train*.tar", f"*{named[0]}*.tar"] if named and any(root.glob("*train*.tar")) else [every] * 2
    block: dict[str, Any] = {"dataset": "webdataset", "path": str(root), "train": patterns[0], "test": patterns[1]}
    first = list(islice(samples_of(sorted(root.glob(patterns[0]))[0], ["cls", "txt"], []), _LOOKED_AT))
    classes, captions = (all(part in sample.texts for sample in first) for part in ("cls", "txt"))
    block |= {"label_from": "cls" if classes else None, "captions_from": "txt" if captions else None}
    if classes and not (root / "classnames.txt").is_file():
        found = {
            sample.texts.get("cls", b"").decode().strip() for tar in tars for sample in samples_of(tar, ["cls"], [])
        }
        names = sorted(found - {""})
        if all(name.isdecimal() for name in names):
            names = [str(number) for number in range(max(map(int, names)) + 1)]
        block["class_list"] = str(out.with_suffix(".classes.txt").absolute())
        with atomic_open(Path(block["class_list"]), "w") as handle:
            handle.write("\n".join(names) + "\n")
    return block if classes or captions else {key: value for key, value in block.items() if key != "test"}


def _captions(file: Path) -> dict[str, Any]:
    return {"dataset": "captions", "path": str(file.parent), "train": file.name, "test": file.name}


def _encoded(block: dict[str, Any], split: Split) -> Iterator[bytes]:
    """Some pictures of a split, as they are in their files."""
    if block["dataset"] == "webdataset":
        tar = sorted(Path(block["path"]).glob(block["train"]))[0]
        with tar.open("rb") as handle:
            for sample in islice(samples_of(tar, [], []), _LOOKED_AT):
                offset, size = sample.picture or (0, 0)
                handle.seek(offset)
                yield handle.read(size)
    else:
        for path in split.payloads[:: max(1, len(split) // _LOOKED_AT)]:
            yield Path(path).read_bytes()


def _sizes(pictures: Iterator[bytes]) -> Iterator[tuple[int, int]]:
    for data in pictures:
        with contextlib.suppress(Exception), opened(data) as image:  # what cannot be read is told by sharding
            yield image.size


def _scalar(value: object) -> str:
    """A value as YAML on one line."""
    return str(yaml.safe_dump(value, width=10**6)).removesuffix("\n").removesuffix("\n...")


def new_config(block: dict[str, Any], file: Path, gpu: bool) -> str:
    """The text of a config that compares detectors on a data set of the user's own.

    Args:
        block: options of the data set.
        file: to be written, which names data set, experiment and results.
        gpu: whether there is one.
    """
    name = re.sub(r"[^a-z0-9.-]+", "-", file.stem.lower()).strip("-.")[:80] or "mine"
    entry = configured(DATASETS[block["dataset"]], block)
    split = entry.build(**{key: value for key, value in block.items() if key != "dataset"}).split("train")
    number, bimodal = len(split), split.captions is not None
    sizes = list(_sizes(_encoded(block, split)))
    if number < 16 or not sizes:
        raise ValueError(f"{block['path']}: has {number} pictures to train on, {len(sizes)} readable; give at least 16")
    width, height = (int(median(size[side] for size in sizes)) for side in (0, 1))
    side = max([size for size in _SIZES if size <= min(width, height)] or [max(8, min(width, height))])
    large = gpu and (side >= 128 or not bimodal)
    if not large:
        side = 32 if bimodal else min(side, 32)
    elif bimodal:
        side = 224
    batch = next(size for size in (256, 128, 64, 32, 16, 8) if 4 * size <= number or size == 8)
    seen, least, most = (10_000_000, 20, 400) if gpu else (100_000, 5, 100)
    epochs = min(max(seen // number, least), most)
    start = 2 * epochs // 5
    classes = split.classes.get("label")
    same = sum((count / number) ** 2 for count in Counter(next(iter(split.labels.values()), [])).values())
    known = same > 2 / number
    alpha = max(min(same, 0.5) if known else 0.01, 2 / number)
    if classes:
        what, why = (
            f"{len(classes)} classes",
            f"about 1 / {round(1 / same)}: so many negatives share the anchor's class",
        )
    elif known:
        what, why = "captions", f"about 1 / {round(1 / same)}: so many negatives have the anchor's captions"
    else:
        what = "different captions" if bimodal else "no labels"
        why = "a guess: about one over the number of things that the pictures show"
    share, key = f"{alpha:.2g}", _scalar(name)
    options = "\n".join(f"    {option}: {_scalar(value)}" for option, value in block.items())
    oracle = f"      oracle: {{start_filter: {start}}} # knows the labels: an upper bound, no method\n" * known
    if bimodal:
        model = "RN50" if large else "glofnd-tiny"
        encoder = f"{{name: open-clip, model: {model}}} # any other of open_clip, for pictures of the size it takes"
        views = "{crop_scale: [0.5, 1.0], flip: 0, hue: 0} # mild, since captions name what is seen"
        objective = f"fastclip-v1: {{temperature: 0.03, gamma_end: 0.2, gamma_epochs: {max(1, epochs // 2)}}}"
        lr, decay, baselines = 0.001, 0.1, "[random-init]"
        tasks = f"retrieval: [{{dataset: {key}}}]"
        tasks += f"\n      zero-shot: [{{dataset: {key}}}]" if classes else ""
    else:
        small = (
            "{name: resnet10, width: 16, stem: strided, projector_hidden: 256, projector_dim: 64} # what a CPU can do"
        )
        stem = "small" if side <= 64 else "imagenet"
        encoder = f"{{name: resnet18, stem: {stem}}}" if gpu else small
        views = "{crop_scale: [0.2, 1.0], flip: 0.5} # flip: 0 where a mirrored picture means another thing"
        objective = "sogclr: {temperature: 0.1, gamma: 0.9}"
        lr, decay = 0.001 if gpu else {256: 0.008, 128: 0.006}.get(batch, 0.003), 0.0001
        baselines = "[raw-pixels, random-init]"
        few = number >= 200 * len(classes or [])
        tasks = f"linear: [{{dataset: {key}, fractions: {[1, 0.1, 0.01] if few else [1, 0.1]}, "
        tasks += f"draws: {[1, 3, 5] if few else [1, 3]}}}] # shares of the labels"
        if not classes:
            tasks = "transfer: [{dataset: mnist}] # labelled pictures nearer to yours would tell more"
    return f"""\
# Does removing false negatives help on these pictures? {number:,} of {width} x {height} pixels (median) to train on, {
        what
    }.
# Every number is a guess with its reason behind it. All options: python -m workflow.config
#
#   make plan CONFIG={file}
#   snakemake --cores all{" --resources gpu=1" * gpu} --configfile {file}

alone: true # a whole config, not laid over config.yaml

paths:
  raw: data/raw
  shards: {_scalar(f"data/shards-{name}")}
  results: {_scalar(f"results/{name}")}

seeds: [1, 2, 3] # each method is trained once for each; about ten are needed to tell small gains from chance

datasets:
  {key}:
{options}
    image_size: {side} # {
        "larger ones show more and take longer" if gpu else "what a CPU can train on; more with a GPU"
    }
    bad_samples: skip # what cannot be read is left out and listed in the manifest, 1 % at most
{f"  mnist: {{image_size: {side}}} # in a package" + chr(10) if not bimodal and not classes else ""}\

experiments:
  {key}:
    modality: {"bimodal" if bimodal else "unimodal"}
    dataset: {key}
    encoder: {encoder}
    views: {views}
    training:
      epochs: {epochs} # so that {epochs * number:,} pictures are seen
      batch_size: {batch} # 256, or a quarter of few pictures
      lr: {lr}
      weight_decay: {decay}
{"      threads: 4" + chr(10) if gpu else ""}\
    objectives:
      {objective}
    detectors:
      # alpha, the share of negatives that is dropped: {why}.
      none: {{}} # keeps every negative: what the others are compared with
      glofnd: {{alpha: {share}, start_update: 0, start_filter: {start}}} # drops from two fifths of the epochs on
      batch-quantile: {{alpha: {share}, start_filter: {start}}}
      location-scale: {{alpha: {share}, start_update: {start * 3 // 4}, start_filter: {start}}}
{oracle}\
    baselines: {baselines} # trained on nothing
    evaluations:
      {tasks}
      discovery: [{{}}] # what was dropped{", against the labels" if known else "; nobody knows rightly or not"}
{
        '''
resources:
  pretrain: {gpu: 1}
  evaluate: {gpu: 1}
'''
        if gpu
        else ""
    }"""


def main(arguments: list[str] | None = None) -> int:
    """Write a config; a user's error is one line on stderr and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m workflow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command = parser.add_subparsers(dest="command", required=True).add_parser("new", help="write a config")
    command.add_argument("out", type=Path, help="the file to write")
    kind = command.add_mutually_exclusive_group(required=True)
    for option, metavar in {"folder": "DIR", "tars": "DIR", "captions": "FILE"}.items():
        kind.add_argument(f"--{option}", type=lambda text: Path(text).expanduser().absolute(), metavar=metavar)
    given = parser.parse_args(arguments)
    try:
        if given.out.exists():
            raise ValueError(f"{given.out}: is there already; choose another name")
        place = given.folder or given.tars or given.captions
        if not (place.is_file() if given.captions else place.is_dir()):
            raise ValueError(f"{place}: no such {'file' if given.captions else 'folder'}")
        block = _folder(place) if given.folder else _tars(place, given.out) if given.tars else _captions(place)
        import torch

        text = new_config(block, given.out, torch.cuda.is_available())
        resolve(yaml.safe_load(text))
        with atomic_open(given.out, "w") as handle:
            handle.write(text)
    except Exception as error:
        return report(error)
    print(f"{given.out} is written; read it, then: snakemake --cores all --configfile {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
