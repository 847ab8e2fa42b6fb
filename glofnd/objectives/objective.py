"""What the objectives have in common: checks, normalisation, one set of anchors per view pair or modality."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from glofnd.detectors import Batch, Detector, KeepAll, Tile
from glofnd.detectors.detector import Scratch
from glofnd.objectives.engine import ClosedForm, Side, contrast, contrast_both
from glofnd.objectives.inputs import Index, prepare
from glofnd.parameters import Range
from glofnd.ranks import Ranks
from glofnd.state import SampleState, on_host

__all__ = ["Gamma", "Inspection", "LearnedTemperature", "Objective", "Rho", "Temperature", "TemperatureStep"]

# Beyond these float32 tells no candidates apart.
Temperature = Annotated[float, Range(ge=1e-6, le=1e4), "temperature tau"]
LearnedTemperature = Annotated[float, Range(ge=0.01, le=1), "initial temperature tau, which is learned"]
Gamma = Annotated[float, Range(gt=0, le=1), "weight of a batch's estimate in the moving average u"]
Rho = Annotated[float, Range(ge=0), "pull of the learned temperatures towards small values"]
TemperatureStep = Annotated[float, Range(gt=0), "step size of the learned temperatures"]


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

    `parameter_groups` and `after_step` matter only where a temperature is learned by the optimiser (`CLIP`,
    `FastCLIPv3`, `SigLIP`); both may always be called. In training mode a call updates the per-sample state
    (thresholds, moving averages), in `eval()` mode it only reads it.

    A new objective states `values`, its formula; docs/add-a-method.md shows how.

    Args:
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative. Bimodal objectives use it for images and a fresh
            copy of it for texts, both found in `detectors`.
        columns: per-sample state, name -> initial value; one table per modality.
    """

    modalities: tuple[str, ...] = ("image",)
    """("image",) for two views of a picture, ("image", "text") for image-text pairs."""
    uses_negatives = True
    """Whether other samples are negatives; without them no detector but `KeepAll` means anything."""
    by_pairs = False
    """Whether `values` is given every similarity (`Pairs`) instead of a few numbers per row (`Rows`)."""

    # Similarities per tile: so many that the operations on its rows cost little beside it, so few that their memory
    # does not matter; but at least as many anchors as a matrix product needs to be efficient.
    tile_size, tile_rows = 2**21, 128
    # Up to so many similarities, both directions of an image-text objective share one matrix.
    matrix_size = 2**22

    def __init__(
        self, num_samples: int, detector: Detector | None = None, columns: dict[str, float] | None = None
    ) -> None:
        super().__init__()
        detector = KeepAll(num_samples) if detector is None else detector
        if detector.num_samples != num_samples:
            raise ValueError(
                f"num_samples differs: {num_samples} for the objective, {detector.num_samples} for its detector"
            )
        self.num_samples = num_samples
        self.ranks: Ranks | None = None
        self._scratch = Scratch()
        self.detectors = nn.ModuleDict(
            {name: detector if name == "image" else copy.deepcopy(detector) for name in self.modalities}
        )
        self.state = nn.ModuleDict(
            {name: SampleState(num_samples, **columns) for name in self.modalities} if columns else {}
        )

    def values(self, rows: Any) -> Tensor:
        """The objective's formula: the value of each row, [V, t], in plain torch.

        The loss is the sum over views (and modalities) of the mean over anchors. Autograd differentiates it.

        Args:
            rows: a tile's `glofnd.objectives.engine.Rows`, or `Pairs` where `by_pairs`.
        """
        raise NotImplementedError

    def shared(self) -> dict[str, Tensor]:
        """Scalars the formula needs, attached to their parameters where learned; `temperature` unless per sample."""
        raise NotImplementedError

    def regulariser(self) -> Tensor | float:
        """What is added to the loss whatever the batch."""
        return 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimiser groups for the objective's own parameters, without weight decay.

        A group has an `lr` of its own and `scheduled` False where the method fixes it; `scheduled` True means that it
        follows the learning rate of the model.
        """
        return []

    def after_step(self) -> None:
        """To be called after `optimizer.step()`: keeps learned temperatures in their range."""

    @property
    def temperature(self) -> dict[str, Tensor]:
        """tau by modality: a scalar, or [num_samples] where every sample has its own; empty where there is none."""
        if "temperature" in self._columns:
            return {name: self._table(name).whole("temperature") for name in self.modalities}
        shared = self.shared()
        return dict.fromkeys(self.modalities, shared["temperature"].detach()) if "temperature" in shared else {}

    @property
    def u(self) -> dict[str, Tensor]:
        """Moving averages by modality, [num_samples], 0 for a sample not seen yet; empty where there are none."""
        return {name: self._table(name).whole("log_u").exp() for name in self.modalities if "log_u" in self._columns}

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of state per sample of the data set, thresholds and moving averages of all modalities together."""
        return sum(table.bytes_per_sample for table in self._tables)

    def forward(self, z1: Tensor, z2: Tensor, index: Index, *, epoch: int, labels: Tensor | None = None) -> Tensor:
        """Loss of one batch.

        Args:
            z1: embeddings [B, D], not normalised, any floating dtype: view 1, or images.
            z2: embeddings [B, D]: view 2, or texts.
            index: stable sample index, integers [B] (tensor, array or list), 0 <= index < num_samples.
            epoch: absolute epoch, from 0.
            labels: int64 [B], needed by the oracle alone.

        Returns:
            Scalar in float32 (float64 for float64 embeddings).

        Raises:
            ValueError: shapes that do not fit, an index out of range, a negative epoch, embeddings or learned
                scalars that are not finite; state is then as before. Numbers on a GPU are not looked at, since the
                host would wait for it; the loss of such embeddings is not finite.
        """
        if not epoch >= 0:
            raise ValueError(f"epoch counts from 0, got {epoch}")
        with torch.autocast(z1.device.type, enabled=False):
            return self._loss(z1, z2, index, epoch, labels) + self.regulariser()

    def _loss(self, z1: Tensor, z2: Tensor, index: Index, epoch: int, labels: Tensor | None) -> Tensor:
        """The loss without the regulariser; arguments as in `forward`."""
        shared = self.shared()
        loss: Tensor = ClosedForm.apply(
            partial(self._compute, index, epoch, labels, list(shared)), z1, z2, *shared.values()
        )
        return loss

    def distribute(self, group: dist.ProcessGroup | None = None, layout: str = "replicated") -> None:
        """Share every batch with the other ranks of a process group.

        W ranks with B samples each then compute what one process computes with W * B: every rank's samples are
        candidates for all, and no rank's update is lost. Call it on every rank before training, after loading a
        checkpoint. From then on all ranks call the objective together, with parts of equal size.

        The loss is that of the whole batch, on every rank. Gradients with respect to the embeddings are scaled for
        `DistributedDataParallel`, which takes the mean over ranks (multiply by 1 / W if you sum instead); those of
        learned scalars are complete on every rank.

        Args:
            group: process group, None for the default one.
            layout: `replicated` keeps all per-sample state on every rank, `sharded` a W-th on each.

        Raises:
            ValueError: `sharded`, and the detector needs all of its state on every rank.
        """
        why = self._detector("image").unshared
        if layout == "sharded" and why is not None:
            raise ValueError(f"layout 'sharded': {why}; take 'replicated'")
        self.ranks = Ranks(group)
        for table in self._tables:
            table.distribute(self.ranks, layout)

    def full_state_dict(self) -> dict[str, Tensor]:
        """The state_dict of an undistributed objective, whatever the layout; all ranks must call it together."""
        state = dict(self.state_dict())
        for name, module in self.named_modules():
            if isinstance(module, SampleState):
                state |= {f"{name}.{column}": module.whole(column) for column in module.columns}
        return state

    @torch.no_grad()
    def inspect(
        self, z1: Tensor, z2: Tensor, index: Index, labels: Tensor | None = None, epoch: int | None = None
    ) -> dict[str, Inspection]:
        """What the detectors would drop from a batch, given as to `forward`, at their current state; changes nothing.

        Args:
            epoch: before `start_filter` nothing is dropped; None means that filtering has begun.

        Returns:
            One `Inspection` per modality. Over several ranks: of this rank's samples among themselves; where state is
            sharded, all ranks must call it together.
        """
        found = {}
        with torch.autocast(z1.device.type, enabled=False):
            inputs = prepare(z1, z2, index, labels, self.num_samples, None)
            index = inputs.index
            for name, (anchors, candidates) in self._parts(inputs.unit).items():
                detector = self._detector(name)
                similarity = anchors @ candidates.reshape(-1, candidates.shape[2]).T
                tile = Tile(slice(0, len(index)), similarity.clone(), 0, Scratch())
                when = detector.start_filter if epoch is None else epoch
                # These samples are among themselves, whatever other ranks look at.
                labels = self._labels(inputs.labels)
                batch = Batch(index, anchors, when, tile.negatives, False, inputs.labels, labels)
                screening = detector.screen(batch)
                negative = torch.ones_like(similarity, dtype=torch.bool)
                tile.own_columns(negative).fill_(False)
                dropped, threshold = torch.zeros_like(negative), None
                if screening is not None:
                    dropped, threshold = (screening.keep(tile) == 0) & negative, screening.threshold(tile)
                threshold = None if threshold is None else threshold.flatten()
                similarity, negative, dropped = (x.flatten(0, 1) for x in (similarity, negative, dropped))
                samples = index.repeat(len(anchors))
                found[name] = Inspection(similarity, negative, dropped, threshold, samples, samples)
        return found

    @property
    def _tables(self) -> list[SampleState]:
        return [module for module in self.modules() if isinstance(module, SampleState)]

    @property
    def _columns(self) -> tuple[str, ...]:
        return self._table("image").columns if len(self.state) else ()

    def _table(self, modality: str) -> SampleState:
        table = self.state[modality]
        assert isinstance(table, SampleState)
        return table

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

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        """Label per column from that per candidate."""
        return None if labels is None else labels.repeat(2 if self.modalities == ("image",) else 1)

    def _compute(
        self,
        index: Index,
        epoch: int,
        labels: Tensor | None,
        names: list[str],
        z1: Tensor,
        z2: Tensor,
        *rest: Any,
    ) -> tuple[Tensor | None, ...]:
        """Loss, and its gradients with respect to `z1`, `z2` and the learned scalars; state is written at the end."""
        *scalars, needed = rest
        inputs = prepare(z1, z2, index, labels, self.num_samples, self.ranks)
        index, labels, both = inputs.index, inputs.labels, inputs.unit
        shared = {name: _checked_scalar(name, value, both) for name, value in zip(names, scalars, strict=True)}
        to_shared = {name: torch.zeros_like(value) for name, value in shared.items()}
        everywhere, own, columns = both, slice(0, len(index)), labels
        if self.ranks is not None:
            everywhere = self.ranks.gather(both.transpose(0, 1)).transpose(0, 1).contiguous()
            own = self.ranks.part(len(index))
            columns = None if labels is None else self.ranks.gather(labels)
        gradient = torch.zeros_like(everywhere) if needed else None
        mine, others = self._parts(both), self._parts(everywhere)
        sides = []
        for name in self.modalities:
            anchors, candidates = mine[name][0], others[name][1]
            detector, views = self._detector(name), len(anchors)
            negatives = views * (candidates.shape[1] - 1)
            batch = Batch(index, anchors, epoch, negatives, self.training, labels, self._labels(columns), self.ranks)
            to_anchors, to_candidates = (None, None) if gradient is None else self._parts(gradient)[name]
            side = Side(
                anchors=anchors,
                candidates=candidates,
                offset=own.start,
                formula=self.values,
                by_pairs=self.by_pairs,
                index=index,
                epoch=epoch,
                shared=shared,
                state=self._table(name) if len(self.state) else None,
                screening=detector.screen(batch),
                attract=detector.treatment == "attract",
                scratch=self._scratch,
                to_anchors=None if to_anchors is None else to_anchors[:, own],
                to_candidates=to_candidates,
                to_shared=to_shared,
            )
            sides.append(side)
        small = self.ranks is None and len(index) ** 2 <= self.matrix_size
        if len(sides) == 2 and small and not (sides[0].attract or self.by_pairs):
            loss = contrast_both(*sides)
        else:
            rows = max(self.tile_rows, self.tile_size // (sides[0].views * len(sides[0].flat)))
            loss = torch.stack([contrast(side, rows) for side in sides]).sum()
        if self.ranks is not None:
            loss = self.ranks.sum(loss) / self.ranks.size
            to_shared = {name: self.ranks.sum(value) / self.ranks.size for name, value in to_shared.items()}
            gradient = None if gradient is None else self.ranks.sum(gradient)[:, own]
        if self.training:
            for side in sides:
                side.commit()
        if gradient is None:
            return loss, None, None, *(None for _ in scalars)
        return loss, *inputs.gradient(gradient), *to_shared.values()


def _checked_scalar(name: str, value: Tensor, like: Tensor) -> Tensor:
    """A copy of type and device of `like`."""
    if not on_host(value):
        return value.detach().to(like, copy=True)
    number = float(value)
    if not math.isfinite(number) or (name == "temperature" and not 1e-6 <= number <= 1e4):
        raise ValueError(f"{name} is {number}; no state was changed")
    return like.new_full((), number)
