import io

import numpy
import torch
from PIL import Image

from glofnd import checkpoint
from glofnd.data.split import Split
from glofnd.data.writer import write_shards
from glofnd.pretraining import pretrain
from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES, TRAINING, VIEWS, with_defaults

BATCH, SAMPLES = 8, 24


def _png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write_tiny(out, shards):
    """24 coloured pictures of 4 classes with captions, in so many shards; returns the folder."""
    generator = numpy.random.default_rng(0)
    labels = [i % 4 for i in range(SAMPLES)]
    pictures = [
        _png(numpy.clip(generator.normal(60 + 40 * k, 30, (16, 16, 3)), 0, 255).astype("uint8")) for k in labels
    ]
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


def _views(**changes):
    return {**{key: schema["default"] for key, schema in VIEWS.items()}, "size": 16, **changes}


def make_config(objective="sogclr", detector="none", modality="unimodal", seed=1, epochs=3, training=(), **options):
    """A run config as the workflow resolves it; `options` go to the detector."""
    if modality == "unimodal":
        parameters = {"width": 4, "stem": "small", "projector_hidden": 8, "projector_dim": 6}
        encoder = {"name": "resnet18", **with_defaults(ENCODERS["resnet18"], parameters)}
    else:
        encoder = {"name": "open-clip", "model": "glofnd-test"}
    defaults = {key: schema["default"] for key, schema in TRAINING.items()}
    return {
        "run": f"tiny/{objective}/{detector}/seed{seed}",
        "experiment": "tiny",
        "modality": modality,
        "seed": seed,
        "dataset": "tiny",
        "label": "label",
        "encoder": encoder,
        "views": _views(size=16 if modality == "unimodal" else 32),
        "training": {**defaults, "epochs": epochs, "batch_size": BATCH, "inspect_every": 1, **dict(training)},
        "objective": {"label": objective, "method": objective, **with_defaults(OBJECTIVES[objective], {})},
        "detector": {"label": detector, "method": detector, **with_defaults(DETECTORS[detector], options)},
    }


def run(config, shards, out, **options):
    pretrain(config, shards, out, **options)
    return checkpoint.read(out / "checkpoint.pt")


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
