"""Who takes part in a race: each contender is a function that does one forward and one backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.naive import NaiveCLIP, NaiveSogCLR
from benchmarks.race import Contender
from glofnd import CLIP, BatchQuantile, FastCLIPv1, FastCLIPv3, GloFND, SimCLR, SogCLR

__all__ = ["bimodal", "unimodal"]


def _call(loss: Callable[[], Tensor], leaves: list[Tensor]) -> Contender:
    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        loss().backward()

    return step


def _embeddings(batch: int, dim: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(100, dim, generator=generator)
    clustered = centres[torch.arange(batch) % 100]
    z = [(clustered + torch.randn(batch, dim, generator=generator)).requires_grad_() for _ in range(2)]
    return z, torch.arange(batch)


def unimodal(batch: int, dim: int) -> dict[str, Contender]:
    """SimCLR and SogCLR with and without detectors, lightly, libauc, and the naive version."""
    from libauc.losses.contrastive import GCLoss_v1
    from lightly.loss import DCLLoss, NTXentLoss

    z, index = _embeddings(batch, dim)
    ours = {
        "simclr": SimCLR(batch),
        "sogclr": SogCLR(batch),
        "sogclr+glofnd": SogCLR(batch, detector=GloFND(batch)),
        "sogclr+glofnd adam": SogCLR(batch, detector=GloFND(batch, learner="adam", init="quantile")),
        "sogclr+batch-quantile": SogCLR(batch, detector=BatchQuantile(batch)),
    }
    contenders = {name: _call(lambda o=objective: o(*z, index, epoch=1), z) for name, objective in ours.items()}
    for objective in ours.values():
        objective(*z, index, epoch=0)
    ntxent, dcl = NTXentLoss(temperature=0.1), DCLLoss(temperature=0.1)
    contenders["lightly NT-Xent"] = _call(lambda: ntxent(*z), z)
    contenders["lightly DCL"] = _call(lambda: dcl(*z), z)
    libauc = GCLoss_v1(N=batch, tau=0.1, gamma=0.9, device="cpu")
    contenders["libauc SogCLR"] = _call(lambda: libauc(*z, index), z)
    naive, with_detector = NaiveSogCLR(batch), NaiveSogCLR(batch, alpha=0.01)
    contenders["naive sogclr"] = _call(lambda: naive(*z, index, 1), z)
    contenders["naive sogclr+glofnd"] = _call(lambda: with_detector(*z, index, 1), z)
    return contenders


def bimodal(batch: int, dim: int) -> dict[str, Contender]:
    """CLIP and FastCLIP with and without GloFND, open_clip's loss, and the naive version."""
    from open_clip.loss import ClipLoss

    z, index = _embeddings(batch, dim)
    adam = GloFND(batch, learner="adam", init="quantile")
    ours = {
        "clip": CLIP(batch),
        "clip+glofnd": CLIP(batch, detector=GloFND(batch)),
        "fastclip-v1": FastCLIPv1(batch),
        "fastclip-v1+glofnd": FastCLIPv1(batch, detector=GloFND(batch)),
        "fastclip-v1+glofnd adam": FastCLIPv1(batch, detector=adam),
        "fastclip-v3+glofnd": FastCLIPv3(batch, detector=GloFND(batch)),
    }
    contenders = {
        name: _call(lambda o=objective: o(*z, index, epoch=1), [*z, *objective.parameters()])
        for name, objective in ours.items()
    }
    for objective in ours.values():
        objective(*z, index, epoch=0)
    scale = torch.tensor(1 / 0.07, requires_grad=True)
    clip_loss = ClipLoss()

    def open_clip() -> Tensor:
        return clip_loss(*(torch.nn.functional.normalize(x, dim=1) for x in z), scale)

    contenders["open_clip ClipLoss"] = _call(open_clip, [*z, scale])
    naive, with_detector = NaiveCLIP(batch), NaiveCLIP(batch, alpha=0.01)
    contenders["naive fastclip-v1"] = _call(lambda: naive(*z, index, 1), z)
    contenders["naive fastclip-v1+glofnd"] = _call(lambda: with_detector(*z, index, 1), z)
    return contenders
