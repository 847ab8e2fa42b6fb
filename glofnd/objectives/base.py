"""What the objectives have in common: checks, normalisation, one set of anchors per view pair or modality."""

from __future__ import annotations

import copy
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from glofnd.detectors.base import Batch, Detector
from glofnd.detectors.none import KeepAll
from glofnd.detectors.tile import FILL, Similarities, Workspace
from glofnd.objectives.contrast import ClosedForm, Criterion, Gradients, Side, contrast
from glofnd.objectives.inputs import Inputs, prepare
from glofnd.objectives.inspection import Inspection
from glofnd.objectives.paired import contrast_both
from glofnd.parameters import Range
from glofnd.ranks import Ranks
from glofnd.state import SampleState

__all__ = ["Gamma", "LearnedTemperature", "Objective", "Rho", "Temperature", "TemperatureStep"]

# Beyond these float32 tells no candidates apart.
Temperature = Annotated[float, Range(ge=1e-6, le=1e4), "temperature tau"]
LearnedTemperature = Annotated[float, Range(ge=0.01, le=1), "initial temperature tau, which is learned"]
Gamma = Annotated[float, Range(gt=0, le=1), "weight of a batch's estimate in the moving average u"]
Rho = Annotated[float, Range(ge=0), "pull of the learned temperatures towards small values"]
TemperatureStep = Annotated[float, Range(gt=0), "step size of the learned temperatures"]


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
    # Similarities per tile: so many that the hundred operations on its rows cost little beside it, so few that their
    # memory does not matter; but at least as many anchors as a matrix product needs to be efficient.
    tile_size, tile_rows = 2**21, 128
    # Up to so many similarities, both directions of an image-text objective share one matrix.
    matrix_size = 2**22

    def __init__(self, num_samples: int, temperature: float, detector: Detector | None = None) -> None:
        super().__init__()
        _check_temperature(temperature)
        detector = KeepAll(num_samples) if detector is None else detector
        if detector.num_samples != num_samples:
            raise ValueError(
                f"num_samples differs: {num_samples} for the objective, {detector.num_samples} for its detector"
            )
        self.num_samples = num_samples
        self.ranks: Ranks | None = None
        self._workspace = Workspace()
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
            ValueError: shapes that do not fit, an index out of range, a negative epoch, embeddings or a learned
                temperature that are not finite; state is then as before.
        """
        if not epoch >= 0:
            raise ValueError(f"epoch counts from 0, got {epoch}")
        with torch.autocast(z1.device.type, enabled=False):
            compute = partial(self._compute, index, epoch, labels)
            loss: Tensor = ClosedForm.apply(compute, z1, z2, self.current_temperature())
            return loss

    def distribute(self, group: dist.ProcessGroup | None = None, layout: str = "replicated") -> None:
        """Share every batch with the other ranks of a process group.

        W ranks with B samples each then compute what one process computes with W * B: every rank's samples are
        candidates for all, and no rank's update is lost. Call it on every rank before training, after loading a
        checkpoint. From then on all ranks call the objective together, with parts of equal size.

        The loss is that of the whole batch, on every rank. Gradients with respect to the embeddings are scaled for
        `DistributedDataParallel`, which takes the mean over ranks (multiply by 1 / W if you sum instead); those of
        learned temperatures are complete on every rank.

        Args:
            group: process group, None for the default one.
            layout: `replicated` keeps all per-sample state on every rank, `sharded` a W-th on each.
        """
        self.ranks = Ranks(group)
        for module in self.modules():
            if isinstance(module, SampleState):
                module.distribute(self.ranks, layout)

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of state per sample of the data set, thresholds and moving averages of all modalities together."""
        tables = [module for module in self.modules() if isinstance(module, SampleState)]
        return sum(table.column(name).element_size() for table in tables for name in table.columns)

    def full_state_dict(self) -> dict[str, Tensor]:
        """The state_dict of an undistributed objective, whatever the layout; all ranks must call it together."""
        state = dict(self.state_dict())
        for name, module in self.named_modules():
            if isinstance(module, SampleState):
                state |= {f"{name}.{column}": module.whole(column) for column in module.columns}
        return state

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
            One `Inspection` per modality. Over several ranks: of this rank's samples among themselves; where state is
            sharded, all ranks must call it together.
        """
        with torch.autocast(z1.device.type, enabled=False):
            return self._inspect(prepare(z1, z2, index, labels, self.num_samples, None), epoch)

    def _inspect(self, inputs: Inputs, epoch: int | None) -> dict[str, Inspection]:
        index, labels, found = inputs.index, inputs.labels, {}
        everything = slice(0, index.numel())
        for name, (anchors, candidates) in self._parts(inputs.unit).items():
            detector = self._detector(name)
            pairs = Similarities(anchors, candidates, 0, index.numel(), Workspace())
            when = detector.start_filter if epoch is None else epoch
            screening = detector.screen(self._batch(pairs, index, when, labels, labels, training=False))
            tile = pairs.tile(everything)
            negative = tile.similarity != FILL
            dropped, threshold = torch.zeros_like(negative), None
            if screening is not None:
                dropped = screening.keep(tile) == 0
                threshold = screening.threshold(tile)
            found[name] = Inspection(
                pairs.product(everything).flatten(0, 1),
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

    def _parts(self, both: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Anchors and candidates of each modality out of [2, B, D], without copies."""
        if self.modalities == ("image",):
            return {"image": (both, both)}
        first, second = both[:1], both[1:]
        return {"image": (first, second), "text": (second, first)}

    def _tile_rows(self, candidates: Tensor) -> int:
        groups, size, _ = candidates.shape
        if len(self.modalities) == 2 and size**2 <= self.matrix_size:
            return size
        return max(self.tile_rows, self.tile_size // (groups**2 * size))

    def _batch(
        self,
        pairs: Similarities,
        index: Tensor,
        epoch: int,
        labels: Tensor | None,
        columns: Tensor | None,
        training: bool,
    ) -> Batch:
        columns = None if columns is None else columns.repeat(pairs.views)
        return Batch(index, epoch, pairs.negatives, training, labels, columns, self.ranks)

    def _compute(
        self,
        index: Tensor,
        epoch: int,
        labels: Tensor | None,
        z1: Tensor,
        z2: Tensor,
        temperature: Tensor,
        needed: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        """Loss, and its gradients with respect to `z1`, `z2` and `temperature`; state is written at the end."""
        inputs = prepare(z1, z2, index, labels, self.num_samples, self.ranks)
        _check_temperature(float(temperature))
        index, labels, both = inputs.index, inputs.labels, inputs.unit
        temperature = temperature.to(both)
        loss, d_temperature = self.extra(temperature)
        everywhere, own, columns = both, slice(0, len(index)), labels
        if self.ranks is not None:
            everywhere = self.ranks.gather(both.transpose(0, 1)).transpose(0, 1).contiguous()
            own = self.ranks.part(len(index))
            columns = None if labels is None else self.ranks.gather(labels)
        gradient = torch.zeros_like(everywhere)
        sides = []
        mine, others, into = self._parts(both), self._parts(everywhere), self._parts(gradient)
        for name in self.modalities:
            anchors, candidates = mine[name][0], others[name][1]
            pairs = Similarities(anchors, candidates, own.start, self._tile_rows(candidates), self._workspace)
            detector = self._detector(name)
            screening = detector.screen(self._batch(pairs, index, epoch, labels, columns, self.training))
            criterion = self.criterion(name, index, epoch, temperature)
            to_anchors, to_candidates = into[name]
            gradients = Gradients(to_anchors[:, own], to_candidates, d_temperature if needed[2] else None)
            sides.append(
                Side(pairs, criterion, screening, detector.treatment == "attract", gradients if any(needed) else None)
            )
        if len(sides) == 2 and self.ranks is None and len(index) ** 2 <= self.matrix_size and not sides[0].attract:
            loss = loss + contrast_both(*sides)
        else:
            loss = loss + sum(contrast(side) for side in sides)
        if self.ranks is not None:
            loss, d_temperature = self.ranks.sum(torch.stack([loss, d_temperature])) / self.ranks.size
            gradient = self.ranks.sum(gradient)[:, own] if any(needed) else gradient
        if self.training:
            for side in sides:
                side.commit()
        if not any(needed):
            return loss, None, None, None
        d_z1, d_z2 = inputs.gradient(gradient)
        return loss, d_z1, d_z2, d_temperature if needed[2] else None


def _check_temperature(temperature: float) -> None:
    # Beyond these float32 tells no candidates apart, or takes an anchor's own columns (`FILL`) for candidates.
    if not 1e-6 <= temperature <= 1e4:
        raise ValueError(f"temperature must lie between 1e-6 and 1e4, got {temperature}; no state was changed")
