"""Objectives that correct the sum over negatives for the false ones expected among them, instead of finding any: DCL
(Chuang et al., NeurIPS 2020, arXiv 2007.00224) and HCL (Robinson et al., ICLR 2021, arXiv 2010.04592).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from glofnd.detectors import Detector
from glofnd.objectives.engine import Pairs, Rows
from glofnd.objectives.objective import Temperature
from glofnd.objectives.simclr import SimCLR, cross_entropy
from glofnd.parameters import Range, checked

__all__ = ["DCL", "HCL"]

Prior = Annotated[float, Range(ge=0, lt=1), "class prior t: probability that a negative has the anchor's class"]


class DCL(SimCLR):
    """sum over views of mean_i { log[ e^{p/tau} + N g ] - p/tau }, with N = 2(B-1) negatives and
    g = max( (mean_kept e^{s/tau} - t e^{p/tau}) / (1-t), e^{-1/tau} ), the paper's estimator with M = 1 positive.

    With t = 0 it equals `SimCLR`. A detector goes with it: the mean then runs over what it keeps, so t means the share
    of false negatives among those, below the class prior; after an oracle nothing is left to correct. Under `attract`
    found samples count in the alignment alone, as in SimCLR; the correction keeps p.

    Differs from the paper: the sum over both views is twice its mean over 2B rows; rows without a negative are 0.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Temperature = 0.1,
        prior: Prior = 0.01,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, detector)
        self.prior = prior

    def log_mean(self, rows: Any) -> Tensor:
        """log of the mean of e^{s/tau} over kept negatives, [V, t]; -inf where none is kept."""
        assert isinstance(rows, Rows)
        return rows.log_mean

    def values(self, rows: Rows | Pairs) -> Tensor:
        """Cross entropy with log g in place of the mean's logarithm, once per view."""
        log_mean = self.log_mean(rows)
        if self.prior > 0:
            # log(mean - t e^{p/tau}) = log mean + log(1 - e^{-gap}); not positive where the gap is not.
            gap = log_mean - rows.positive / rows.temperature - math.log(self.prior)
            left = torch.where(gap > 0, gap, 1)
            corrected = log_mean + (-torch.expm1(-left)).log() - math.log1p(-self.prior)
            smallest = -1 / rows.temperature
            corrected = torch.where((gap > 0) & (corrected > smallest), corrected, smallest)
            log_mean = torch.where(rows.empty, log_mean, corrected)
        return cross_entropy(rows, log_mean)


class HCL(DCL):
    """DCL whose mean over the kept negatives is weighted by e^{beta s/tau}, so that hard ones count more; the weights
    have mean 1: sum e^{(1+beta) s/tau} / sum e^{beta s/tau}, differentiated through the weights as in the published
    code. With beta = 0 it equals `DCL`, and with t = 0, too, `SimCLR`.

    Differs from the paper: as `DCL`; beta stays constant, while the published code can let it fall.
    """

    by_pairs = True

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Temperature = 0.1,
        prior: Prior = 0.01,
        beta: Annotated[float, Range(ge=0), "concentration on hard negatives; 0 weighs all alike"] = 1.0,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, prior, detector)
        self.beta = beta

    def log_mean(self, rows: Any) -> Tensor:
        """log of the weighted mean, [V, t]."""
        assert isinstance(rows, Pairs)
        weighted = rows.log_mean((1 + self.beta) / rows.temperature) - rows.log_mean(self.beta / rows.temperature)
        return weighted.masked_fill(rows.empty, -math.inf)
