"""`fine-tuning`: encoder and a linear layer trained together on all or few of the labels.

AdamW (weight decay 1e-4, none on one-dimensional parameters) for a stated number of epochs, a tenth of the steps as
warm-up and then half a cosine, random resized crops and flips, batches of at most `batch_size` pictures. The learning
rate is chosen on a fifth of the labels that the classifier was not trained on; then it is trained anew on all of them
and tested once, after the last epoch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from evaluation.leakage import align
from evaluation.probing.encoder_views import FinishedFits, crop_and_flip, linear_layer, predict
from evaluation.probing.subsets import fold_masks, stratified_subset
from evaluation.results import Findings, run_identity
from evaluation.run import Subject
from evaluation.scores import score
from evaluation.split_pictures import Pictures, parts
from evaluation.task import Fractions, SplitTask, suffixes
from glofnd.counter_random import permutation, step_seed
from glofnd.parameters import Range
from glofnd.pretraining.optimiser import rate
from glofnd.progress import progress

__all__ = ["PROTOCOL", "FineTuningTask", "fine_tune", "fine_tuning"]

Array = NDArray[Any]

PROTOCOL = "fine-tuning-adamw-validated"
"""Learning rate validated on training labels, refit on all of them, tested once after the last epoch."""

WEIGHT_DECAY, WARMUP = 1e-4, 0.1
_ORDER, _DROPOUT = 0xF17E, 0xF1D0


@dataclass(frozen=True)
class FineTuningTask(SplitTask):
    """Encoder and linear layer trained together."""

    fractions: Fractions = (1, 0.1, 0.01)
    draws: Annotated[tuple[int, ...], Range(ge=1), "random subsets per fraction, averaged"] = (1, 1, 1)
    epochs: Annotated[tuple[int, ...], Range(ge=1), "one number per fraction"] = (20, 40, 100)
    learning_rates: Annotated[
        tuple[float, ...], Range(gt=0), "to choose from on training labels; the middle one where there are too few"
    ] = (0.0003, 0.001, 0.003, 0.01, 0.03)
    batch_size: Annotated[int, Range(ge=2), "most pictures of a step"] = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_per_fraction("draws", "epochs")


def _optimiser(modules: nn.ModuleList, learning_rate: float) -> torch.optim.Optimizer:
    trained = [p for p in modules.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


def fine_tune(
    model: Any,
    pictures: Pictures,
    known: Array,
    rows: Array,
    learning_rate: float,
    epochs: int,
    batch_size: int,
    seed: int,
    bf16: bool,
) -> tuple[Any, nn.Linear]:
    """A trained copy of the model and its linear layer.

    Args:
        model: where to start from; it is not changed.
        pictures: of the training split.
        known: int64 [N], labels of all its samples, in [0, K).
        rows: labelled samples [n].
        learning_rate: at its highest.
        epochs: over `rows`.
        batch_size: at most so many pictures a step; the batches of an epoch are of equal size.
        seed: first weights of the layer, order and crops.
        bf16: autocast.
    """
    device, views = model.mean.device, crop_and_flip(seed)
    tuned = copy.deepcopy(model).train()
    labels = torch.from_numpy(known)
    with torch.no_grad():
        width = model.eval().features(model.prepare(next(pictures.batches([rows[:1]])).to(device))).shape[1]
    head = linear_layer(width, int(known.max()) + 1, seed, device)
    optimiser = _optimiser(nn.ModuleList([tuned, head]), learning_rate)
    per_epoch = len(parts(rows, batch_size))
    steps = epochs * per_epoch
    with torch.random.fork_rng():
        for epoch in range(epochs):
            batches = parts(rows[permutation(len(rows), seed=seed, epoch=epoch, stream=_ORDER)], batch_size)
            for number, (batch, images) in enumerate(zip(batches, pictures.batches(batches), strict=True)):
                step = epoch * per_epoch + number
                torch.manual_seed(step_seed(seed, step, stream=_DROPOUT))
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate * rate(step, steps, round(WARMUP * steps))
                index = torch.from_numpy(pictures.index[batch])
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
    train: Pictures
    known: Array
    test: Pictures
    task: FineTuningTask
    seed: int
    bf16: bool

    def fit(self, rows: Array, learning_rate: float, epochs: int) -> tuple[Any, nn.Linear]:
        size = self.task.batch_size
        return fine_tune(self.model, self.train, self.known, rows, learning_rate, epochs, size, self.seed, self.bf16)

    def choose(self, rows: Array, epochs: int) -> tuple[float, str]:
        """The learning rate with the best validation score (ties: smaller loss), and how it was chosen."""
        rates, masks = self.task.learning_rates, fold_masks(self.known[rows], self.seed)
        if not len(masks) or len(rates) == 1:
            return rates[len(rates) // 2], "fixed"
        fitted, held = rows[masks[0]], rows[~masks[0]]
        truth = self.known[held]
        found = []
        for learning_rate in rates:
            tuned, head = self.fit(fitted, learning_rate, epochs)
            logits = predict(tuned, self.train, head, held)
            value = score(self.task.metric, logits.argmax(dim=1).numpy() == truth, truth).value
            found.append((value, -float(functional.cross_entropy(logits, torch.from_numpy(truth)))))
        return rates[max(range(len(rates)), key=lambda place: found[place])], "hold-out"

    def fit_and_test(self, rows: Array, epochs: int) -> dict[str, Array]:
        """Scores [M, K] of the test samples after the refit, the learning rate, and how it was chosen."""
        learning_rate, selection = self.choose(rows, epochs)
        tuned, head = self.fit(rows, learning_rate, epochs)
        scores = predict(tuned, self.test, head).numpy()
        return {"scores": scores, "rate": np.array(learning_rate), "selection": np.array(selection)}


def fine_tuning(subject: Subject, tasks: list[FineTuningTask]) -> Findings:
    """Fine-tuned classifiers at every fraction of the labels."""
    findings = Findings(run_identity(subject.config), "fine-tuning", PROTOCOL)
    model, seed, bf16 = subject.encoder(), subject.seed, subject.config["training"]["precision"] == "bf16"
    settings = [PROTOCOL, seed, bf16, subject.inputs(tasks), [vars(task) for task in tasks]]
    finished = FinishedFits(subject.out / "fine-tuning", settings)
    bar = progress(None, sum(sum(task.draws) for task in tasks), "fine-tuning", "fits")
    for place, (task, suffix) in enumerate(zip(tasks, suffixes(tasks), strict=True)):
        train, test = (subject.pictures(task.dataset, split) for split in (task.train, task.test))
        known, side = align(train, test, task.label)
        tuner = _Tuner(model, train, known, test, task, seed, bf16)
        for fraction, epochs, draws in zip(task.fractions, task.epochs, task.draws, strict=True):
            fits = []
            for draw in range(draws):
                rows = stratified_subset(known, fraction, seed, draw)
                fits.append(finished.once(f"{place}.{fraction:g}.{draw}", partial(tuner.fit_and_test, rows, epochs)))
                bar.set_postfix_str(f"{task.dataset} {fraction:g}", refresh=False)
                bar.update()
            findings.classified(
                task,
                suffix,
                side,
                [fit["scores"] for fit in fits],
                fraction,
                labels_used=len(rows),
                epochs=epochs,
                learning_rate=[float(fit["rate"]) for fit in fits],
                selection=str(fits[0]["selection"]),
            )
    bar.close()
    return findings
