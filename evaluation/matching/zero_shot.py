"""Zero-shot classification: pictures against the prompts of every class, an ensemble of templates each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.features import embed_texts
from evaluation.results import Findings, run_identity
from evaluation.run import Subject
from evaluation.scores import chance, hits, score, top
from evaluation.split_pictures import Pictures
from evaluation.task import Metric, Task, suffixes
from glofnd.files import sha256

__all__ = ["PROTOCOL", "ZeroShotTask", "classify", "fill", "read_templates", "template_names", "zero_shot"]

Array = NDArray[Any]

PROTOCOL = "zero-shot-ensemble"
"""Cosine similarity to the mean of a class's normalised template embeddings."""

_FOLDER = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True)
class ZeroShotTask(Task):
    """Classification by the text tower alone."""

    dataset: Annotated[str, "data set"]
    split: Annotated[str, "split that is tested on"] = "test"
    label: Annotated[str, "label field whose class names fill the prompts"] = "label"
    templates: Annotated[str, "file of prompts in evaluation/templates, without .txt"] = "plain"
    among: Annotated[Literal["present", "all"], "classes to choose from: those the split has, or all of the field"] = (
        "present"
    )
    metric: Metric = "top1"

    def __post_init__(self) -> None:
        super().__post_init__()
        read_templates(self.templates)

    def files(self) -> dict[str, str]:
        """The prompts."""
        return {f"{self.templates}.txt": sha256(_FOLDER / f"{self.templates}.txt")}


def template_names() -> list[str]:
    """Names of all template files."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read_templates(name: str) -> list[str]:
    """Templates of one file: one a line, `{}` where the class name goes, `#` starts a comment line.

    Raises:
        ValueError: no such file, or a template without exactly one `{}`.
    """
    if name not in template_names():
        near = difflib.get_close_matches(name, template_names(), 1) or template_names()
        raise ValueError(f"templates: there is no {name!r}; choose from {', '.join(near)}")
    lines = [line.strip() for line in (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()]
    templates = [line for line in lines if line and not line.startswith("#")]
    for template in templates or [""]:
        if template.count("{}") != 1:
            raise ValueError(f"{name}.txt: {template!r} must have exactly one {{}}")
    return templates


def fill(templates: list[str], name: str) -> list[str]:
    """All prompts of one class; underscores in its name become spaces."""
    return [template.replace("{}", name.replace("_", " ")) for template in templates]


def class_prompts(model: Any, pictures: Pictures, task: ZeroShotTask) -> tuple[Array, Array]:
    """Classes int64 [C] of a task and their embeddings float32 [C, D].

    A class's embedding is the normalised mean of its templates' normalised embeddings (Radford et al., 2021, arXiv
    2103.00020, section 3.1.4).
    """
    present = np.unique(pictures.label(task.label))
    names, templates = pictures.manifest.classes[task.label], read_templates(task.templates)
    classes = np.arange(len(names)) if task.among == "all" else present
    texts = [prompt for number in classes for prompt in fill(templates, names[number])]
    mean = embed_texts(model, texts).reshape(len(classes), len(templates), -1).mean(axis=1)
    return classes, mean / np.linalg.norm(mean, axis=1, keepdims=True)


def classify(pictures: Array, prompts: Array, k: int = 5, chunk: int = 4096) -> Array:
    """The k prompts most similar to each picture, best first.

    Args:
        pictures: L2-normalised [N, D].
        prompts: L2-normalised [C, D], one per class.
        k: classes per picture; at most C are given.
        chunk: pictures at a time, which bounds memory to chunk x C.

    Returns:
        Rows of `prompts`, int64 [N, min(k, C)].
    """
    starts = range(0, len(pictures), chunk)
    return np.concatenate([top(pictures[start : start + chunk] @ prompts.T, k) for start in starts])


def zero_shot(subject: Subject, tasks: list[ZeroShotTask]) -> Findings:
    """Top-1, top-5 and mean per class of every task."""
    findings = Findings(run_identity(subject.config), "zero-shot", PROTOCOL)
    for task, suffix in zip(tasks, suffixes(tasks), strict=True):
        pictures = subject.pictures(task.dataset, task.split)
        embedding = subject.features(task.dataset, task.split).embedding
        if embedding is None:
            raise ValueError(f"{pictures.name}: features of a unimodal model have no shared space with texts")
        classes, prompts = class_prompts(subject.model, pictures, task)
        truth = pictures.label(task.label)
        ranked = classes[classify(embedding, prompts)]
        entry = f"{pictures.name}.{task.label}.{task.templates}.{task.among}"
        for name, values in hits(ranked, truth, len(classes)).items():
            found = score(name, values, truth)
            findings.add(
                task.dataset,
                task.split,
                name + suffix,
                found.value,
                len(truth),
                stderr=found.stderr,
                chance=chance(len(classes), 5 if name == "top5" else 1),
                primary=name == task.metric,
                label=task.label,
                classes=len(classes),
                templates=task.templates,
                predictions=entry,
            )
        findings.predict(entry, pictures.index, ranked[:, 0], truth)
    return findings
