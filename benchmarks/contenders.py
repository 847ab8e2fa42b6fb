"""Who takes part in the race of `objectives.py`: a contender is a function that does one forward and one backward."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["Contender", "bimodal", "checkout", "missing", "unimodal"]

Contender = Callable[[], object]

PEERS = {"lightly": "lightly", "open_clip": "open_clip_torch"}


def missing() -> list[str]:
    """One line for every peer that is not installed, and is left out."""
    return [f"{name} is left out: pip install {package}" for name, package in PEERS.items() if not _module(name)]


def checkout(folder: Path) -> ModuleType:
    """The package `glofnd` of another checkout, beside the present one.

    It is imported under its own name, and its modules are then taken out of the table of modules: whatever it imports
    later would be the present one's.
    """
    present = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "glofnd"}
    sys.path.insert(0, str(folder))
    try:
        other = importlib.import_module("glofnd")
        for name in other.__all__:
            setattr(other, name, getattr(other, name))
    finally:
        sys.path.remove(str(folder))
        for name in list(sys.modules):
            if name.split(".")[0] == "glofnd":
                del sys.modules[name]
        sys.modules.update(present)
    return other


def unimodal(batch: int, dim: int, packages: dict[str, Any]) -> dict[str, Contender]:
    """SogCLR and SimCLR with and without GloFND of every package, lightly's NT-Xent, the naive version.

    Args:
        batch: samples.
        dim: size of an embedding.
        packages: label -> a package `glofnd`.
    """
    z, index = _embeddings(batch, dim)
    contenders = {}
    for label, glofnd in packages.items():
        for name, objective in (
            ("SimCLR", glofnd.SimCLR(batch)),
            ("SogCLR", glofnd.SogCLR(batch)),
            ("SogCLR + GloFND", glofnd.SogCLR(batch, detector=glofnd.GloFND(batch, init="quantile"))),
            ("SogCLR + location-scale", glofnd.SogCLR(batch, detector=glofnd.LocationScale(batch))),
        ):
            objective(*z, index, epoch=0)
            contenders[f"{name}{label}"] = _step(lambda o=objective: o(*z, index, epoch=1), z)
    if loss := _module("lightly.loss"):
        ntxent = loss.NTXentLoss(temperature=0.1)
        contenders["lightly NT-Xent"] = _step(lambda: ntxent(*z), z)
    naive = Naive(batch, views=2)
    contenders["naive SogCLR + GloFND"] = _step(lambda: naive.sogclr(*z, index), z)
    return contenders


def bimodal(batch: int, dim: int, packages: dict[str, Any]) -> dict[str, Contender]:
    """CLIP and FastCLIP v1 with and without GloFND of every package, open_clip's loss, the naive version."""
    z, index = _embeddings(batch, dim)
    contenders = {}
    for label, glofnd in packages.items():
        for name, objective in (
            ("CLIP", glofnd.CLIP(batch)),
            ("FastCLIP v1", glofnd.FastCLIPv1(batch)),
            ("FastCLIP v1 + GloFND", glofnd.FastCLIPv1(batch, detector=glofnd.GloFND(batch, init="quantile"))),
            ("FastCLIP v1 + location-scale", glofnd.FastCLIPv1(batch, detector=glofnd.LocationScale(batch))),
        ):
            objective(*z, index, epoch=0)
            leaves = [*z, *objective.parameters()]
            contenders[f"{name}{label}"] = _step(lambda o=objective: o(*z, index, epoch=1), leaves)
    if loss := _module("open_clip.loss"):
        clip, scale = loss.ClipLoss(), torch.tensor(1 / 0.07, requires_grad=True)
        contenders["open_clip ClipLoss"] = _step(lambda: clip(*(normalize(x, dim=1) for x in z), scale), [*z, scale])
    naive = Naive(batch, views=1)
    contenders["naive FastCLIP v1 + GloFND"] = _step(lambda: naive.fastclip(*z, index), z)
    return contenders


