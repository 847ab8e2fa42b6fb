"""Everything that is measured of a trained run: probes, zero-shot and retrieval, false negatives found, statistics.

EVALUATIONS["linear"].task(dataset="digits")      a task with its defaults; wrong ones raise `ValueError`
glofnd.parameters.parameters(EVALUATIONS["linear"].task)      what a task takes, for the config and the docs
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluation import tasks
from evaluation.tasks import Task

__all__ = ["EVALUATIONS", "Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        task: frozen dataclass of what it takes; a run has a list of them.
        modalities: experiments that can be evaluated so.
        raw_pixels: modalities in which the baseline `raw-pixels` can be, too. `random-init` always can.
        reads: `features` stored once per run, `pictures` of its own, or `batches` as in training.
    """

    task: type[Task]
    modalities: tuple[str, ...] = ("unimodal", "bimodal")
    raw_pixels: tuple[str, ...] = ()
    reads: str = "features"


_BOTH = ("unimodal", "bimodal")

EVALUATIONS: dict[str, Evaluation] = {
    "linear": Evaluation(tasks.LinearTask, raw_pixels=_BOTH),
    "transfer": Evaluation(tasks.TransferTask, raw_pixels=_BOTH),
    "linear-paper": Evaluation(tasks.LinearPaperTask, reads="pictures"),
    "transfer-paper": Evaluation(tasks.TransferPaperTask, raw_pixels=_BOTH),
    "fine-tuning": Evaluation(tasks.FineTuningTask, reads="pictures"),
    "zero-shot": Evaluation(tasks.ZeroShotTask, modalities=("bimodal",)),
    "retrieval": Evaluation(tasks.RetrievalTask, modalities=("bimodal",)),
    "discovery": Evaluation(tasks.DiscoveryTask, raw_pixels=("unimodal",), reads="batches"),
}
"""Every evaluation by the name it has in a config; a new one is its file and one line here."""
