"""What GloFND adds to a training step of a ResNet-18."""

from __future__ import annotations

import torch

from benchmarks.race import Contender, race
from glofnd import GloFND, KeepAll, SogCLR
from glofnd.detectors import Detector

__all__ = ["added_to_a_training_step"]

BATCH, SIZE, DIM = 128, 32, 128


def added_to_a_training_step(steps: int = 3, losses: int = 50) -> dict[str, float]:
    """Median milliseconds of encoder and objective, and the share GloFND adds to their sum.

    128 pictures of 32 x 32 in two views, torchvision's ResNet-18, forward and backward.
    """
    from torchvision.models import resnet18

    model = resnet18(num_classes=DIM)
    views = torch.randn(2 * BATCH, 3, SIZE, SIZE)
    index = torch.arange(BATCH)

    def encoder() -> None:
        model.zero_grad()
        model(views).square().sum().backward()

    def objective(detector: Detector) -> Contender:
        loss = SogCLR(BATCH, detector=detector)
        z = [torch.randn(BATCH, DIM, requires_grad=True) for _ in range(2)]
        return lambda: loss(*z, index, epoch=0).backward()

    step = race({"encoder": encoder}, 0, steps)["encoder"]["median_ms"]
    objectives = {"plain": objective(KeepAll(BATCH)), "with glofnd": objective(GloFND(BATCH))}
    plain, with_detector = (timing["median_ms"] for timing in race(objectives, 0, losses).values())
    return {
        "encoder_ms": step,
        "objective_ms": plain,
        "objective_with_glofnd_ms": with_detector,
        "added_share": (with_detector - plain) / (step + plain),
    }
