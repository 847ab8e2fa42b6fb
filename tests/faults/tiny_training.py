"""Trainings of a few milliseconds a step: an encoder of some hundred parameters, with all that can go wrong on resume.

It has batch norm (buffers), dropout (random numbers of torch's own) and, for pairs, a text tower.
"""

import numpy as np
import torch
from torch import nn

from glofnd.encoders import Model
from glofnd.pretraining import pretrain
from glofnd.pretraining.preemption import Preempted, Preemption
from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES, Entry
from tests.glofnd.pretraining.tiny_run import SAMPLES, make_config

BATCH, EPOCHS, SIZE = 12, 3, 16
STEPS = EPOCHS * SAMPLES // BATCH


class TinyModel(Model):
    def __init__(self, modality):
        super().__init__((0.5,) * 3, (0.25,) * 3)
        self.modality = modality
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 4)
        if modality == "bimodal":
            self.text = nn.Sequential(nn.Linear(16, 4), nn.Dropout(0.1))

    def features(self, images):
        return self.image(images)

    def project(self, images):
        return self.head(self.image(images))

    def embed_text(self, captions):
        counts = [np.bincount(np.frombuffer(caption.encode(), np.uint8) % 16, minlength=16) for caption in captions]
        return self.text(torch.tensor(np.array(counts), dtype=torch.float32))


def unimodal():
    return TinyModel("unimodal")


def bimodal():
    return TinyModel("bimodal")


def register(monkeypatch):
    """Encoders `tiny-unimodal` and `tiny-bimodal`."""
    for modality in ("unimodal", "bimodal"):
        entry = Entry(f"{__name__}:{modality}", {}, (modality,))
        monkeypatch.setitem(ENCODERS, f"tiny-{modality}", entry)


def modality_of(objective):
    return OBJECTIVES[objective].modalities[0]


def tiny_config(objective="sogclr", detector="none", training=(), **options):
    """A run config with the tiny encoder; parameters of the detector are such that it drops something."""
    modality = modality_of(objective)
    telling = {"alpha": 0.3, "lr": 0.5, "start_update": 1, "start_filter": 2}
    known = DETECTORS[detector].parameters
    if "start_update" not in known:
        telling["start_filter"] = 1
    options = {**{key: value for key, value in telling.items() if key in known}, **options}
    training = {"batch_size": BATCH, "precision": "fp32", "lr": 0.01, **dict(training)}
    config = make_config(objective, detector, modality, epochs=EPOCHS, training=training, **options)
    return {**config, "encoder": {"name": f"tiny-{modality}"}, "views": {**config["views"], "size": SIZE}}


def train_in_single_steps(monkeypatch, config, shards, out, **options):
    """Asked to stop after every step, and called again until it is done; the number of calls."""
    calls, done = 0, False
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "requested", True)
        while not done:
            calls += 1
            try:
                pretrain(config, shards, out, **options)
                done = True
            except Preempted:
                assert not (out / "checkpoint.pt").exists()
    return calls
