"""Where the options of methods, encoders, views, training, data sets and evaluations are declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from evaluation import EVALUATIONS
from glofnd.data.catalogue import DATASETS, Dataset, problems
from glofnd.detectors import DETECTORS, Detector, build_detector
from glofnd.encoders import ENCODERS, Model
from glofnd.encoders.frozen import architecture, frozen
from glofnd.objectives import OBJECTIVES
from glofnd.parameters import REQUIRED, Parameter, parameters
from glofnd.pretraining.options import TrainingOptions
from glofnd.views import TwoViews

__all__ = ["GROUPS", "Declared", "detector", "encoder", "entries"]

GROUPS = ("datasets", "encoders", "models", "views", "training", "objectives", "detectors", "evaluations")
"""What has options; `models`, `views` and `training` have one entry of the same name."""


@dataclass(frozen=True)
class Declared:
    """One entry of a registry.

    Attributes:
        options: its declared parameters.
        build: called with all of them; raises `ValueError` where they contradict each other.
        modalities: experiments it is for.
    """

    options: dict[str, Parameter]
    build: Callable[..., object] = lambda **options: None
    modalities: tuple[str, ...] = ("unimodal", "bimodal")


def _with_advice(entry: Dataset) -> dict[str, Parameter]:
    """Options of a data set; of one that is required the description says how to get the files."""
    return {
        name: replace(option, description=entry.obtain) if option.default is REQUIRED and entry.obtain else option
        for name, option in parameters(entry.build).items()
    }


def detector(method: str, num_samples: int = 2**31, **options: object) -> Detector:
    """A detector of the options, without memory for its samples; by default more of them than any data set has."""
    with torch.device("meta"):
        return build_detector(method, num_samples, dim=1, **options)


def encoder(name: str, size: int | None = None, **options: object) -> None:
    """An encoder of the options, without memory for its weights, sees pictures of `size` pixels a side.

    Raises:
        ValueError: it cannot be made so, or take them. Of open_clip's own the config check knows more.
    """
    if name == "open-clip":
        return
    kind: Callable[..., Model] = ENCODERS[name]
    with torch.device("meta"):
        model = kind(**options)
        if size is None:
            return
        if model.image_size not in (None, size):
            raise ValueError(f"takes pictures of {model.image_size} pixels a side, not {size}")
        try:
            model.project(torch.empty(2, 3, size, size))
        except Exception as error:  # whatever the layers say
            raise ValueError(f"cannot take pictures of {size} pixels ({' '.join(str(error).split())})") from None


def _model(**options: Any) -> None:
    """A model of the user's can be made so; weights and what open_clip has are looked at when all else is sound."""
    model = options["model"] or ""
    # open_clip makes no model without memory.
    if re.match(r"open_clip/.*@|[\w.]+:", model) or (re.match("open.clip", model) and options["weights"]):
        return
    with torch.device("meta"):
        architecture(**options)


def _no_problems(splits: Sequence[str], **options: object) -> None:
    for line in problems(options, splits):
        raise ValueError(line)


@cache
def entries(group: str) -> dict[str, Declared]:
    """The entries of a group of `GROUPS` by name."""
    match group:
        case "datasets":
            return {
                name: Declared(_with_advice(entry), partial(_no_problems, entry.splits))
                for name, entry in DATASETS.items()
            }
        case "encoders":
            return {
                name: Declared(parameters(kind), partial(encoder, name), (kind.modality,))
                for name, kind in ENCODERS.items()
            }
        case "models":
            return {"models": Declared(parameters(frozen), _model)}
        case "views":
            return {"views": Declared(parameters(TwoViews), partial(TwoViews, seed=0))}
        case "training":
            return {"training": Declared(parameters(TrainingOptions), TrainingOptions)}
        case "objectives":
            known = {1: ("unimodal",), 2: ("bimodal",)}
            return {
                name: Declared(parameters(kind), partial(kind, 2), known[len(kind.modalities)])
                for name, kind in OBJECTIVES.items()
            }
        case "detectors":
            return {name: Declared(parameters(kind), partial(detector, name)) for name, kind in DETECTORS.items()}
        case _:
            return {
                name: Declared(parameters(entry.task), entry.task, entry.modalities)
                for name, entry in EVALUATIONS.items()
            }
