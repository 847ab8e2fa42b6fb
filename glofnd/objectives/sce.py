"""SCE (Denize et al., WACV 2023, arXiv 2111.14585): negatives are pushed away the less, the more alike they look."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from glofnd.detectors import Detector
from glofnd.objectives.engine import Pairs
from glofnd.objectives.objective import Objective, Temperature
from glofnd.objectives.simclr import cross_entropy
from glofnd.parameters import Range, checked

__all__ = ["SCE"]


class SCE(Objective):
    """Cross entropy of softmax(s/tau) against the target  l onehot(positive) + (1-l) softmax_kept(s'/tau_m).

    s' are the similarities of the sample's *other* view to the same candidates; no gradient passes through the target,
    and the sample itself is left out of it. Candidates are the positive and what the detector keeps of both views of
    all other samples, in the target and in the softmax alike. l = 1 equals `SimCLR`, which is InfoNCE on these
    candidates, under every detector. A row without a negative has SimCLR's value.

    Differs from the paper: candidates are those of the batch (there: a queue); the target comes from the same encoder
    (there: from a momentum encoder, after weaker augmentation, and without the predictor); both views are in turn
    anchor and target, and their sum is taken. The published code leaves the sample in the target's softmax with
    similarity 0; here, as in the paper's text, it is left out.
    """

    by_pairs = True

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Temperature = 0.1,
        target_temperature: Annotated[float, Range(ge=1e-6, le=1e4), "tau_m of the target, below temperature"] = 0.05,
        positive_weight: Annotated[float, Range(ge=0, le=1), "l, weight of the positive in the target"] = 0.5,
        detector: Detector | None = None,
    ) -> None:
        if not target_temperature < temperature:
            raise ValueError(f"target_temperature: {target_temperature} must be below temperature, {temperature}")
        super().__init__(num_samples, detector)
        self.tau, self.target_tau, self.weight = temperature, target_temperature, positive_weight

    def shared(self) -> dict[str, Tensor]:
        """tau."""
        return {"temperature": torch.tensor(self.tau, dtype=torch.float64)}

    def target(self, pairs: Pairs) -> Tensor:
        """Target of the kept negatives, [V, t, M], of sum 1; not differentiated."""
        # Row (v, i) sees candidates in the same order as row (1 - v, i).
        return pairs.softmax(pairs.similarity.detach().flip(0) / self.target_tau)

    def values(self, pairs: Pairs) -> Tensor:
        """InfoNCE, with a part 1 - l of its alignment moved from the positive to what the target says."""
        tau = pairs.temperature
        related = (self.target(pairs) * pairs.similarity).sum(-1)
        moved = (pairs.positive + pairs.gain - related).masked_fill(pairs.empty, 0)
        return cross_entropy(pairs, pairs.log_mean(1 / tau)) + (1 - self.weight) * moved / tau
