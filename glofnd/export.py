"""A checkpoint's encoder for others: safetensors by the names of torchvision, timm or open_clip, and a model card.

    python -m glofnd.export results/runs/glyphs/sogclr/glofnd/seed1/checkpoint.pt OUT

The card, README.md, holds the lines of code that load it there, what it was trained on and how, and what it scored.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from glofnd.checkpoint import config_of, read
from glofnd.encoders import Model, ResNet18, build_model
from glofnd.failures import report
from glofnd.files import atomic_open, making_sense, read_json, write_json

__all__ = ["export"]

Config = dict[str, Any]

_OPEN_CLIP = """import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")
tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")"""
_TIMM = """import timm
from safetensors.torch import load_file

model = timm.create_model({model!r}, num_classes=0{options})
model.load_state_dict(load_file("FOLDER/model.safetensors"))"""
_TORCHVISION = """import torch, torchvision
from safetensors.torch import load_file

model = {made}
{changes}
model.load_state_dict(load_file("FOLDER/model.safetensors"))"""
_OWN = """from glofnd.encoders import ENCODERS
from safetensors.torch import load_file

model = ENCODERS[{name!r}](**{options}).tower
model.load_state_dict(load_file("FOLDER/model.safetensors"))"""


def export(checkpoint: Path, out: Path) -> str:
    """Write model.safetensors (of open_clip open_clip_model.safetensors, and its config) and README.md.

    Returns:
        The name of the library that loads it.

    Raises:
        ValueError, OSError: no checkpoint, or a result beside it that cannot be read.
    """
    state = read(checkpoint)
    config = config_of(state)
    model = build_model(config)
    model.load_state_dict(state["model"])
    library, code = _library(model, config)
    names = (lambda key: key) if library == "glofnd" else model.library_name
    weights = {names(key): value.contiguous() for key, value in model.tower.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    if library == "open_clip":
        write_json(out / "open_clip_config.json", _open_clip_config(model, config))
    name = "open_clip_model.safetensors" if library == "open_clip" else "model.safetensors"
    with atomic_open(out / name) as handle:
        handle.write(save(weights, {"format": "pt"}))
    with atomic_open(out / "README.md") as handle:
        handle.write(_card(model, state, library, code, _scores(checkpoint.parent)).encode())
    return library


def _library(model: Model, config: Config) -> tuple[str, str]:
    """Who loads the encoder, and how."""
    given = {key: value for key, value in config["encoder"].items() if key != "name"}
    name = config["encoder"]["name"]
    if name == "open-clip":
        return "open_clip", _OPEN_CLIP
    if name == "timm":
        return "timm", _TIMM.format(model=given["model"], options=_arguments(given["options"]))
    if name == "torchvision":
        # Where its classifier was; it stands last.
        last = [key for key, part in model.tower.named_modules() if isinstance(part, nn.Identity)][-1]
        head = re.sub(r"\.(\d+)", r"[\1]", last)
        made = f"torchvision.models.get_model({given['model']!r}{_arguments(given['options'])})"
        return name, _TORCHVISION.format(made=made, changes=f"model.{head} = torch.nn.Identity()")
    if not isinstance(model, ResNet18) or given["width"] != 64:
        return "glofnd", _OWN.format(name=name, options=given)
    made = f"torchvision.models.ResNet(torchvision.models.resnet.{model.block.__name__}, {list(model.layers)})"
    stride = 2 if given["stem"] == "strided" else 1
    changes = ["model.fc = torch.nn.Identity()"]
    if given["stem"] != "imagenet":
        changes.append(f"model.conv1 = torch.nn.Conv2d(3, 64, 3, {stride}, padding=1, bias=False)")
        pool = "torch.nn.MaxPool2d(2)" if given["stem"] == "pooled" else "torch.nn.Identity()"
        changes.append(f"model.maxpool = {pool}")
    return "torchvision", _TORCHVISION.format(made=made, changes="\n".join(changes))


def _arguments(options: Config | None) -> str:
    return "".join(f", {name}={value!r}" for name, value in (options or {}).items())


def _open_clip_config(model: Model, config: Config) -> Config:
    import open_clip

    preprocess = {"mean": model.mean.flatten().tolist(), "std": model.std.flatten().tolist()}
    return {"model_cfg": open_clip.get_model_config(config["encoder"]["model"]), "preprocess_cfg": preprocess}


def _scores(run: Path) -> list[str]:
    """A row for every main metric of the evaluations that lie beside the checkpoint."""
    rows = []
    for path in sorted(run.glob("*/metrics.json")):
        with making_sense(path):
            found = read_json(path)
            for one in found["metrics"]:
                if one["primary"] and one["value"] is not None:
                    share = "" if one["fraction"] is None else f"{100 * one['fraction']:g} % of the labels"
                    place = f"{one['dataset']}/{one['split']}"
                    rows.append(f"| {found['evaluation']} | {place} | {one['metric']} | {share} | {one['value']:.4f} |")
    return rows


def _card(model: Model, state: Config, library: str, code: str, scores: list[str]) -> str:
    config, made = config_of(state), state["provenance"]
    training, objective, detector = config["training"], config["objective"], config["detector"]
    size = config["views"]["size"]
    lines = [
        *(
            "---",
            f"library_name: {library.replace('glofnd', 'pytorch')}",
            "tags: [contrastive-learning, glofnd]",
            "---",
        ),
        *(f"# {config['encoder'].get('model', config['encoder']['name'])}, {config['run']}", ""),
        "An image encoder pretrained without labels by GloFND's benchmark.",
        *("", "## Load it", "```python", code, "model.eval()", "```", ""),
        f"Pictures: RGB in [0, 1], mean {model.mean.flatten().tolist()}, standard deviation "
        f"{[round(value, 6) for value in model.std.flatten().tolist()]}, "
        + (
            f"{model.image_size or size} pixels a side." if model.image_size or size else "of the size of its data set."
        ),
        *("", "## Data and method"),
        f"- data set `{config['dataset']}`, manifest of its training split {made['inputs'].get('shards', 'unknown')}",
        f"- objective `{objective['label']}`, false negatives by `{detector['label']}`, seed {config['seed']}",
        f"- epochs {state['epoch']}, batches of {training['batch_size']}, {training['optimizer']}, lr {training['lr']}",
        f"- code {made.get('git_commit') or 'unknown'}, {made.get('device', '')}",
        *("", "The licence is that of the training data, as its `source.json` and the benchmark's report name it."),
        *("", "## What it scored"),
    ]
    head = ["| evaluation | data | metric | labels | value |", "|---|---|---|---|---|"]
    lines += [*head, *scores] if scores else ["Not evaluated."]
    lines += ["", "## Config", "```json", json.dumps(config, indent=1), "```", ""]
    return "\n".join(lines)


def main() -> int:
    """Export one checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m glofnd.export", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint.pt of a run")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write into")
    given = parser.parse_args()
    try:
        library = export(given.checkpoint, given.out)
    except Exception as error:
        return report(error)
    print(f"{given.out}: loaded by {library}, as {given.out / 'README.md'} says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
