"""Trainings of a few milliseconds a step, on 24 pictures with captions."""

import io

import numpy
import torch
from PIL import Image
from torch import nn

from glofnd import checkpoint
from glofnd.data.split import Split
from glofnd.data.writer import write_shards
from glofnd.detectors import DETECTORS
from glofnd.encoders import ENCODERS, Model
from glofnd.objectives import OBJECTIVES
from glofnd.parameters import parameters
from glofnd.pretraining import Preempted, TrainingOptions, pretrain
from glofnd.pretraining.signals import StopSignals
from glofnd.views import TwoViews

BATCH, SAMPLES, SIZE = 8, 24, 16


class TinyModel(Model):
    """Some hundred parameters, with all that can go wrong on resume: buffers of batch norm, and dropout."""

    def __init__(self):
        super().__init__((0.5,) * 3, (0.25,) * 3)
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head, self.dim = nn.Linear(8, 4), 4

    def features(self, images):
        return self.image(images)

    def project(self, images):
        return self.head(self.image(images))


class TinyUnimodal(TinyModel):
    modality = "unimodal"


class TinyBimodal(TinyModel):
    modality = "bimodal"

    def __init__(self):
        super().__init__()
        self.text = nn.Sequential(nn.Linear(16, 4), nn.Dropout(0.1))

    def embed_text(self, captions):
        counts = [numpy.bincount(numpy.frombuffer(c.encode(), "uint8") % 16, minlength=16) for c in captions]
        return self.text(torch.tensor(numpy.array(counts), dtype=torch.float32))


ENCODERS |= {"tiny-unimodal": TinyUnimodal, "tiny-bimodal": TinyBimodal}


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write_tiny(out, shards):
    """24 coloured pictures of 4 classes with captions, in so many shards; returns the folder."""
    generator = numpy.random.default_rng(0)
    labels = [i % 4 for i in range(SAMPLES)]
    pictures = [png(numpy.clip(generator.normal(60 + 40 * k, 30, (16, 16, 3)), 0, 255).astype("uint8")) for k in labels]
    split = Split(
        payloads=pictures,
        encode=bytes,
        labels={"label": labels},
        classes={"label": ["red", "green", "blue", "grey"]},
        captions=[[f"a picture of class {k}", f"number {i}"] for i, k in enumerate(labels)],
        channels=3,
        extension="png",
    )
    head = {"dataset": "tiny", "split": "train", "image_size": 16}
    write_shards(split, out, shards=shards, head=head, tail={"licence": "CC0", "source": {}, "config": {}})
    return out


def resolved(target, given):
    """Values of all described parameters, as they come out of JSON."""
    values = {name: parameter.default for name, parameter in parameters(target).items()} | given
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def modality_of(objective):
    return "bimodal" if "text" in OBJECTIVES[objective].modalities else "unimodal"


def make_config(objective="sogclr", detector="none", seed=1, epochs=3, training=(), encoder=None, **options):
    """A run config as the workflow resolves it; `options` go to the detector, where they are known to it."""
    modality = modality_of(objective)
    name = encoder or f"tiny-{modality}"
    small = {"width": 4, "stem": "small", "projector_hidden": 8, "projector_dim": 6} if "resnet" in name else {}
    small |= {"model": "glofnd-test"} if name == "open-clip" else {}
    training = {"epochs": epochs, "batch_size": BATCH, "inspect_every": 1, "precision": "fp32", "lr": 0.01} | dict(
        training
    )
    telling = {"alpha": 0.3, "lr": 0.5, "start_update": 1, "start_filter": 2}
    telling |= {"threshold": None, "clusters": [2, 3, 4], "ramp": 1} | options
    telling = {key: value for key, value in telling.items() if key in parameters(DETECTORS[detector])}
    return {
        "run": f"tiny/{objective}/{detector}/seed{seed}",
        "experiment": "tiny",
        "modality": modality,
        "seed": seed,
        "dataset": "tiny",
        "label": "label",
        "encoder": {"name": name, **resolved(ENCODERS[name], small)},
        "views": resolved(TwoViews, {"size": 32 if name == "open-clip" else SIZE}),
        "training": resolved(TrainingOptions, training),
        "objective": {"label": objective, "method": objective, **resolved(OBJECTIVES[objective], {})},
        "detector": {"label": detector, "method": detector, **resolved(DETECTORS[detector], telling)},
    }


def run(config, shards, out, **options):
    pretrain(config, shards, out, **options)
    return checkpoint.read(out / "checkpoint.pt")


def run_step_by_step(monkeypatch, config, shards, out, **options):
    """Asked to stop after every step and called again until it is done; the checkpoint, and the number of calls."""
    calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "received", property(lambda _: True, lambda _, value: None), raising=False)
        while not (out / "checkpoint.pt").exists():
            calls += 1
            try:
                pretrain(config, shards, out, **options)
            except Preempted:
                assert len(list(out.glob("resume-*.pt"))) == 1
    return checkpoint.read(out / "checkpoint.pt"), calls


def flat(value, prefix=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from flat(inner, f"{prefix}[{position}]")
    else:
        yield prefix, value


def numbers(state):
    """Everything in a checkpoint that the config and the seed decide: weights, state, optimiser, untimed history."""
    parts = {part: state[part] for part in ("model", "objective", "optimizer")}
    timing = ("seconds", "images_per_second")
    parts["history"] = [{k: v for k, v in entry.items() if k not in timing} for entry in state["history"]]
    return dict(flat(parts))


def assert_same(left, right):
    """Bit for bit."""
    a, b = numbers(left), numbers(right)
    assert a.keys() == b.keys()
    for key, value in a.items():
        same = torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key]
        assert same, f"{key} differs"
