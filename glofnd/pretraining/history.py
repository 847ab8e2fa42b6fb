"""What is recorded of an epoch: loss, detection against the truth, and the distribution of the thresholds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["EpochRecord", "detection_scores", "threshold_quantiles"]

_COUNTED = ("pairs", "dropped", "true", "correct")
_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def detection_scores(pairs: int, dropped: int, true: int, correct: int) -> dict[str, float | None]:
    """Pooled detection scores over pairs; a share whose denominator is zero is `None`, never 1."""
    precision = correct / dropped if dropped else None
    recall = correct / true if true else None
    f1 = 2 * correct / (dropped + true) if dropped + true else None
    return {
        "dropped_share": dropped / pairs if pairs else None,
        "true_share": true / pairs if pairs else None,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def threshold_quantiles(thresholds: Tensor | None) -> dict[str, float] | None:
    """Quantiles of the per-sample thresholds, or of the single one; `None` where nothing is learned."""
    if thresholds is None:
        return None
    values = torch.quantile(thresholds.detach().float().flatten().cpu(), torch.tensor(list(_QUANTILES.values())))
    return dict(zip(_QUANTILES, values.tolist(), strict=True))


class EpochRecord:
    """Running sums of one epoch: plain numbers, so that a checkpoint in mid-epoch carries them.

    What a GPU has still to compute is added by `settle`.
    """

    def __init__(self, sums: dict[str, Any] | None = None) -> None:
        self.sums: dict[str, Any] = sums or {"loss": 0.0, "steps": 0, "seconds": 0.0, "detection": {}}
        self._losses, self._counts = list[Tensor](), list[tuple[str, Tensor]]()

    def add_step(self, loss: Tensor, seconds: float) -> None:
        """Add one step."""
        self._losses.append(loss)
        self.sums["steps"] += 1
        self.sums["seconds"] += seconds

    def settle(self) -> list[float]:
        """Wait for what was added since the last call; returns the losses of those steps."""
        losses: list[float] = torch.stack(self._losses).tolist() if self._losses else []
        for loss in losses:
            self.sums["loss"] += loss
        for modality, found in self._counts:
            counts = self.sums["detection"].setdefault(modality, dict.fromkeys(_COUNTED, 0))
            for name, count in zip(_COUNTED, found.tolist(), strict=True):
                counts[name] += count
        self._losses, self._counts = [], []
        return losses

    def add_inspection(self, inspections: dict[str, Any], labels: Tensor) -> None:
        """Add the detection counts of one batch.

        Args:
            inspections: `objective.inspect(...)`, one per modality.
            labels: int64 [B], the truth of the batch; columns and rows repeat it as often as there are views.
        """
        for modality, seen in inspections.items():
            rows = labels.repeat(len(seen.anchor) // len(labels))
            columns = labels.repeat(len(seen.candidate) // len(labels))
            true = (rows[:, None] == columns[None, :]) & seen.negative
            counted = (seen.negative, seen.dropped, true, true & seen.dropped)
            self._counts.append((modality, torch.stack([pairs.sum() for pairs in counted])))

    def close(self, epoch: int, lr: float, samples: int, thresholds: dict[str, Tensor | None]) -> dict[str, Any]:
        """The epoch's entry in history.json."""
        seconds = self.sums["seconds"]
        entry: dict[str, Any] = {
            "epoch": epoch,
            "loss": self.sums["loss"] / max(self.sums["steps"], 1),
            "lr": lr,
            "seconds": round(seconds, 3),
            "images_per_second": round(samples / seconds, 1) if seconds else None,
        }
        if self.sums["detection"]:
            entry["detection"] = {m: detection_scores(**c) for m, c in self.sums["detection"].items()}
        quantiles = {m: q for m, t in thresholds.items() if (q := threshold_quantiles(t))}
        if quantiles:
            entry["threshold"] = quantiles
        return entry
