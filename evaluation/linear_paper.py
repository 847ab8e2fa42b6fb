"""The command `linear-paper`: the linear evaluation as the paper does it, test set and all.

A linear layer is trained by SGD on the frozen encoder's output for randomly cropped and mirrored pictures (the recipe
of SogCLR and MoCo v3: learning rate .1 x B / 256, momentum .9, no weight decay, B = 1024, half a cosine over epochs,
weights from N(0, .01)), tested after every epoch, and the best epoch is what the paper reports. An epoch chosen on the
test set is optimistic, so these numbers compare with the paper's and with nothing else; the last epoch stands beside.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.finished_fits import FinishedFits
from evaluation.labelled import CHUNK, Pictures, crop_and_flip, open_sides, parts, predict
from evaluation.naming import suffixes
from evaluation.old_results import Findings, run_identity
from evaluation.old_tasks import LinearPaperTask
from evaluation.registry import PAPER_EPOCHS
from evaluation.splits import stratified_subset
from evaluation.tested import Report
from glofnd.counter_random import permutation
from glofnd.progress import Progress

__all__ = ["PROTOCOL", "SHORTENED", "run_linear_paper", "train_head"]

Array = NDArray[Any]

PROTOCOL = "paper-sgd-best-epoch-on-test"
"""The recipe above with the paper's numbers of epochs."""

SHORTENED = f"{PROTOCOL}-other-epochs"
"""The same with other numbers of epochs, so not the paper's numbers."""

BATCH, RATE, MOMENTUM = 1024, 0.1, 0.9
_ORDER = 0x11EA


def _crops(model: Any, pictures: Pictures, rows: Array, seed: int, epoch: int) -> Tensor:
    """Features of one random view of each sample, [b, F]."""
    views, device, found = crop_and_flip(seed), model.mean.device, []
    for part, images in zip(parts(rows, CHUNK), pictures.batches(parts(rows, CHUNK)), strict=True):
        crops = views.one(images.to(device), torch.from_numpy(pictures.index[part]), epoch, view=0)
        found.append(model.features(model.normalise(crops)).float())
    return torch.cat(found)


def train_head(
    model: Any, pictures: Pictures, rows: Array, labels: Tensor, test: Tensor, truth: Array, epochs: int, seed: int
) -> tuple[Array, Array, int]:
    """Train a linear layer on a frozen encoder.

    Args:
        model: in evaluation mode; nothing of it changes.
        pictures: of the training split.
        rows: labelled samples [n].
        labels: int64 [N] of all samples of the split, in [0, K).
        test: features of the test pictures [M, F].
        truth: int64 [M].
        epochs: over `rows`.
        seed: of the run: first weights, order and crops.

    Returns:
        Scores [M, K] after the epoch that is best on the test set (the first of them), after the last, and the best
        epoch's number from 1.
    """
    device = model.mean.device
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(test.shape[1], int(labels.max()) + 1)
    with torch.no_grad():
        head.weight.normal_(0, 0.01, generator=generator)
        head.bias.zero_()
    head.to(device)
    base = RATE * BATCH / 256
    optimiser = torch.optim.SGD(head.parameters(), lr=base, momentum=MOMENTUM)
    test = test.to(device)
    best, chosen, scores = -1.0, 0, np.empty(0)
    for epoch in range(epochs):
        for group in optimiser.param_groups:
            group["lr"] = base * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        order = rows[permutation(len(rows), seed=seed, epoch=epoch, stream=_ORDER)]
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            with torch.no_grad():
                features = _crops(model, pictures, batch, seed, epoch)
            loss = functional.cross_entropy(head(features), labels[torch.from_numpy(batch)].to(device))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        with torch.no_grad():
            last = head(test).cpu().numpy()
        right = float((last.argmax(axis=1) == truth).mean())
        if right > best:
            best, chosen, scores = right, epoch + 1, last
    return scores, last, chosen


def _fit(*arguments: Any) -> dict[str, Array]:
    best, last, epoch = train_head(*arguments)
    return {"best": best, "last": last, "best_epoch": np.array(epoch)}


def run_linear_paper(
    config: dict[str, Any], model: Any, shards: Path, tasks: list[LinearPaperTask], workers: int, out: Path, source: str
) -> tuple[Findings, dict[str, str]]:
    """The paper's linear evaluation at every fraction of the labels, one subset each; and checksums of the data.

    Args:
        config: run config.
        model: with its weights, on its device.
        shards: folder of all shards.
        tasks: what to do.
        workers: threads that read pictures ahead.
        out: output folder; a rolling `resume-*.npz` in it holds the fits that are done, until the end.
        source: checksum of the weights, part of what such a file belongs to.
    """
    theirs = all(
        epochs == PAPER_EPOCHS.get(fraction)
        for task in tasks
        for fraction, epochs in zip(task.fractions, task.epochs_of(), strict=True)
    )
    findings = Findings(run_identity(config), "linear-paper", PROTOCOL if theirs else SHORTENED)
    inputs: dict[str, str] = {}
    seed = int(config["seed"])
    model.eval()
    bar = Progress(sum(len(task.fractions) for task in tasks), "linear evaluation of the paper", "fits")
    for task, suffix in zip(tasks, suffixes([vars(task) for task in tasks]), strict=True):
        sides, sums = open_sides(shards, task, workers)
        inputs |= sums
        done = FinishedFits(out, [PROTOCOL, vars(task), sums, source, seed])
        report = Report(findings, task, sides.side, suffix)
        test, labels = predict(model, sides.test), torch.from_numpy(sides.train_labels)
        for fraction, epochs in zip(task.fractions, task.epochs_of(), strict=True):
            rows = stratified_subset(sides.train_labels, fraction, seed, draw=0)
            fit = partial(_fit, model, sides.train, rows, labels, test, sides.side.labels, epochs, seed)
            found = done.once(f"{fraction:g}", fit)
            details: dict[str, Any] = {"labels_used": len(rows), "epochs": epochs}
            best_epoch = int(found["best_epoch"])
            report.add(
                [found["best"]], fraction, **details, best_epoch=best_epoch, selection="best epoch on the test set"
            )
            report.add([found["last"]], fraction, "final-", primary=False, **details, selection="last epoch")
            bar.advance(note=f"{task.dataset} {fraction:g}")
    bar.close()
    return findings, inputs
