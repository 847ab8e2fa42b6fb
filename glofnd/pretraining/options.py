"""Options of a training run: the keys of `training` in a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from glofnd.parameters import Range, parameters

__all__ = ["EXECUTION", "TrainingOptions"]

EXECUTION = ("device", "threads", "workers", "checkpoint_seconds", "state_layout")
"""Options that say how a run is executed, not what it computes: they may change on resume and never train anew."""


@dataclass(frozen=True)
class TrainingOptions:
    """Declared as in `glofnd.parameters`; those of `EXECUTION` change no number beyond rounding."""

    epochs: Annotated[int, Range(ge=1), "epochs"] = 20
    batch_size: Annotated[int, Range(ge=2), "samples per step, of all processes together"] = 256
    optimizer: Annotated[Literal["adamw", "sgd", "lars"], "optimiser"] = "adamw"
    lr: Annotated[float, Range(gt=0), "peak learning rate; half a cosine takes it to zero"] = 0.001
    weight_decay: Annotated[float, Range(ge=0), "weight decay of matrices and filters"] = 0.0001
    warmup_epochs: Annotated[float, Range(ge=0), "epochs of linear warm-up"] = 1
    shuffle_window: Annotated[
        int | None, Range(ge=1), "shards that are read and shuffled together; null: all, at random places"
    ] = None
    precision: Annotated[Literal["fp32", "bf16"], "of the encoder's forward and backward pass"] = "bf16"
    inspect_every: Annotated[int, Range(ge=1), "steps between two counts of what the detector drops"] = 8
    device: Annotated[Literal["auto", "cpu", "cuda"], "auto takes a GPU where there is one"] = "auto"
    threads: Annotated[int, Range(ge=1, le=4096), "CPU threads of each process"] = 1
    workers: Annotated[int, Range(ge=0, le=4096), "threads that decode pictures ahead, if they are not cached"] = 0
    checkpoint_seconds: Annotated[float, Range(ge=0), "seconds between two checkpoints to resume from"] = 60
    state_layout: Annotated[Literal["replicated", "sharded"], "per-sample state: whole or a share on each process"] = (
        "replicated"
    )

    def __post_init__(self) -> None:
        for name, parameter in parameters(TrainingOptions).items():
            parameter.check(getattr(self, name))
