"""The gallery: anchors, the samples of the whole data set taken for their false negatives, and whether rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.observing import Observation
from evaluation.old_results import write_arrays
from glofnd.data.manifest import Manifest
from glofnd.data.pictures import PictureReader

__all__ = ["finds_of", "spread_over_classes", "write_gallery"]

Array = NDArray[Any]


def finds_of(side: Observation, anchors: Array, labels: Array, by_label: bool, count: int) -> tuple[Array, Array]:
    """The most similar samples that each anchor drops.

    The anchor's first view stands against the candidates' last (its other view, or the other modality), as in a batch,
    but against the whole data set.

    Args:
        side: observation of one modality.
        anchors: sample indices [A].
        labels: int [N].
        by_label: same label is dropped (the oracle), instead of similarity above the anchor's threshold.
        count: finds per anchor.

    Returns:
        Sample indices [A, count], -1 where there are fewer, and similarities [A, count]; most similar first.
    """
    similarity = side.anchors[0, anchors] @ side.candidates[-1].T
    # A threshold that is NaN, since there is none, is below nothing.
    above = similarity > side.threshold[anchors][:, None]
    dropped = labels[anchors][:, None] == labels if by_label else above
    dropped &= side.seen
    dropped[np.arange(len(anchors)), anchors] = False
    ranked = np.where(dropped, similarity, -np.inf)
    found = np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(ranked, found, axis=1)
    return np.where(np.isfinite(values), found, -1), np.where(np.isfinite(values), values, 0)


def spread_over_classes(labels: Array, order: Array, count: int) -> Array:
    """The first `count` of `order`, taking one of each class in turn before a second of any.

    Args:
        labels: int [N].
        order: sample indices in the order of preference.
        count: how many.
    """
    turn: dict[int, int] = {}
    keys = []
    for place, sample in enumerate(order):
        label = int(labels[sample])
        keys.append((turn.get(label, 0), place))
        turn[label] = turn.get(label, 0) + 1
    return np.asarray([order[place] for _, place in sorted(keys)[:count]], dtype=np.int64)


def write_gallery(
    path: Path, side: Observation, manifest: Manifest, label: str, by_label: bool, anchors: int, found: int, seed: int
) -> None:
    """Write gallery.npz (docs/architecture.md): up to `anchors` anchors that have finds, seeded, spread over classes.

    Args:
        path: gallery.npz.
        side: the image anchors.
        manifest: of the training split.
        label: field that decides what is a right find.
        by_label: see `finds_of`.
        anchors: how many anchors.
        found: finds per anchor.
        seed: of the run.
    """
    labels = manifest.labels[label]
    # A few hundred anchors are enough to find a dozen, and bound the similarities held to that many rows.
    tried = np.random.default_rng([0x6A11, seed]).permutation(np.flatnonzero(side.seen))[:512]
    finds, similarity = finds_of(side, tried, labels, by_label, found)
    chosen = spread_over_classes(labels, tried[finds[:, 0] >= 0], anchors)
    place = {int(sample): row for row, sample in enumerate(tried)}
    rows = np.array([place[int(sample)] for sample in chosen], dtype=np.int64)
    finds, similarity = finds[rows], similarity[rows]
    found_label = np.where(finds >= 0, labels[finds], 0)
    reader = PictureReader(manifest, cache_bytes=0)
    write_arrays(
        path,
        {
            "anchor": chosen,
            "anchor_image": _pictures(reader, chosen),
            "anchor_label": labels[chosen],
            "threshold": side.threshold[chosen],
            "found": finds,
            "found_image": _pictures(reader, finds),
            "found_label": found_label,
            "similarity": similarity,
            "correct": (finds >= 0) & (found_label == labels[chosen][:, None]),
            "label_names": np.array(manifest.classes[label], dtype=np.str_),
        },
    )


def _pictures(reader: PictureReader, samples: Array) -> Array:
    """uint8 [..., H, W, 3]; black where the sample is -1."""
    flat = samples.ravel()
    images = np.zeros((len(flat), reader.manifest.channels, *(reader.manifest.image_size,) * 2), np.uint8)
    real = flat >= 0
    if real.any():
        images[real] = reader.images(flat[real])
    last = np.repeat(images, 3 // images.shape[1], axis=1).transpose(0, 2, 3, 1)
    return last.reshape(*samples.shape, *last.shape[1:])
