"""The pictures: anchors and what was dropped for them, as data URIs, with every wrong find named."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workflow.grid import Run
from workflow.report.inputs import ReportError, Results

__all__ = ["Anchor", "Find", "Gallery", "galleries", "picture_uri", "read_gallery"]

_ARRAYS = {
    "anchor": 1,
    "anchor_image": 4,
    "anchor_label": 1,
    "threshold": 1,
    "found": 2,
    "found_image": 5,
    "found_label": 2,
    "similarity": 2,
    "correct": 2,
    "label_names": 1,
}


@dataclass(frozen=True)
class Find:
    """A sample that was taken for a false negative; `correct` by the labels."""

    image: NDArray[np.uint8]
    name: str
    similarity: float
    correct: bool


@dataclass(frozen=True)
class Anchor:
    """An anchor with its threshold (`nan` if it has none) and its finds, most similar first."""

    image: NDArray[np.uint8]
    name: str
    threshold: float
    finds: list[Find]


@dataclass(frozen=True)
class Gallery:
    """The gallery of one run."""

    run: Run
    anchors: list[Anchor]

    @property
    def shown(self) -> int:
        """Number of finds."""
        return sum(len(anchor.finds) for anchor in self.anchors)

    @property
    def wrong(self) -> int:
        """Number of finds of another class."""
        return sum(not find.correct for anchor in self.anchors for find in anchor.finds)


def picture_uri(image: NDArray[np.uint8]) -> str:
    """A picture (uint8 [H, W, 3]) as a data URI; a grey one takes one channel."""
    grey = bool((image == image[..., :1]).all())
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if grey else image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def read_gallery(path: Path, run: Run) -> Gallery:
    """Read and check one gallery.npz (docs/architecture.md).

    Raises:
        ReportError: naming the file and the array that is wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS if name in file}
    except (OSError, ValueError, EOFError) as error:
        raise ReportError(f"{path}: not a readable gallery ({error}); delete it and run `snakemake` again") from error
    for name, dimensions in _ARRAYS.items():
        if name not in arrays:
            raise ReportError(f"{path}: no array '{name}'; delete it and run `snakemake` again")
        if arrays[name].ndim != dimensions:
            shape = arrays[name].shape
            raise ReportError(
                f"{path}: '{name}' has shape {shape}, needs {dimensions} dimensions; delete it and run again"
            )
    names = arrays["label_names"]
    count, places = arrays["found"].shape
    anchors = []
    for a in range(count):
        finds = [
            Find(
                arrays["found_image"][a, k],
                str(names[arrays["found_label"][a, k]]),
                float(arrays["similarity"][a, k]),
                bool(arrays["correct"][a, k]),
            )
            for k in range(places)
            if arrays["found"][a, k] >= 0
        ]
        label = str(names[arrays["anchor_label"][a]])
        anchors.append(Anchor(arrays["anchor_image"][a], label, float(arrays["threshold"][a]), finds))
    return Gallery(run, anchors)


def galleries(results: Results) -> list[Gallery]:
    """The gallery of each experiment, objective and detector: of the first seed that has one, not of the prettiest."""
    found: dict[tuple[str, str, str], Gallery] = {}
    for run in results.grid.runs.values():
        key = (run.experiment, run.objective, run.detector)
        path = Path(results.grid.run_folder(run)) / "discovery" / "gallery.npz"
        if run.detector == results.reference or key in found or not path.is_file():
            continue
        found[key] = read_gallery(path, run)
    return list(found.values())
