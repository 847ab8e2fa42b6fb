"""The command `fine-tuning`: encoder and a linear layer trained together on all or few of the labels.

AdamW (weight decay 1e-4, none on one-dimensional parameters) for a stated number of epochs, a tenth of the steps as
warm-up and then half a cosine, random resized crops and flips, batches of at most `batch_size` pictures. The learning
rate is chosen on a fifth of the labels that the classifier was not trained on; then it is trained anew on all of them
and tested once, after the last epoch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from evaluation.accuracy import score
from evaluation.finished_fits import FinishedFits
from evaluation.labelled import Sides, crop_and_flip, open_sides, parts, predict
from evaluation.naming import suffixes
from evaluation.old_results import Findings, run_identity
from evaluation.old_tasks import FineTuningTask
from evaluation.splits import fold_masks, fold_rule, stratified_subset
from evaluation.tested import Report
from glofnd.counter_random import permutation, step_seed
from glofnd.pretraining.optimiser import rate
from glofnd.progress import Progress

__all__ = ["PROTOCOL", "fine_tune", "run_fine_tuning"]

Array = NDArray[Any]

PROTOCOL = "fine-tuning-adamw-validated"
"""Learning rate validated on training labels, refit on all of them, tested once after the last epoch."""

WEIGHT_DECAY, WARMUP = 1e-4, 0.1
_ORDER, _DROPOUT = 0xF17E, 0xF1D0


def _optimiser(modules: nn.ModuleList, learning_rate: float) -> torch.optim.Optimizer:
    trained = [p for p in modules.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


def fine_tune(
    model: Any, sides: Sides, rows: Array, learning_rate: float, epochs: int, batch_size: int, seed: int, bf16: bool
) -> tuple[Any, nn.Linear]:
    """A trained copy of the model and its linear layer.

    Args:
        model: where to start from; it is not changed.
        sides: whose training pictures and labels are used.
        rows: labelled samples [n].
        learning_rate: at its highest.
        epochs: over `rows`.
        batch_size: at most so many pictures a step; the batches of an epoch are of equal size.
        seed: first weights of the layer, order and crops.
        bf16: autocast.
    """
    device, views = model.mean.device, crop_and_flip(seed)
    tuned = copy.deepcopy(model).train()
    labels = torch.from_numpy(sides.train_labels)
    with torch.no_grad():
        width = model.eval().features(model.prepare(next(sides.train.batches([rows[:1]])).to(device))).shape[1]
    head = nn.Linear(width, len(sides.side.classes))
    with torch.no_grad():
        head.weight.normal_(0, 0.01, generator=torch.Generator().manual_seed(seed))
        head.bias.zero_()
    optimiser = _optimiser(nn.ModuleList([tuned, head.to(device)]), learning_rate)
    per_epoch = len(parts(rows, batch_size))
    steps = epochs * per_epoch
    with torch.random.fork_rng():
        for epoch in range(epochs):
            batches = parts(rows[permutation(len(rows), seed=seed, epoch=epoch, stream=_ORDER)], batch_size)
            for number, (batch, images) in enumerate(zip(batches, sides.train.batches(batches), strict=True)):
                step = epoch * per_epoch + number
                torch.manual_seed(step_seed(seed, step, stream=_DROPOUT))
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate * rate(step, steps, round(WARMUP * steps))
                index = torch.from_numpy(sides.train.index[batch])
                crops = tuned.normalise(views.one(images.to(device), index, epoch, view=0))
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    logits = head(tuned.features(crops)).float()
                loss = functional.cross_entropy(logits, labels[torch.from_numpy(batch)].to(device))
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
    return tuned, head


@dataclass(frozen=True)
class _Tuner:
    """Fits of one task."""

    model: Any
    sides: Sides
    task: FineTuningTask
    seed: int
    bf16: bool

    def fit(self, rows: Array, learning_rate: float, epochs: int) -> tuple[Any, nn.Linear]:
        size = self.task.batch_size
        return fine_tune(self.model, self.sides, rows, learning_rate, epochs, size, self.seed, self.bf16)

    def choose(self, rows: Array, epochs: int) -> tuple[float, str]:
        """The learning rate with the best validation score (ties: smaller loss), and how it was chosen."""
        rates = self.task.learning_rates
        labels = self.sides.train_labels[rows]
        folds = fold_rule(labels)
        if folds == 0 or len(rates) == 1:
            return rates[len(rates) // 2], "fixed"
        mask = fold_masks(labels, folds, self.seed)[0]
        known, held = rows[mask], rows[~mask]
        truth = self.sides.train_labels[held]
        found = []
        for learning_rate in rates:
            tuned, head = self.fit(known, learning_rate, epochs)
            logits = predict(tuned, self.sides.train, head, held)
            value = score(self.task.metric, logits.argmax(dim=1).numpy() == truth, truth).value
            found.append((value, -float(functional.cross_entropy(logits, torch.from_numpy(truth)))))
        best = max(range(len(rates)), key=lambda place: found[place])
        return rates[best], "hold-out"

    def test(self, rows: Array, epochs: int) -> dict[str, Array]:
        """Scores [M, K] of the test samples after the refit, the learning rate, and how it was chosen."""
        learning_rate, selection = self.choose(rows, epochs)
        tuned, head = self.fit(rows, learning_rate, epochs)
        scores = predict(tuned, self.sides.test, head).numpy()
        return {"scores": scores, "rate": np.array(learning_rate), "selection": np.array(selection)}


def run_fine_tuning(
    config: dict[str, Any], model: Any, shards: Path, tasks: list[FineTuningTask], workers: int, out: Path, source: str
) -> tuple[Findings, dict[str, str]]:
    """Fine-tuned classifiers at every fraction of the labels; and checksums of the data.

    Args:
        config: run config.
        model: with its weights, on its device.
        shards: folder of all shards.
        tasks: what to do.
        workers: threads that read pictures ahead.
        out: output folder; a rolling `resume-*.npz` in it holds the fits that are done, until the end.
        source: checksum of the weights, part of what such a file belongs to.
    """
    findings = Findings(run_identity(config), "fine-tuning", PROTOCOL)
    inputs: dict[str, str] = {}
    seed, bf16 = int(config["seed"]), config["training"]["precision"] == "bf16"
    bar = Progress(sum(sum(task.draws) for task in tasks), "fine-tuning", "fits")
    for task, suffix in zip(tasks, suffixes([vars(task) for task in tasks]), strict=True):
        sides, sums = open_sides(shards, task, workers)
        inputs |= sums
        done = FinishedFits(out, [PROTOCOL, vars(task), sums, source, seed, bf16])
        report, tuner = Report(findings, task, sides.side, suffix), _Tuner(model, sides, task, seed, bf16)
        for fraction, epochs, draws in zip(task.fractions, task.epochs, task.draws, strict=True):
            fits = []
            for draw in range(draws):
                rows = stratified_subset(sides.train_labels, fraction, seed, draw)
                fits.append(done.once(f"{fraction:g}.{draw}", partial(tuner.test, rows, epochs)))
                bar.advance(note=f"{task.dataset} {fraction:g}")
            report.add(
                [fit["scores"] for fit in fits],
                fraction,
                labels_used=len(rows),
                epochs=epochs,
                learning_rate=[float(fit["rate"]) for fit in fits],
                selection=str(fits[0]["selection"]),
            )
    bar.close()
    return findings, inputs
