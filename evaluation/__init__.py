"""Everything that is measured of a trained run: probes, zero-shot and retrieval, false negatives found, statistics.

    evaluate(config, {"linear": [{"dataset": "digits"}]}, checkpoint, shards, out)       writes out/linear/metrics.json
    glofnd.parameters.parameters(EVALUATIONS["linear"].task)      what a task takes, for the config and the docs

Importing this package imports no torch: what lays out a grid of jobs needs the names alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.results import Findings
    from evaluation.run import evaluate
    from evaluation.task import Task

__all__ = ["EVALUATIONS", "Evaluation", "evaluate"]

_BOTH = ("unimodal", "bimodal")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        module: file that it is in.
        function: in that module, from an `evaluation.run.Subject` and its tasks to `evaluation.results.Findings`.
        task_class: in that module, frozen dataclass of what it takes; a run has a list of them.
        modalities: experiments that can be evaluated so.
        raw_pixels: modalities in which the baseline `raw-pixels` can be, too. `random-init` always can.
    """

    module: str
    function: str
    task_class: str
    modalities: tuple[str, ...] = _BOTH
    raw_pixels: tuple[str, ...] = ()

    @property
    def task(self) -> type[Task]:
        """The class of its tasks."""
        found: type[Task] = getattr(import_module(self.module), self.task_class)
        return found

    @property
    def run(self) -> Callable[[Any, Any], Findings]:
        """The function that does it."""
        found: Callable[[Any, Any], Findings] = getattr(import_module(self.module), self.function)
        return found


EVALUATIONS: dict[str, Evaluation] = {
    "discovery": Evaluation(
        "evaluation.discovery.false_negatives", "discovery", "DiscoveryTask", raw_pixels=("unimodal",)
    ),
    "linear": Evaluation("evaluation.probing.linear", "linear", "LinearTask", raw_pixels=_BOTH),
    "transfer": Evaluation("evaluation.probing.linear", "transfer", "TransferTask", raw_pixels=_BOTH),
    "zero-shot": Evaluation("evaluation.matching.zero_shot", "zero_shot", "ZeroShotTask", modalities=("bimodal",)),
    "retrieval": Evaluation("evaluation.matching.retrieval", "retrieval", "RetrievalTask", modalities=("bimodal",)),
    "transfer-paper": Evaluation(
        "evaluation.probing.transfer_paper", "transfer_paper", "TransferPaperTask", raw_pixels=_BOTH
    ),
    "linear-paper": Evaluation("evaluation.probing.linear_paper", "linear_paper", "LinearPaperTask"),
    "fine-tuning": Evaluation("evaluation.probing.fine_tuning", "fine_tuning", "FineTuningTask"),
}
"""Every evaluation by its name in a config, in the order they are done; a new one is a file and an entry here."""


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        return import_module("evaluation.run").evaluate
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
