"""What can be named in a config: detectors, objectives, encoders and views, with their parameters.

Free of torch, so that a config is checked in milliseconds. Each parameter is a JSON-schema fragment with its default;
a test holds every entry against the signature of the class it names. A new method is one file and one entry here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = [
    "DETECTORS",
    "ENCODERS",
    "EXECUTION",
    "OBJECTIVES",
    "TRAINING",
    "Entry",
    "entry",
    "first_touch",
    "load",
    "with_defaults",
]

Schema = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A named method: where its class lives, which parameters it takes, and for which modality it is defined."""

    target: str
    parameters: dict[str, Schema] = field(default_factory=dict)
    modalities: tuple[str, ...] = ("unimodal", "bimodal")


def _number(default: float | None, **limits: float) -> Schema:
    kind: Any = "number" if default is not None else ["number", "null"]
    return {"type": kind, "default": default, **limits}


def _integer(default: int, minimum: int = 0, maximum: int = 2**31 - 1) -> Schema:
    return {"type": "integer", "default": default, "minimum": minimum, "maximum": maximum}


def _choice(default: str, *values: str) -> Schema:
    return {"type": "string", "default": default, "enum": list(values)}


_ALPHA = _number(0.01, exclusiveMinimum=0, exclusiveMaximum=1)
_START_FILTER = _integer(0)
_START_UPDATE = _integer(0)
_TREATMENT = _choice("eliminate", "eliminate", "attract")
# Beyond these float32 tells no candidates apart (`glofnd.objectives.base`).
_TEMPERATURES: dict[str, float] = {"minimum": 1e-6, "maximum": 10000}
_TEMPERATURE = _number(0.1, **_TEMPERATURES)
# CLIP and FastCLIP hold a learned temperature at this or above.
_SMALLEST_LEARNED = 0.01
_GAMMA = _number(0.9, exclusiveMinimum=0, maximum=1)

_LEARNER: dict[str, Schema] = {
    "alpha": _ALPHA,
    "lr": _number(0.05, exclusiveMinimum=0),
    "learner": _choice("adam", "adam", "sgd"),
    "init": _choice("one", "one", "quantile"),
    "normalize_gradient": {"type": "boolean", "default": False},
    "clip": _number(None, exclusiveMinimum=0),
    "start_update": _START_UPDATE,
    "start_filter": _START_FILTER,
    "treatment": _TREATMENT,
}

DETECTORS: dict[str, Entry] = {
    "none": Entry("glofnd.detectors.none:KeepAll"),
    "glofnd": Entry("glofnd.detectors.glofnd:GloFND", _LEARNER),
    "location-scale": Entry(
        "glofnd.detectors.location_scale:LocationScale",
        {
            "alpha": _ALPHA,
            "lr": _number(0.2, exclusiveMinimum=0),
            "start_update": _START_UPDATE,
            "start_filter": _START_FILTER,
            "treatment": _TREATMENT,
        },
    ),
    "global-threshold": Entry("glofnd.detectors.global_threshold:GlobalThreshold", _LEARNER),
    "batch-quantile": Entry(
        "glofnd.detectors.batch_quantile:BatchQuantile",
        {"alpha": _ALPHA, "start_filter": _START_FILTER, "treatment": _TREATMENT},
    ),
    "oracle": Entry("glofnd.detectors.oracle:Oracle", {"start_filter": _START_FILTER, "treatment": _TREATMENT}),
}

_FASTCLIP: dict[str, Schema] = {
    "gamma_end": _number(0.2, exclusiveMinimum=0, maximum=1),
    "gamma_epochs": _integer(18, minimum=1),
}


def _fastclip(version: str, temperature: float, learned: dict[str, Schema]) -> Entry:
    limits = _TEMPERATURES if version == "v1" else {"minimum": _SMALLEST_LEARNED, "maximum": 1}
    parameters = {"temperature": _number(temperature, **limits), **_FASTCLIP, **learned}
    return Entry(f"glofnd.objectives.fastclip:FastCLIP{version}", parameters, ("bimodal",))


def _learned_temperature(rho: float, lr: float) -> dict[str, Schema]:
    return {"rho": _number(rho, minimum=0), "temperature_lr": _number(lr, exclusiveMinimum=0)}


OBJECTIVES: dict[str, Entry] = {
    "simclr": Entry("glofnd.objectives.simclr:SimCLR", {"temperature": _TEMPERATURE}, ("unimodal",)),
    "sogclr": Entry("glofnd.objectives.sogclr:SogCLR", {"temperature": _TEMPERATURE, "gamma": _GAMMA}, ("unimodal",)),
    "isogclr": Entry(
        "glofnd.objectives.sogclr:ISogCLR",
        {
            "temperature": _TEMPERATURE,
            "gamma": _GAMMA,
            **_learned_temperature(0.3, 0.01),
            "temperature_min": _number(0.05, **_TEMPERATURES),
            "temperature_max": _number(0.7, **_TEMPERATURES),
        },
        ("unimodal",),
    ),
    "clip": Entry(
        "glofnd.objectives.clip:CLIP",
        {"temperature": _number(0.07, minimum=_SMALLEST_LEARNED, maximum=1)},
        ("bimodal",),
    ),
    "fastclip-v1": _fastclip("v1", 0.03, {}),
    "fastclip-v2": _fastclip("v2", 0.03, _learned_temperature(7.0, 0.01)),
    "fastclip-v3": _fastclip("v3", 0.07, _learned_temperature(6.5, 2e-4)),
    "siglip": Entry(
        "glofnd.objectives.siglip:SigLIP",
        {"temperature": _number(0.1, minimum=_SMALLEST_LEARNED, maximum=1), "bias": _number(-10.0)},
        ("bimodal",),
    ),
}

