"""Everything that is measured of a trained run: probes, zero-shot and retrieval, false negatives found, statistics.

evaluate(config, {"linear": [{"dataset": "digits"}]}, checkpoint, shards, out)       writes out/linear/metrics.json
glofnd.parameters.parameters(EVALUATIONS["linear"].task)      what a task takes, for the config and the docs
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evaluation.discovery.false_negatives import DiscoveryTask, discovery
from evaluation.matching.retrieval import RetrievalTask, retrieval
from evaluation.matching.zero_shot import ZeroShotTask, zero_shot
from evaluation.probing.fine_tuning import FineTuningTask, fine_tuning
from evaluation.probing.linear import LinearTask, TransferTask, linear, transfer
from evaluation.probing.linear_paper import LinearPaperTask, linear_paper
from evaluation.probing.transfer_paper import TransferPaperTask, transfer_paper
from evaluation.results import Findings
from evaluation.run import evaluate
from evaluation.task import Task

__all__ = ["EVALUATIONS", "Evaluation", "evaluate"]

_BOTH = ("unimodal", "bimodal")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        task: frozen dataclass of what it takes; a run has a list of them.
        run: from an `evaluation.run.Subject` and its tasks to `evaluation.results.Findings`.
        modalities: experiments that can be evaluated so.
        raw_pixels: modalities in which the baseline `raw-pixels` can be, too. `random-init` always can.
    """

    task: type[Task]
    run: Callable[[Any, Any], Findings]
    modalities: tuple[str, ...] = _BOTH
    raw_pixels: tuple[str, ...] = ()


EVALUATIONS: dict[str, Evaluation] = {
    "discovery": Evaluation(DiscoveryTask, discovery, raw_pixels=("unimodal",)),
    "linear": Evaluation(LinearTask, linear, raw_pixels=_BOTH),
    "transfer": Evaluation(TransferTask, transfer, raw_pixels=_BOTH),
    "zero-shot": Evaluation(ZeroShotTask, zero_shot, modalities=("bimodal",)),
    "retrieval": Evaluation(RetrievalTask, retrieval, modalities=("bimodal",)),
    "transfer-paper": Evaluation(TransferPaperTask, transfer_paper, raw_pixels=_BOTH),
    "linear-paper": Evaluation(LinearPaperTask, linear_paper),
    "fine-tuning": Evaluation(FineTuningTask, fine_tuning),
}
"""Every evaluation by the name it has in a config, in the order they are done; a new one is a file and a line here."""