class Naive:
    """The method written down plainly with autograd: full similarity matrix, full quantile for the log, as published.

    Args:
        num_samples: samples in the data set.
        views: 2 unimodal, 1 bimodal.
    """

    def __init__(self, num_samples: int, views: int) -> None:
        sides = 3 - views
        self.u, self.threshold = torch.zeros(sides, num_samples), torch.ones(sides, num_samples)
        self.m, self.v, self.views = torch.zeros(sides, num_samples), torch.zeros(sides, num_samples), views

    def sogclr(self, z1: Tensor, z2: Tensor, index: Tensor) -> Tensor:
        """SogCLR + GloFND."""
        a, b = normalize(z1, dim=1), normalize(z2, dim=1)
        similarity = torch.stack([torch.cat([a @ b.T, a @ a.T], 1), torch.cat([b @ a.T, b @ b.T], 1)])
        keep = self.keep(0, similarity, index)
        exponentials = torch.where(keep, (similarity / 0.1).exp(), 0.0).detach()
        estimate = exponentials.sum(2) / keep.sum(2)
        u = torch.where(self.u[0, index] == 0, estimate, 0.1 * self.u[0, index] + 0.9 * estimate)
        self.u[0, index] = u.mean(0)
        weighted = (exponentials / u[:, :, None] * similarity).sum(2) / keep.sum(2)
        return (weighted - (a * b).sum(1)).mean(1).sum()

    def fastclip(self, z1: Tensor, z2: Tensor, index: Tensor) -> Tensor:
        """FastCLIP v1 + GloFND."""
        a, b = normalize(z1, dim=1), normalize(z2, dim=1)
        total = torch.tensor(0.0)
        for side, similarity in enumerate((a @ b.T, b @ a.T)):
            keep = self.keep(side, similarity[None], index)[0]
            shifted = ((similarity - similarity.diagonal()[:, None]) / 0.03).exp()
            h = torch.where(keep, shifted, 0.0).sum(1) / keep.sum(1)
            u = torch.where(self.u[side, index] == 0, h, 0.8 * self.u[side, index] + 0.2 * h).detach()
            self.u[side, index] = u
            total = total + (h / (u + 1e-14)).mean()
        return total

    @torch.no_grad()
    def keep(self, side: int, similarity: Tensor, index: Tensor) -> Tensor:
        """GloFND's Adam (epoch 1), and which of the similarities [V, B, M] it keeps."""
        other = ~torch.eye(len(index), dtype=torch.bool).repeat(1, self.views).expand_as(similarity)
        negatives = similarity[other].view(self.views, len(index), -1)
        g = 0.01 - (negatives > self.threshold[side, index][None, :, None]).float().mean((0, 2))
        m = self.m[side, index] = 0.9 * self.m[side, index] + 0.1 * g
        v = self.v[side, index] = 0.98 * self.v[side, index] + 0.02 * g * g
        step = m / (1 - 0.9**2) / ((v / (1 - 0.98**2)).sqrt() + 1e-8)
        threshold = self.threshold[side, index] = (self.threshold[side, index] - 0.05 * step).clamp(-1, 1)
        # In parts, since torch.quantile refuses more than 16 million entries.
        parts = [part.quantile(0.99, dim=1) for part in negatives.flatten(0, 1).split(1024)]
        self.error = (threshold - torch.cat(parts).view(self.views, -1).mean(0)).abs().mean()
        return other & (similarity <= threshold[None, :, None])


def _embeddings(batch: int, dim: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    clustered = torch.randn(100, dim, generator=generator)[torch.arange(batch) % 100]
    z = [(clustered + torch.randn(batch, dim, generator=generator)).requires_grad_() for _ in range(2)]
    return z, torch.arange(batch)


def _step(loss: Callable[[], Tensor], leaves: list[Tensor]) -> Contender:
    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        loss().backward()

    return step


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
