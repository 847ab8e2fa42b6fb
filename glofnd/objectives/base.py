"""What the objectives have in common: checks, normalisation, one set of anchors per view pair or modality."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from glofnd.detectors.base import Batch, Detector, Screening
from glofnd.detectors.none import KeepAll
from glofnd.detectors.tile import FILL, Similarities
from glofnd.objectives.contrast import ClosedForm, Criterion, Gradients, contrast

__all__ = ["Inspection", "Objective"]


@dataclass(frozen=True)
class Inspection:
    """What the detector does with one batch at its current state.

    Attributes:
        similarity: [R, C]. Unimodal R = C = 2B (view 1, then view 2); bimodal R = C = B.
        negative: bool [R, C], False on the anchor's own columns.
        dropped: bool [R, C].
        threshold: [R] similarity above which a negative is dropped, or None where there is no such number.
        anchor: sample index per row, int64 [R].
        candidate: sample index per column, int64 [C].
    """

    similarity: Tensor
    negative: Tensor
    dropped: Tensor
    threshold: Tensor | None
    anchor: Tensor
    candidate: Tensor


class Objective(nn.Module):
    """A contrastive objective with a detector of false negatives.

    A plain training loop::

        objective = SogCLR(num_samples=N, temperature=0.1, detector=GloFND(num_samples=N, alpha=0.01))
        optimizer = AdamW([{"params": model.parameters()}, *objective.parameter_groups()], lr=1e-3)
        ...
        loss = objective(z1, z2, index, epoch=epoch)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        objective.after_step()

    `parameter_groups` and `after_step` matter only where a temperature is learned by the optimiser (`CLIP`, `FastCLIP`
    v3); both may always be called. In training mode a call updates the per-sample state (thresholds, moving averages),
    in `eval()` mode it only reads it.

    Args:
        num_samples: samples in the data set.
        temperature: tau, or its initial value where it is learned.
        detector: who is a false negative; None keeps every negative. Bimodal objectives use it for images and a fresh
            copy of it for texts.
    """

    modalities: tuple[str, ...] = ("image",)
    # Similarities per tile: as many as fit the cache of a core together with their mask.
    tile_size = 2**19

    def __init__(self, num_samples: int, temperature: float, detector: Detector | None = None) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        detector = KeepAll(num_samples) if detector is None else detector
        if detector.num_samples != num_samples:
            raise ValueError(
                f"num_samples differs: {num_samples} for the objective, {detector.num_samples} for its detector"
            )
        self.num_samples = num_samples
        self.detectors = nn.ModuleDict(
            {name: detector if name == "image" else copy.deepcopy(detector) for name in self.modalities}
        )

    def forward(self, z1: Tensor, z2: Tensor, index: Tensor, *, epoch: int, labels: Tensor | None = None) -> Tensor:
        """Loss of one batch.

        Args:
            z1: embeddings [B, D], not normalised, any floating dtype: view 1, or images.
            z2: embeddings [B, D]: view 2, or texts.
            index: stable sample index, int64 [B], 0 <= index < num_samples.
            epoch: absolute epoch, from 0.
            labels: int64 [B], needed by the oracle alone.

        Returns:
            Scalar in float32 (float64 for float64 embeddings).

        Raises:
            ValueError: shapes that do not fit, an index out of range, or embeddings that are not finite; state is then
                as before.
        """
        index, labels = self._check(z1, z2, index, labels)
        with torch.autocast(z1.device.type, enabled=False):
            first, second = _normalise(z1, z2)
            temperature = self.current_temperature().to(first)
            compute = partial(self._compute, index, epoch, labels)
            loss: Tensor = ClosedForm.apply(compute, first, second, temperature)
            return loss

    def current_temperature(self) -> Tensor:
        """tau as a scalar tensor, attached to its parameter where it is learned by the optimiser."""
        raise NotImplementedError

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """The objective at work on one batch for one set of anchors.

        Args:
            modality: `image` or `text`.
            index: sample index per anchor, int64 [B].
            epoch: absolute epoch.
            temperature: scalar, as `current_temperature` gave it, detached.
        """
        raise NotImplementedError

    def extra(self, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the loss whatever the batch, and its derivative with respect to the temperature."""
        return torch.zeros_like(temperature), torch.zeros_like(temperature)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimiser groups for the objective's own parameters, without weight decay.

        A group has an `lr` of its own and `scheduled` False where the method fixes it; `scheduled` True means that it
        follows the learning rate of the model.
        """
        return []

    def after_step(self) -> None:
        """To be called after `optimizer.step()`: keeps learned temperatures in their range."""

    @torch.no_grad()
    def inspect(
        self, z1: Tensor, z2: Tensor, index: Tensor, labels: Tensor | None = None, epoch: int | None = None
    ) -> dict[str, Inspection]:
        """What the detectors would drop from this batch at their current state; changes nothing.

        Args:
            z1, z2, index, labels: as in `forward`.
            epoch: before `start_filter` nothing is dropped; None means that filtering has begun.

        Returns:
            One `Inspection` per modality.
        """
        index, labels = self._check(z1, z2, index, labels)
        with torch.autocast(z1.device.type, enabled=False):
            both = torch.stack(_normalise(z1, z2))
        found = {}
        for name in self.modalities:
            anchors, candidates = self._parts(name, both)
            detector = self._detector(name)
            batch = self._batch(candidates, index, detector.start_filter if epoch is None else epoch, labels, False)
            screening = detector.screen(batch)
            everything = slice(0, index.numel())
            tile = Similarities(anchors, candidates, 0, index.numel()).tile(everything)
            negative = tile.similarity != FILL
            dropped, threshold = torch.zeros_like(negative), None
            if screening is not None:
                dropped = screening.keep(tile) == 0
                threshold = screening.threshold(tile)
            found[name] = Inspection(
                anchors.flatten(0, 1) @ candidates.flatten(0, 1).T,
                negative.flatten(0, 1),
                dropped.flatten(0, 1),
                None if threshold is None else threshold.flatten(),
                index.repeat(anchors.shape[0]),
                index.repeat(candidates.shape[0]),
            )
        return found

    def _detector(self, modality: str) -> Detector:
        detector = self.detectors[modality]
        assert isinstance(detector, Detector)
        return detector

    def _parts(self, modality: str, both: Tensor) -> tuple[Tensor, Tensor]:
        """Anchors and candidates of a modality out of [2, B, D], without copies."""
        if self.modalities == ("image",):
            return both, both
        return (both[:1], both[1:]) if modality == "image" else (both[1:], both[:1])

    def _batch(self, candidates: Tensor, index: Tensor, epoch: int, labels: Tensor | None, training: bool) -> Batch:
        groups, size, _ = candidates.shape
        columns = None if labels is None else labels.repeat(groups)
        return Batch(index, epoch, groups * (size - 1), training, labels, columns)

    def _compute(
        self,
        index: Tensor,
        epoch: int,
        labels: Tensor | None,
        first: Tensor,
        second: Tensor,
        temperature: Tensor,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss, and its gradients with respect to `first`, `second` and `temperature`; state is written at the end."""
        loss, d_temperature = self.extra(temperature)
        both = torch.stack([first, second])
        gradient = torch.zeros_like(both)
        commits: list[Criterion | Screening] = []
        for name in self.modalities:
            anchors, candidates = self._parts(name, both)
            detector = self._detector(name)
            screening = detector.screen(self._batch(candidates, index, epoch, labels, self.training))
            criterion = self.criterion(name, index, epoch, temperature)
            into = Gradients(*self._parts(name, gradient), d_temperature) if with_gradient else None
            columns = candidates.shape[0] * candidates.shape[1]
            pairs = Similarities(anchors, candidates, 0, max(1, self.tile_size // (len(anchors) * columns)))
            loss = loss + contrast(pairs, criterion, screening, detector.treatment == "attract", into)
            commits += [criterion] if screening is None else [criterion, screening]
        if self.training:
            for work in commits:
                work.commit()
        return loss, gradient[0], gradient[1], d_temperature

    def _check(self, z1: Tensor, z2: Tensor, index: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if z1.ndim != 2 or z1.shape != z2.shape:
            raise ValueError(f"z1 and z2 must both be [B, D]; got {tuple(z1.shape)} and {tuple(z2.shape)}")
        if not (z1.is_floating_point() and z2.is_floating_point()):
            raise ValueError(f"z1 and z2 must be floating point; got {z1.dtype} and {z2.dtype}")
        for name, value in (("index", index), ("labels", labels)):
            if value is not None and (value.shape != z1.shape[:1] or value.is_floating_point()):
                raise ValueError(
                    f"{name} must hold {len(z1)} integers, one per row; got {tuple(value.shape)} {value.dtype}"
                )
        if len(z1) == 0:
            raise ValueError("the batch is empty")
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= self.num_samples:
            wrong = low if low < 0 else high
            raise ValueError(f"sample index {wrong} is out of range: num_samples is {self.num_samples}")
        for name, z in (("z1", z1), ("z2", z2)):
            if not bool(torch.isfinite(z.detach().sum())) and not bool((finite := torch.isfinite(z).all(1)).all()):
                row = int((~finite).nonzero()[0])
                raise ValueError(f"{name} holds NaN or infinity for sample {int(index[row])}; no state was changed")
        device = z1.device
        return index.long().to(device), None if labels is None else labels.to(device)


def _normalise(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
    return functional.normalize(z1.to(dtype), dim=1), functional.normalize(z2.to(dtype), dim=1)
