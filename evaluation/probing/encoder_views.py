"""What classifiers on pictures share: random crops, features of whole pictures, fits that survive an interruption."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.results import write_arrays
from evaluation.split_pictures import CHUNK, Pictures, parts
from glofnd.provenance import config_hash
from glofnd.views import TwoViews

__all__ = ["FinishedFits", "crop_and_flip", "linear_layer", "predict"]

Arrays = dict[str, NDArray[Any]]


def crop_and_flip(seed: int) -> TwoViews:
    """Random resized crop of 8 to 100 % of the picture and a flip, without any change of colour."""
    return TwoViews(
        crop_scale=(0.08, 1.0),
        flip=0.5,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0,
        jitter_probability=0,
        grayscale=0,
        seed=seed,
    )


@torch.no_grad()
def linear_layer(width: int, classes: int, seed: int, device: torch.device) -> nn.Linear:
    """Untrained: weights from N(0, .01), biases zero."""
    layer = nn.Linear(width, classes)
    layer.weight.normal_(0, 0.01, generator=torch.Generator().manual_seed(seed))
    layer.bias.zero_()
    return layer.to(device)


@torch.no_grad()
def predict(model: Any, pictures: Pictures, head: nn.Linear | None = None, rows: NDArray[Any] | None = None) -> Tensor:
    """Features [n, F] of whole pictures in evaluation mode, or what `head` makes of them, float32 on the CPU.

    Args:
        model: the encoder.
        pictures: of a split.
        head: a linear layer on the features; `None` for none.
        rows: which samples [n]; `None` for all.
    """
    model.eval()
    found = []
    for images in pictures.batches(parts(np.arange(len(pictures)) if rows is None else rows, CHUNK)):
        features = model.features(model.prepare(images.to(model.mean.device))).float()
        found.append((features if head is None else functional.linear(features, head.weight, head.bias)).cpu())
    return torch.cat(found)


class FinishedFits:
    """What fits have given, by name, in a rolling file, so that an interrupted evaluation goes on with the next fit.

    Args:
        folder: output folder of the evaluation, in which `resume.npz` lies until its end.
        settings: all that decides what the fits give; JSON. A file of other settings, or a damaged one, is not used.
    """

    def __init__(self, folder: Path, settings: object) -> None:
        self._path, origin = folder / "resume.npz", config_hash(settings)
        self._arrays: Arrays = {"origin": np.array(origin)}
        try:
            with np.load(self._path, allow_pickle=False) as file:
                if str(file["origin"]) == origin:
                    self._arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass

    def once(self, name: str, fit: Callable[[], Arrays]) -> Arrays:
        """What `fit()` gives, or gave in an earlier call."""
        head = f"{name}/"
        if not any(key.startswith(head) for key in self._arrays):
            self._arrays |= {head + key: array for key, array in fit().items()}
            write_arrays(self._path, self._arrays)
        return {key.removeprefix(head): array for key, array in self._arrays.items() if key.startswith(head)}
