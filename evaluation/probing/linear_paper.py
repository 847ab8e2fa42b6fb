"""`linear-paper`: the linear evaluation as the paper does it, test set and all.

A linear layer is trained by SGD on the frozen encoder's output for randomly cropped and mirrored pictures (the recipe
of SogCLR and MoCo v3: learning rate .1 x B / 256, momentum .9, no weight decay, B = 1024, half a cosine over epochs,
weights from N(0, .01)), tested after every epoch, and the best epoch is what the paper reports. An epoch chosen on the
test set is optimistic, so these numbers compare with the paper's and with nothing else; the last epoch stands beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evaluation.leakage import align
from evaluation.probing.encoder_views import FinishedFits, crop_and_flip, linear_layer, predict
from evaluation.probing.subsets import stratified_subset
from evaluation.results import Findings, run_identity
from evaluation.run import Subject
from evaluation.split_pictures import CHUNK, Pictures, parts
from evaluation.task import Fractions, SplitTask, suffixes
from glofnd.counter_random import permutation
from glofnd.parameters import Range
from glofnd.progress import progress

__all__ = ["PAPER_EPOCHS", "PROTOCOL", "SHORTENED", "LinearPaperTask", "linear_paper", "train_head"]

Array = NDArray[Any]

PROTOCOL = "paper-sgd-best-epoch-on-test"
"""The recipe above with the paper's numbers of epochs."""

SHORTENED = f"{PROTOCOL}-other-epochs"
"""The same with other numbers of epochs, so not the paper's numbers."""

PAPER_EPOCHS: dict[float, int] = {1: 90, 0.1: 285, 0.01: 900, 0.001: 900}
"""Epochs by share of the labels."""

BATCH, RATE, MOMENTUM = 1024, 0.1, 0.9
_ORDER = 0x11EA


@dataclass(frozen=True)
class LinearPaperTask(SplitTask):
    """The paper's linear evaluation, which picks the best epoch on the test set."""

    fractions: Fractions = (1, 0.1, 0.01, 0.001)
    epochs: Annotated[tuple[int, ...] | None, Range(ge=1), "one number per fraction; null takes the paper's"] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None:
            return self.one_per_fraction("epochs")
        for fraction in self.fractions:
            if fraction not in PAPER_EPOCHS:
                known = ", ".join(f"{share:g}" for share in PAPER_EPOCHS)
                raise ValueError(f"epochs: the paper has none for fraction {fraction:g} (it has {known}); give them")
        return self.one_per_fraction()

    def epochs_of(self) -> tuple[int, ...]:
        """Epochs of every fraction."""
        return self.epochs or tuple(PAPER_EPOCHS[fraction] for fraction in self.fractions)


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
    head = linear_layer(test.shape[1], int(labels.max()) + 1, seed, device)
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


def linear_paper(subject: Subject, tasks: list[LinearPaperTask]) -> Findings:
    """The paper's linear evaluation at every fraction of the labels, one subset each."""
    theirs = all(
        epochs == PAPER_EPOCHS.get(fraction)
        for task in tasks
        for fraction, epochs in zip(task.fractions, task.epochs_of(), strict=True)
    )
    findings = Findings(run_identity(subject.config), "linear-paper", PROTOCOL if theirs else SHORTENED)
    model, seed = subject.encoder(), subject.seed
    fits = FinishedFits(subject.out / "linear-paper", [PROTOCOL, seed, subject.inputs(tasks), [vars(t) for t in tasks]])
    bar = progress(None, sum(len(task.fractions) for task in tasks), "linear evaluation of the paper", "fits")
    for place, (task, suffix) in enumerate(zip(tasks, suffixes(tasks), strict=True)):
        train, test = (subject.pictures(task.dataset, split) for split in (task.train, task.test))
        known, side = align(train, test, task.label)
        features, labels = predict(model, test), torch.from_numpy(known)
        for fraction, epochs in zip(task.fractions, task.epochs_of(), strict=True):
            rows = stratified_subset(known, fraction, seed, draw=0)
            fit = partial(_fit, model, train, rows, labels, features, side.labels, epochs, seed)
            found = fits.once(f"{place}.{fraction:g}", fit)
            details: dict[str, Any] = {"labels_used": len(rows), "epochs": epochs}
            chosen = details | {"best_epoch": int(found["best_epoch"]), "selection": "best epoch on the test set"}
            findings.classified(task, suffix, side, [found["best"]], fraction, **chosen)
            final = details | {"selection": "last epoch"}
            findings.classified(task, suffix, side, [found["last"]], fraction, "final-", primary=False, **final)
            bar.set_postfix_str(f"{task.dataset} {fraction:g}", refresh=False)
            bar.update()
    bar.close()
    return findings
