"""What only a GPU can show, in one command; it needs torch, torchvision, numpy and pillow, and no network.

    python tests/gpu/check.py [--json FILE]    minutes; exit code 1 where something does not hold, 3 without a GPU
    python tests/gpu/check.py --cpu            the same on the CPU, in small: whether the script itself works

1. every objective with every detector: loss, gradients and state on the GPU, of float32 and bfloat16 embeddings,
   against the CPU in float64; state saved and loaded in between; one NCCL rank against none
2. trainings on made-up JPEG shards: pictures a second, what takes how much of a step, memory, host synchronisations
3. losses with and without GloFND beside NT-Xent and CLIP's loss written with all pairs: milliseconds and memory
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tarfile
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
if find_spec("tqdm") is None:  # bars alone
    BAR = SimpleNamespace(set_postfix_str=lambda *_, **__: None, update=lambda _: None, close=lambda: None)
    sys.modules["tqdm"] = SimpleNamespace(tqdm=lambda items=None, **_: BAR if items is None else items)  # type: ignore

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from glofnd import CLIP, GloFND, SimCLR, SogCLR
from glofnd.data.manifest import CHECKSUM, CHECKSUM_END, FORMAT
from glofnd.detectors import DETECTORS
from glofnd.encoders import ENCODERS
from glofnd.files import sha256
from glofnd.objectives import OBJECTIVES
from glofnd.parameters import parameters
from glofnd.pretraining import TrainingOptions
from glofnd.pretraining.processes import Processes
from glofnd.pretraining.trainer import Trainer
from glofnd.views import TwoViews
from tests.glofnd.objectives.common import EVERY, draw, make

Row = dict[str, Any]


# 1. Numbers


def steps(
    objective: Any, device: torch.device, rounded: torch.dtype, kind: torch.dtype, other: Any = None
) -> list[Tensor]:
    """Losses and gradients of four steps, and the state after them, of embeddings `rounded` and then of type `kind`.

    With `other` the state goes to it and back between steps.
    """
    objective, found = objective.to(device).train(), []
    for step in range(4):
        z, index = draw(seed=step)
        leaves = [x.detach().to(rounded).to(device, kind).requires_grad_() for x in z]
        loss = objective(*leaves, index.to(device), epoch=step, labels=(index % 3).to(device))
        found += [loss.detach(), *torch.autograd.grad(loss, leaves)]
        if other is not None:
            other.to(device).train().load_state_dict(objective.state_dict())
            objective, other = other, objective
    found += [value for value in objective.state_dict().values() if value.is_floating_point()]
    return [value.detach().double().cpu() for value in found]


def furthest(left: list[Tensor], right: list[Tensor]) -> float:
    """Largest difference, relative to the largest number of each tensor where that is above 1."""
    pairs = zip(left, right, strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1)) if a.numel() else 0.0 for a, b in pairs)


def numbers(device: torch.device) -> list[Row]:
    """Every objective with every detector; bfloat16 gradients are rounded to three digits."""
    rows = []
    for name, detector in EVERY:
        row: Row = {"objective": name, "detector": detector, "holds": True}
        for dtype, allowed in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
            truth = steps(make(name, detector), torch.device("cpu"), dtype, torch.float64)
            off = furthest(steps(make(name, detector).float(), device, dtype, dtype), truth)
            row |= {str(dtype)[6:]: off, "holds": row["holds"] and off < allowed}
        others = (None, make(name, detector).float())
        plain, again = (steps(make(name, detector).float(), device, *[torch.float32] * 2, other) for other in others)
        row["reloaded"] = furthest(again, plain)
        rows.append(row | {"holds": row["holds"] and row["reloaded"] < 1e-6})
    return rows


def one_rank(device: torch.device) -> list[Row]:
    """One rank of NCCL (gloo on a CPU) against none."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    rows = []
    with tempfile.NamedTemporaryFile() as store:
        torch.distributed.init_process_group(backend, init_method=f"file://{store.name}.ranks", rank=0, world_size=1)
        for name, detector in (("sogclr", "glofnd"), ("fastclip-v3", "location-scale"), ("simclr", "fnc")):
            shared = make(name, detector).float().to(device)
            shared.distribute()
            alone = steps(make(name, detector).float(), device, torch.float32, torch.float32)
            off = furthest(steps(shared, device, torch.float32, torch.float32), alone)
            rows.append({"backend": backend, "objective": name, "detector": detector, "off": off, "holds": off < 1e-5})
        torch.distributed.destroy_process_group()
    return rows


# 2. Trainings


