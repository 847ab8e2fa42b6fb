"""Two random views of pictures on disk, ours beside torchvision's, in pictures per second.

    python benchmarks/pipeline.py --json pipeline.json              about 8 minutes on two idle cores
    python benchmarks/pipeline.py --quick                           about 1 minute

Ours is what pretraining does: `ShardStream`, then `TwoViews` on each batch, both views. The peer of the targets is
torchvision's plain pipeline: `ImageFolder`, its transforms on PIL pictures, `DataLoader` with the number of worker
processes, of 0, 1 and 2, that serves it best. Both read the same encoded bytes (ours from tars, the peer from single
files, all in the page cache), with the same strengths of augmentation, the defaults of `views`, and end with the float
batches that an encoder gets. Pictures are photographs of the size the shards are made at: PNG at 32 pixels, JPEG of
quality 95 at 224.

"decoding" is ours with every picture decoded in every epoch, as the peer does it, with the best of 0, 1 and 2 threads
that read ahead; "cached" is ours with decoded pictures kept in memory, which pretraining does where they fit. Other
variants of the peer are there for information: its pictures in memory too, and its second generation of transforms on
tensors. `--views` lays keys over the strengths, for instance '{"blur_probability": 0.5}'.

Everything takes turns within one process on `--cores` cores. Ratios are of median times; their range is from the
smallest to the largest that any two calls would give.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.pipeline_peers import PEERS, loader
from benchmarks.pipeline_pictures import Pictures, write_pictures
from benchmarks.race import Contender, race
from benchmarks.targets import Target
from glofnd.data.stream import ShardStream
from glofnd.files import write_json
from glofnd.registry import VIEWS
from glofnd.views import TwoViews

WORKERS = (0, 1, 2)
PEER, DECODING, CACHED = next(iter(PEERS)), "ours, decoding", "ours, cached"
# Side in pixels -> kind of file, pictures of an epoch, batch, and how many times as fast as the peer ours shall be.
RACES = {32: ("png", 2048, 256, 5.0), 224: ("jpg", 384, 64, 1.5)}


def ours(pictures: Pictures, views: dict[str, Any], batch: int, workers: int, cache: bool) -> Contender:
    """An epoch of our pipeline per call, each with its own draws."""
    stream = ShardStream(pictures.shards, batch_size=batch, seed=0, workers=workers, cache=cache)
    two_views, epochs = TwoViews(**views, seed=0), count()
    stream.load()

    def epoch() -> None:
        number = next(epochs)
        for part in stream.epoch(number):
            two_views(part.images, part.index, number)

    return epoch


def peer(name: str, pictures: Pictures, views: dict[str, Any], batch: int, workers: int) -> Contender:
    """An epoch of one of torchvision's pipelines per call."""
    batches = loader(name, pictures, views, batch, workers)

    def epoch() -> None:
        for _ in batches:
            pass

    return epoch


def race_at(
    pictures: Pictures, views: dict[str, Any], batch: int, peers: list[str], seconds: float, repeats: int
) -> dict[str, Any]:
    """One race; per contender times of an epoch, pictures per second and workers, and ratios to both of ours.

    Every number of workers takes part in the whole race; what is fastest in the end is the contender's.
    """
    # Worker processes are forked: before ours has threads.
    entries = {(name, n): peer(name, pictures, views, batch, n) for name in peers for n in WORKERS}
    entries |= {(DECODING, n): ours(pictures, views, batch, n, cache=False) for n in WORKERS}
    entries[CACHED, 0] = ours(pictures, views, batch, 0, cache=True)
    raced = race({f"{name} {workers}": call for (name, workers), call in entries.items()}, seconds, repeats)
    # CPU times leave the worker processes out.
    timings = {
        (name, workers): {key: value for key, value in raced[f"{name} {workers}"].items() if "cpu" not in key}
        for name, workers in entries
    }
    shown = pictures.count // batch * batch
    rows = {
        name: {**timings[name, workers], "workers": workers, "pictures_per_second": shown / median * 1e3}
        for name in (*peers, DECODING, CACHED)
        for median, workers in [min((t["median_ms"], n) for (other, n), t in timings.items() if other == name)]
    }
    ratios = {own: {name: ratio(rows[name], rows[own]) for name in peers} for own in (DECODING, CACHED)}
    everything = [{"name": name, "workers": workers, **timing} for (name, workers), timing in timings.items()]
    return {"contenders": rows, "ratios": ratios, "every_number_of_workers": everything}


def ratio(slow: Mapping[str, float], fast: Mapping[str, float]) -> dict[str, float]:
    """How many times as long `slow` takes: ratio of medians, and the range that single calls span."""
    return {
        "median": slow["median_ms"] / fast["median_ms"],
        "low": slow["smallest_ms"] / fast["largest_ms"],
        "high": slow["largest_ms"] / fast["smallest_ms"],
    }


def judge(races: list[dict[str, Any]]) -> list[Target]:
    """Ours, decoding and cached, against the peer that decodes."""
    return [
        Target(
            f"{row['size']} px, {row['extension']}",
            f"{own} / {PEER}",
            row["ratios"][own][PEER]["median"],
            False,
            RACES[row["size"]][3],
        )
        for row in races
        for own in (DECODING, CACHED)
    ]


def run(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> None:
    """All races of one invocation; `keep` is given all that is known so far after each."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    views = {key: schema["default"] for key, schema in VIEWS.items()} | json.loads(arguments.views)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {arguments.cores} of {os.cpu_count()} cores",
        "views": views,
        "races": rows,
    }
    for size in arguments.sizes:
        extension, pictures, batch, _ = RACES[size]
        with tempfile.TemporaryDirectory() as folder:
            files = write_pictures(Path(folder), pictures, size, extension)
            found = race_at(files, views, batch, arguments.peers, arguments.seconds, arguments.repeats)
        about = {
            "size": size,
            "extension": extension,
            "pictures": pictures,
            "batch": batch,
            "bytes_per_picture": files.bytes_per_picture,
            "load": os.getloadavg()[0],
        }
        rows.append({**about, **found})
        print_race(rows[-1])
        keep(result)
    targets = judge(rows)
    keep({**result, "targets": [target.as_dict() for target in targets]})
    print()
    for target in targets:
        print(target)
    print(f"\n{sum(target.met for target in targets)} of {len(targets)} targets met")


def print_race(row: dict[str, Any]) -> None:
    """One race as text."""
    print(
        "\n{size} px, {extension} of {bytes_per_picture:.0f} bytes, batches of {batch}, load {load:.1f}".format(**row)
    )
    for name, timing in row["contenders"].items():
        print(f"  {name:36s} {timing['pictures_per_second']:9.0f} pictures/s, {timing['workers']} workers")
    for own, ratios in row["ratios"].items():
        for name, found in ratios.items():
            print(f"  {own:16s} / {name:36s} {found['median']:6.2f} ({found['low']:.2f} to {found['high']:.2f})")
    sys.stdout.flush()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(RACES), choices=list(RACES))
    parser.add_argument("--views", default="{}", help="JSON object laid over the default strengths")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS), help=f"{PEER!r} among them")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="at least this long per race")
    parser.add_argument("--repeats", type=int, default=7, help="at least this many epochs per contender (slow ones: 3)")
    parser.add_argument("--quick", action="store_true", help="two epochs per contender, one peer")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.repeats, arguments.peers = 0.0, 2, [PEER]
    run(arguments, lambda result: write_json(arguments.json, result) if arguments.json else None)


if __name__ == "__main__":
    main()
