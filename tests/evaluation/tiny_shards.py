"""Tiny shards and run configs for the commands that need an encoder."""

import io

import numpy as np
from PIL import Image

from glofnd.data.split import Split
from glofnd.data.writer import write_shards
from glofnd.detectors import DETECTORS
from glofnd.encoders import ENCODERS
from glofnd.objectives import OBJECTIVES
from glofnd.parameters import parameters
from glofnd.pretraining.options import TrainingOptions
from glofnd.views import TwoViews

NAMES = ["red", "green", "blue", "grey"]


def with_defaults(target, given=None):
    """Options of `target`, those that are not given at their defaults."""
    return {name: (given or {}).get(name, option.default) for name, option in parameters(target).items()}


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write_split(root, split, samples, seed, side=32, labelled=True):
    """Noisy pictures of four colours below root/tiny/split; labels `label` and `warm`, two captions per colour."""
    generator = np.random.default_rng(seed)
    labels = [i % 4 for i in range(samples)]
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])
    pictures = [
        png(np.clip(generator.normal(colours[k], 40, (side, side, 3)), 0, 255).astype(np.uint8)) for k in labels
    ]
    content = Split(
        payloads=pictures,
        encode=bytes,
        labels={"label": labels, "warm": [int(k == 0) for k in labels]} if labelled else {},
        classes={"label": NAMES, "warm": ["no", "yes"]} if labelled else {},
        captions=[[NAMES[k], f"something {NAMES[k]}"] for k in labels],
        channels=3,
    )
    head = {"dataset": "tiny", "split": split, "image_size": side}
    write_shards(
        content, root / "tiny" / split, shards=2, head=head, tail={"licence": "CC0", "source": {}, "config": {}}
    )


def run_config(objective, detector, modality="unimodal", seed=1, epochs=2, **options):
    """A run config as the workflow resolves it; `options` go to the detector."""
    encoder = {"name": "open-clip", "model": "glofnd-test"}
    if modality == "unimodal":
        small = {"width": 4, "stem": "small", "projector_hidden": 8, "projector_dim": 6}
        encoder = {"name": "resnet18", **with_defaults(ENCODERS["resnet18"], small)}
    return {
        "run": f"tiny/{objective}/{detector}/seed{seed}",
        "experiment": "tiny",
        "modality": modality,
        "seed": seed,
        "dataset": "tiny",
        "label": "label",
        "encoder": encoder,
        "views": with_defaults(TwoViews),
        "training": {**with_defaults(TrainingOptions), "epochs": epochs, "batch_size": 8, "precision": "fp32"},
        "objective": {"label": objective, "method": objective, **with_defaults(OBJECTIVES[objective])},
        "detector": {"label": detector, "method": detector, **with_defaults(DETECTORS[detector], options)},
    }


def baseline_config(name, **changes):
    """The run config of a baseline."""
    config = run_config("sogclr", "none", **changes)
    return {**config, "objective": {"label": "baseline"}, "detector": {"label": name}}