def write_shards(folder: Path, samples: int, size: int) -> None:
    """Noise as JPEG, in four tars with manifest and columns."""
    draws = np.random.default_rng(0)
    pictures = []
    for _ in range(64):
        coarse = Image.fromarray(draws.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size))
        buffer = io.BytesIO()
        coarse.save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    per_shard, offsets, shards = samples // 4, np.zeros((samples, 3), np.int64), []
    for number in range(4):
        path = folder / f"{number:06d}.tar"
        with tarfile.open(path, "w") as tar:
            for index in range(number * per_shard, (number + 1) * per_shard):
                data, member = pictures[index % 64], tarfile.TarInfo(f"{index:09d}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        with tarfile.open(path) as tar:
            for place, member in enumerate(tar):
                index = number * per_shard + place
                offsets[index] = member.offset_data, member.size, zlib.crc32(pictures[index % 64])
        entry = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
        shards.append(entry | {"first_index": per_shard * number, "samples": per_shard})
    np.save(folder / "offsets.npy", offsets)
    np.save(folder / "labels.npy", np.arange(samples)[None] % 100)
    manifest = {"format": FORMAT, "dataset": "made-up", "split": "train", "samples": samples, "image_size": size}
    manifest |= {"channels": 3, "fields": ["label"], "captions": False, "false_negatives": {}, "licence": ""}
    text = json.dumps(manifest | {"source": {}, "config": {}, "columns": [], "shards": shards})[:-1].encode()
    (folder / "manifest.json").write_bytes(text + CHECKSUM + hashlib.sha256(text).hexdigest().encode() + CHECKSUM_END)


def filled(target: Any, given: Row) -> Row:
    """All described parameters of `target`, those of `given` set."""
    return {name: parameter.default for name, parameter in parameters(target).items()} | given


def run_config(encoder: Row, size: int, batch: int, workers: int, device: str) -> Row:
    """SogCLR with GloFND, learning and dropping from the first epoch."""
    training = {"epochs": 100, "batch_size": batch, "workers": workers, "device": device, "threads": 1}
    return {
        "run": "check",
        "seed": 1,
        "dataset": "made-up",
        "label": "label",
        "encoder": {"name": encoder["name"], **filled(ENCODERS[encoder["name"]], encoder)},
        "views": filled(TwoViews, {"size": size}),
        "training": filled(TrainingOptions, training),
        "objective": {"method": "sogclr", **filled(OBJECTIVES["sogclr"], {})},
        "detector": {"method": "glofnd", **filled(DETECTORS["glofnd"], {"start_update": 0, "start_filter": 0})},
    }


def timed(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Milliseconds of one call, waited for."""
    work()
    wait(device)
    clock = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(device)
    return (time.perf_counter() - clock) * 1e3 / repeats


def wait(device: torch.device) -> None:
    """Until the GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak(device: torch.device) -> float:
    """GB at most since the last call."""
    if device.type != "cuda":
        return float("nan")
    found = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return found


def training(encoder: Row, samples: int, size: int, batch: int, workers: int, device: torch.device) -> Row:
    """A training, and the parts of its step by themselves."""
    with tempfile.TemporaryDirectory() as name:
        write_shards(Path(name), samples, size)
        config = run_config(encoder, size, batch, workers, device.type)
        trainer = Trainer(config, TrainingOptions(**config["training"]), Path(name), Processes())
        trainer.stream._reader.cached = False
        trainer.start()
        peak(device)
        batches = list(trainer.stream.epoch(0))
        turns = len(batches) - 1

        def whole() -> None:
            for each in trainer.stream.epoch(1):
                trainer.train_step(each)
                trainer.batch += 1
            trainer.epoch, trainer.batch = trainer.epoch + 1, 0

        step = timed(whole, 2, device) / len(batches)
        memory = peak(device)
        syncs = synchronisations(lambda: trainer.train_step(batches[1]), device)
        first = batches[0]
        images, index = first.images.to(device), first.index.to(device)
        z = [normalize(torch.randn(batch, trainer.model.dim, device=device), dim=1).requires_grad_() for _ in range(2)]
        plain = SogCLR(samples).to(device)
        parts = {
            "data": timed(lambda: [None for _ in trainer.stream.epoch(2)], 1, device) / len(batches),
            "views": timed(lambda: trainer.views(images, index, 0), turns, device),
            "loss": timed(lambda: plain(*z, index, epoch=0).backward(), turns, device),
            "loss and detector": timed(lambda: trainer.objective(*z, index, epoch=0).backward(), turns, device),
        }
    row: Row = {"encoder": encoder["name"], "pixels": size, "batch": batch, "pictures/s": batch / step * 1e3}
    row |= {"step ms": step, **{f"{name} ms": value for name, value in parts.items()}, "GB": memory}
    return row | {"synchronisations": sum(syncs.values()), "where": dict(syncs), "holds": True}


def synchronisations(step: Callable[[], object], device: torch.device) -> Counter[str]:
    """Where one step makes the host wait for the GPU."""
    if device.type != "cuda":
        return Counter()
    step()
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    said = (
        f"{Path(warning.filename).name}:{warning.lineno}" for warning in caught if "synchroniz" in str(warning.message)
    )
    return Counter(said)


# 3. Losses


def nt_xent(z1: Tensor, z2: Tensor) -> Tensor:
    """SimCLR's loss from the matrix of all pairs."""
    z = normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z1)))


