"""What an evaluation found: metrics.json, and the per-sample predictions beside it.

metrics.json has `format`, `run` (`run_identity`), `evaluation`, `protocol` (results of different protocols never meet
in one average), `metrics` (one entry per value, `Findings.add`), `files` (SHA-256 of the arrays beside it) and
`provenance`. predictions.npz has `<entry>.index` [N], `<entry>.prediction` [N] or [draws, N] and `<entry>.truth` [N],
as label values; in `retrieval` a prediction is the rank of the first right candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.scores import chance, hits, score, top
from evaluation.task import SplitTask
from glofnd.files import atomic_open, read_json, sha256, write_json

__all__ = ["FORMAT", "Findings", "TestSide", "is_whole", "run_identity", "write_arrays"]

FORMAT = 1
Array = NDArray[Any]


def run_identity(config: dict[str, Any]) -> dict[str, Any]:
    """The `run` block of metrics.json from a run config."""
    objective, detector = config["objective"]["label"], config["detector"]["label"]
    return {
        "id": config["run"],
        "experiment": config["experiment"],
        "objective": objective,
        "detector": detector,
        "seed": config["seed"],
        "kind": "baseline" if objective == "baseline" else "method",
    }


def write_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Write an .npz atomically; object arrays, which would need pickle, are refused."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path}: array {name!r} holds objects")
    with atomic_open(path) as handle:
        # No compression: float features barely shrink, and writing takes ten times as long.
        np.savez(handle, allow_pickle=False, **arrays)


def is_whole(folder: Path, config_hash: str, inputs: dict[str, str]) -> bool:
    """Whether `folder` holds the finished result of that config and those inputs, every file as it was written."""
    path = folder / "metrics.json"
    if not path.is_file():
        return False
    try:
        found = read_json(path)
        made = found["format"], found["provenance"]["config_hash"], found["provenance"]["inputs"]
        whole = all(sha256(folder / name) == expected for name, expected in found["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return whole and made == (FORMAT, config_hash, inputs)


@dataclass(frozen=True)
class TestSide:
    """What a classifier predicts; labels are positions in `classes`.

    Attributes:
        classes: int64 [K], the label values that the training side has.
        labels: int64 [M], of the test samples.
        index: int64 [M], stable sample index.
        clean: bool [M], the test samples that are no training pictures.
        shared: entries of metrics.json: how many are, and how many look like one.
    """

    __test__ = False

    classes: Array
    labels: Array
    index: Array
    clean: Array
    shared: dict[str, Any]


@dataclass
class Findings:
    """Metrics and predictions of one evaluation of one run, collected task by task.

    `files` are further arrays that `write` puts beside metrics.json, by file name.
    """

    run: dict[str, Any]
    evaluation: str
    protocol: str
    metrics: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, Array] = field(default_factory=dict)
    files: dict[str, dict[str, Array]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        dataset: str,
        split: str,
        metric: str,
        value: float | None,
        n: int,
        *,
        stderr: float | None = None,
        chance: float | None = None,
        fraction: float | None = None,
        higher_is_better: bool = True,
        **details: Any,
    ) -> None:
        """Add one value.

        Args:
            dataset: data set id.
            split: split that was tested on.
            metric: its name; with `dataset`, `split` and `fraction` unique in the file.
            value: a share in [0, 1] (or a similarity); `None` where it is not defined.
            n: samples the value is over.
            stderr: standard error over these samples.
            chance: the value that guessing at random has, computed, not measured.
            fraction: share of the labels, `None` where it has no meaning.
            higher_is_better: whether a larger value is better.
            details: further keys of this evaluation.
        """
        numbers = {"value": value, "stderr": stderr, "chance": chance}
        self.metrics.append(
            {"dataset": dataset, "split": split, "metric": metric, "fraction": fraction, "n": int(n)}
            | {name: None if number is None else float(number) for name, number in numbers.items()}
            | {"higher_is_better": higher_is_better, **details}
        )

    def predict(self, entry: str, index: Array, prediction: Array, truth: Array) -> None:
        """Keep per-sample predictions [N] or [draws, N] under the name that metrics refer to as `predictions`."""
        self.predictions |= {f"{entry}.index": index, f"{entry}.prediction": prediction, f"{entry}.truth": truth}

    def classified(
        self,
        task: SplitTask,
        suffix: str,
        side: TestSide,
        draws: list[Array],
        fraction: float | None,
        prefix: str = "",
        primary: bool = True,
        **details: Any,
    ) -> None:
        """Add the scores of a classifier; hits are averaged over draws before anything else.

        Args:
            task: names data set, test split, label and metric.
            suffix: of the metrics' names (`evaluation.task.suffixes`).
            side: the test side.
            draws: class scores [M, K], one for each subset of the training labels.
            fraction: share of the labels, `None` where it has no meaning.
            prefix: of the metrics' names.
            primary: whether the task's metric is a main one.
            details: further entries of metrics.json.
        """
        ranked = np.stack([top(scores, 5) for scores in draws])
        named = [prefix + task.label, *([] if suffix in ("", f"@{task.label}") else [suffix[1:]])]
        entry = ".".join([task.dataset, task.test, *named, *([] if fraction is None else [f"{fraction:g}"])])
        for name, values in hits(ranked, side.labels, len(side.classes)).items():
            mean = values.mean(axis=0)
            found = score(name, mean, side.labels)
            each = [score(name, row, side.labels).value for row in values]
            self.add(
                task.dataset,
                task.test,
                f"{prefix}{name}{suffix}",
                found.value,
                len(side.labels),
                stderr=found.stderr,
                chance=chance(len(side.classes), 5 if name == "top5" else 1),
                fraction=fraction,
                primary=primary and name == task.metric,
                label=task.label,
                draws=len(draws),
                draw_std=float(np.std(each, ddof=1)) if len(each) > 1 else None,
                clean_value=score(name, mean[side.clean], side.labels[side.clean]).value,
                predictions=entry,
                **side.shared,
                **details,
            )
        self.predict(entry, side.index, side.classes[ranked[:, :, 0]], side.classes[side.labels])

    def write(self, out: Path, provenance: dict[str, Any]) -> None:
        """Write the arrays, then metrics.json with their checksums, so that metrics never stand without them."""
        files = {"predictions.npz": self.predictions, **self.files}
        for name, arrays in files.items():
            write_arrays(out / name, arrays)
        head = {"format": FORMAT, "run": self.run, "evaluation": self.evaluation, "protocol": self.protocol}
        sums = {name: sha256(out / name) for name in files}
        body = {**self.notes, "metrics": self.metrics, "files": sums, "provenance": provenance}
        write_json(out / "metrics.json", head | body)
