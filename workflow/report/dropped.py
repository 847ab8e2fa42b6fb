"""Sections "False negatives found", as pictures, and "Discovery": what detectors drop, against the labels."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from statistics import fmean
from typing import Any
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from glofnd.files import making_sense
from workflow.report.names import NOTHING, percent
from workflow.report.parts import Cell, Section, fold, table
from workflow.report.read import Results, Trial

__all__ = ["discovery", "found"]


def found(results: Results) -> Section:
    """The finds of each detector: of the first seed that has them, not of the prettiest."""
    parts: list[str] = [
        Markup(
            "<p>Left the anchor; right of it the most similar samples of the whole data set that the detector drops as "
            'its false negatives. <span class="right">Right</span>: same label; <span class="wrong">✕ wrong</span>: '
            "another one. Anchors are a seeded random choice among those with finds, spread over the classes.</p>"
        )
    ]
    for trial in results.trials:
        opened = True
        for label in (*trial.judged, *trial.oracles):
            for run in trial.runs(label):
                path = Path(results.grid.run_folder(run)) / "discovery" / "gallery.npz"
                if not path.is_file():
                    continue
                pictures, shown, wrong = _gallery(path, trial.unlabelled)
                if shown:
                    truth = "unlabelled" if trial.unlabelled else f"{wrong} of them wrong"
                    title = Markup("{}: {} <small>seed {}, {} finds shown, {}</small>")
                    heading = title.format(trial.experiment, trial.name(label), run.seed, shown, truth)
                    parts.append(fold(heading, pictures, opened=opened))
                    opened = False
                    break
    return Section("found", "False negatives found", parts)


def _gallery(path: Path, unlabelled: bool) -> tuple[Markup, int, int]:
    """HTML of one gallery.npz, the number of finds, and of wrong ones."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: no readable gallery ({error}); delete it and run `snakemake` again") from error
    with making_sense(path):
        rows = Markup("").join(_row(arrays, a, unlabelled) for a in range(len(arrays["anchor"])))
        there = arrays["found"] >= 0
        counts = int(there.sum()), int((there & ~arrays["correct"]).sum())
    return Markup('<ol class="gallery">{}</ol>').format(rows), *counts


def _row(arrays: dict[str, NDArray[Any]], a: int, unlabelled: bool) -> Markup:
    """One anchor and its finds."""
    names, threshold = arrays["label_names"], float(arrays["threshold"][a])
    about = "no threshold" if np.isnan(threshold) else f"threshold {threshold:.2f}"
    pictures = [_picture(arrays["anchor_image"][a], str(names[arrays["anchor_label"][a]]), about, "anchor")]
    for k in np.flatnonzero(arrays["found"][a] >= 0):
        name, similarity = str(names[arrays["found_label"][a, k]]), f"{arrays['similarity'][a, k]:.2f}"
        kind = "unlabelled" if unlabelled else "right" if arrays["correct"][a, k] else "wrong"
        pictures.append(_picture(arrays["found_image"][a, k], name, similarity, kind))
    return Markup("<li>{}</li>").format(Markup("").join(pictures))


def _picture(image: NDArray[np.uint8], name: str, number: str, kind: str) -> Markup:
    """A picture (uint8 [H, W, 3]) as a data URI, with its class below it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    mark = Markup('<span class="wrong">✕</span> ') if kind == "wrong" else ""
    return Markup(
        '<figure class="{0}"><img alt="{0}: {1}" src="{2}">'
        '<figcaption title="{1}">{3}{1}<small>{4}</small></figcaption></figure>'
    ).format(kind, name, uri, mark, number)


_METRICS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "dropped_share": "share dropped",
    "base_rate": "false negatives",
    "threshold_error": "threshold error, cosine",
}


def discovery(results: Results) -> Section:
    """One table per trial and side."""
    parts: list[str] = [
        "What the trained detectors drop in the batches of one more epoch, weights at rest: percent, mean over seeds. "
        "Precision, recall and F1 are pooled over all pairs; what is not defined (nothing dropped: no precision) is "
        "left out, never counted as 1. A baseline drops what lies above each anchor's exact quantile. Threshold error: "
        "distance of the thresholds from the exact quantile over the whole data set."
    ]
    for trial in results.trials:
        there = trial.discovered.keys()
        parts += [_table(trial, side) for side in ("", "text_") if {f"{side}f1", f"{side}dropped_share"} & there]
    return Section("discovery", "Discovery: what was dropped, against the labels", parts)


def _table(trial: Trial, side: str) -> Markup:
    rows = []
    for label in trial.labels:
        seeds = {metric: trial.discovered.get(side + metric, {}).get(label, {}) for metric in _METRICS}
        means = {metric: fmean(values.values()) if values else math.nan for metric, values in seeds.items()}
        texts = {metric: percent(value) for metric, value in means.items()}
        if not math.isnan(means["threshold_error"]):
            texts["threshold_error"] = f"{means['threshold_error']:.3f}"
        if alpha := trial.settings["detectors"].get(label, {}).get("alpha"):
            texts["dropped_share"] = Markup("{}<small>alpha {:g}</small>").format(texts["dropped_share"], 100 * alpha)
        if set(texts.values()) != {NOTHING}:
            rows.append([Cell(trial.name(label)), *map(Cell, texts.values(), means.values())])
    title = f"{trial.experiment}, {trial.objective}{', text anchors' if side else ''}"
    title += ", unlabelled: nobody knows what is false" if trial.unlabelled else ""
    return table(title, ["detector", *_METRICS.values()], rows)