def clip_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """CLIP's, as open_clip writes it."""
    logits = normalize(z1, dim=1) @ normalize(z2, dim=1).T / 0.07
    target = torch.arange(len(z1), device=z1.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def ours(kind: Any, batch: int, device: torch.device, filtering: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """One of our objectives on samples 0 to batch - 1, that drops the most similar 1 % or nothing."""
    detector = GloFND(batch, alpha=0.01, start_filter=0) if filtering else None
    objective, index = kind(batch, detector=detector).to(device), torch.arange(batch, device=device)
    return lambda z1, z2: objective(z1, z2, index, epoch=0)


def losses(sizes: list[int], device: torch.device) -> list[Row]:
    """Forward and backward of one batch."""
    rows = []
    for size in sizes:
        generator = torch.Generator().manual_seed(0)
        z = [torch.randn(size, 128, generator=generator).to(device).requires_grad_() for _ in range(2)]
        contenders: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "NT-Xent, all pairs": nt_xent,
            "SimCLR": ours(SimCLR, size, device),
            "SogCLR": ours(SogCLR, size, device),
            "SogCLR + GloFND": ours(SogCLR, size, device, True),
            "CLIP, all pairs": clip_loss,
            "CLIP": ours(CLIP, size, device),
            "CLIP + GloFND": ours(CLIP, size, device, True),
        }
        for name, loss in contenders.items():
            peak(device)
            try:
                spent = timed(lambda loss=loss, z=z: loss(*z).backward(), 5, device)  # type: ignore[misc]
                rows.append({"loss": name, "batch": size, "ms": spent, "GB": peak(device), "holds": True})
            except torch.cuda.OutOfMemoryError:
                rows.append({"loss": name, "batch": size, "ms": float("nan"), "GB": float("inf"), "holds": True})
    return rows


def show(title: str, rows: list[Row]) -> None:
    """A table."""
    print(f"\n{title}")
    keys = [key for key in rows[0] if key != "where"]
    print("  ".join(f"{key:>14s}" for key in keys))
    for row in rows:
        cells = (f"{row[key]:14.4g}" if isinstance(row[key], float) else f"{row[key]!s:>14s}" for key in keys)
        print("  ".join(cells), flush=True)


def main() -> int:
    """Everything; 0 where all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="in small, on the CPU")
    parser.add_argument("--json", type=Path, help="file for all figures")
    arguments = parser.parse_args()
    if not arguments.cpu and not torch.cuda.is_available():
        print("no GPU is visible; --cpu tries the script itself")
        return 3
    device = torch.device("cpu" if arguments.cpu else "cuda")
    small, resnet = {"name": "resnet10", "width": 16, "stem": "strided"}, {"name": "resnet50"}
    trainings = (
        [(small, 512, 24, 128, 0)] if arguments.cpu else [(small, 16_384, 24, 128, 4), (resnet, 8192, 224, 256, 12)]
    )
    sizes = [64] if arguments.cpu else [1024, 4096, 16_384, 32_768]
    machine = "CPU" if arguments.cpu else torch.cuda.get_device_name()
    found: dict[str, list[Row]] = {}
    for title, work in (
        ("numbers against the CPU in float64", lambda: numbers(device)),
        ("one rank", lambda: one_rank(device)),
        ("trainings", lambda: [training(*each, device) for each in trainings]),
        ("losses", lambda: losses(sizes, device)),
    ):
        found[title] = work()
        show(title, found[title])
        if arguments.json:
            arguments.json.write_text(json.dumps({"machine": machine, "torch": torch.__version__, **found}, indent=1))
    for row in found["trainings"]:
        print(f"{row['encoder']}: the host waits at {row['where'] or 'no line'}")
    failed = sum(not row["holds"] for rows in found.values() for row in rows)
    print(f"{machine}, torch {torch.__version__}: {failed} of {sum(map(len, found.values()))} rows do not hold")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