_RESNET: dict[str, Schema] = {
    "width": _integer(64, minimum=1, maximum=4096),
    "stem": _choice("imagenet", "imagenet", "small", "strided", "pooled"),
    "projector_hidden": _integer(2048, minimum=1, maximum=2**20),
    "projector_dim": _integer(128, minimum=2, maximum=2**20),
}

ENCODERS: dict[str, Entry] = {
    "resnet10": Entry("glofnd.encoders:ResNet10", _RESNET, ("unimodal",)),
    "resnet18": Entry("glofnd.encoders:ResNet18", _RESNET, ("unimodal",)),
    "resnet50": Entry("glofnd.encoders:ResNet50", _RESNET, ("unimodal",)),
    "open-clip": Entry(
        "glofnd.encoders:OpenCLIP",
        {"model": {"type": "string", "default": "glofnd-tiny", "minLength": 1}},
        ("bimodal",),
    ),
}

TRAINING: dict[str, Schema] = {
    "epochs": _integer(20, minimum=1),
    "batch_size": _integer(256, minimum=2),
    "optimizer": _choice("adamw", "adamw", "sgd", "lars"),
    "lr": _number(0.001, exclusiveMinimum=0),
    "weight_decay": _number(0.0001, minimum=0),
    "warmup_epochs": _number(1, minimum=0),
    "precision": _choice("bf16", "fp32", "bf16"),
    "device": _choice("auto", "auto", "cpu", "cuda"),
    "threads": _integer(1, minimum=1, maximum=4096),
    "workers": _integer(0, maximum=4096),
    "inspect_every": _integer(8, minimum=1),
    "checkpoint_seconds": _number(60, minimum=0),
    "state_layout": _choice("replicated", "replicated", "sharded"),
}

# Keys of TRAINING that say how a run is executed, not what it computes: they may change at any time, even on resume.
EXECUTION = ("device", "threads", "workers", "checkpoint_seconds", "state_layout")

_PROBABILITY: dict[str, float] = {"minimum": 0, "maximum": 1}
_STRENGTH: dict[str, float] = {"minimum": 0, "maximum": 100}


def _range(low: float, high: float, **limits: float) -> Schema:
    kind = {"type": "number", **limits}
    return {"type": "array", "items": kind, "minItems": 2, "maxItems": 2, "default": [low, high]}


# Parameters of glofnd.views.TwoViews; its seed is the run's.
VIEWS: dict[str, Schema] = {
    "size": {"type": ["integer", "null"], "default": None, "minimum": 8, "maximum": 4096},
    "crop_scale": _range(0.2, 1.0, exclusiveMinimum=0, maximum=1),
    "crop_ratio": _range(3 / 4, 4 / 3, exclusiveMinimum=0),
    "flip": _number(0.5, **_PROBABILITY),
    "brightness": _number(0.4, **_STRENGTH),
    "contrast": _number(0.4, **_STRENGTH),
    "saturation": _number(0.2, **_STRENGTH),
    "hue": _number(0.1, minimum=0, maximum=0.5),
    "jitter_probability": _number(0.8, **_PROBABILITY),
    "grayscale": _number(0.2, **_PROBABILITY),
    "blur_probability": _number(0.0, **_PROBABILITY),
    "blur_sigma": _range(0.1, 2.0, minimum=0.01, maximum=1000),
}


def load(entry: Entry) -> Any:
    """Import the class or function an entry names."""
    module, _, name = entry.target.partition(":")
    return getattr(import_module(module), name)


def entry(kind: str, entries: dict[str, Entry], name: str, parameters: dict[str, Any]) -> Entry:
    """The entry `name`; raises `ValueError` naming the valid ones for an unknown name or parameter.

    Args:
        kind: what is looked for, for the message.
        entries: one of the tables of this module.
        name: key looked for.
        parameters: what the caller wants to set.
    """
    if name not in entries:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(entries)}")
    unknown = sorted(set(parameters) - set(entries[name].parameters))
    if unknown:
        known = ", ".join(entries[name].parameters) or "none"
        raise ValueError(f"{kind} {name!r} has no parameter {', '.join(unknown)}; known: {known}")
    return entries[name]


def with_defaults(entry: Entry, parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` completed by the entry's defaults, in the entry's order."""
    return {key: parameters.get(key, schema["default"]) for key, schema in entry.parameters.items()}


def first_touch(method: str, parameters: dict[str, Any]) -> int | None:
    """The first epoch in which a detector touches anything, `None` for one that never does.

    Until then every detector of one objective and seed trains identically, so they share a trunk.
    """
    full = with_defaults(DETECTORS[method], parameters)
    starts = [full[key] for key in ("start_update", "start_filter") if key in full]
    return min(starts) if starts else None
