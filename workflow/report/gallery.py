"""Section "Found": anchors and the false negatives found for them, as pictures, with every wrong find named."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from glofnd.files import making_sense
from workflow.report.parts import Fold, Part, Section
from workflow.report.read import Results, Trial

__all__ = ["found"]


def found(results: Results) -> Section:
    """The finds of each detector: of the first seed that has them, not of the prettiest."""
    parts: list[Part] = [
        Markup(
            "<p>Left the anchor; right of it the most similar samples of the whole data set that the detector drops as "
            'its false negatives. <span class="right">Right</span>: same label; <span class="wrong">✕ wrong</span>: '
            "another one. Anchors are a seeded random choice among those with finds, spread over the classes.</p>"
        )
    ]
    opened: list[Trial] = []
    for trial in results.trials:
        for label in [*trial.judged, *trial.oracles]:
            for run in trial.runs(label):
                path = Path(results.grid.run_folder(run)) / "discovery" / "gallery.npz"
                if path.is_file():
                    pictures, shown, wrong = _gallery(path)
                    if not shown:
                        continue
                    title = Markup("{}: {} <small>seed {}, {} finds shown, {} of them wrong</small>").format(
                        trial.experiment, trial.bold(label), run.seed, shown, wrong
                    )
                    parts.append(Fold(title, [pictures], open=trial not in opened))
                    opened.append(trial)
                    break
    return Section("found", "False negatives found", parts)


def _gallery(path: Path) -> tuple[Markup, int, int]:
    """HTML of one gallery.npz, the number of finds, and of wrong ones."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: no readable gallery ({error}); delete it and run `snakemake` again") from error
    with making_sense(path):
        rows = [_anchor(arrays, a) for a in range(len(arrays["anchor"]))]
        there = arrays["found"] >= 0
        counts = int(there.sum()), int((there & ~arrays["correct"]).sum())
    return Markup('<ol class="gallery">{}</ol>').format(Markup("").join(rows)), *counts


def _anchor(arrays: dict[str, NDArray[Any]], a: int) -> Markup:
    names = arrays["label_names"]
    threshold = float(arrays["threshold"][a])
    finds = [
        _picture(
            arrays["found_image"][a, k],
            str(names[arrays["found_label"][a, k]]),
            f"{arrays['similarity'][a, k]:.2f}",
            "right" if arrays["correct"][a, k] else "wrong",
        )
        for k in range(arrays["found"].shape[1])
        if arrays["found"][a, k] >= 0
    ]
    about = "no threshold" if np.isnan(threshold) else f"threshold {threshold:.2f}"
    anchor = _picture(arrays["anchor_image"][a], str(names[arrays["anchor_label"][a]]), about, "anchor")
    return Markup("<li>{}{}</li>").format(anchor, Markup("").join(finds) or Markup("<span>nothing found</span>"))


def _picture(image: NDArray[np.uint8], name: str, number: str, kind: str) -> Markup:
    """A picture (uint8 [H, W, 3]) as a data URI, with its class below it; a grey one takes one channel."""
    grey = bool((image == image[..., :1]).all())
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if grey else image).save(buffer, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    mark = Markup('<span class="wrong">✕</span> ') if kind == "wrong" else ""
    return Markup(
        '<figure class="{0}"><img alt="{0}: {1}" src="{2}">'
        '<figcaption title="{1}">{3}{1}<small>{4}</small></figcaption></figure>'
    ).format(kind, name, uri, mark, number)
