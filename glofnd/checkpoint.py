"""Checkpoints: tensors and plain values only, written atomically, read without unpickling code.

Keys: `format`, `config` (the run config, JSON), `epoch` and `step` that are done, `model`, `objective` (thresholds, u
and temperatures of all samples, whatever the number of processes) and `optimizer` states, `history`, `provenance`.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from glofnd.failures import out_of_memory
from glofnd.files import atomic_open, verify_zip

__all__ = ["FORMAT", "CheckpointError", "config_of", "differing_keys", "read", "write"]

FORMAT = 2
_ABSENT = object()
_KEYS = {"format", "config", "epoch", "step", "model", "objective", "optimizer", "history", "provenance"}


class CheckpointError(ValueError):
    """A file that is no checkpoint, damaged or of another format; `reason` says which without naming the file."""

    def __init__(self, path: str | os.PathLike[str], reason: str, advice: str) -> None:
        super().__init__(f"{path}: {reason}; {advice}")
        self.reason = reason


def write(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the whole new one."""
    if missing := _KEYS - state.keys():
        raise ValueError(f"a checkpoint needs the keys {sorted(missing)}")
    with atomic_open(path) as handle:
        torch.save(state, handle)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; every byte that matters is compared with its checksum first.

    Raises:
        FileNotFoundError: no such file.
        OSError: the disk or network failed, which says nothing about the file.
        CheckpointError: not a checkpoint of this format, or damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no checkpoint there; pretrain the run first")
    with Path(path).open("rb") as handle:
        try:
            # `torch.load` does not look at the checksums that `torch.save` writes.
            verify_zip(handle)
            state: Any = torch.load(handle, map_location="cpu", weights_only=True)
        except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
            unread = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
            if unread or out_of_memory(error):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(path, f"damaged checkpoint ({reason})", "delete it and run again") from error
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise CheckpointError(path, "not a checkpoint of this project", "delete it and run again")
    if state["format"] != FORMAT:
        reason = f"checkpoint format {state['format']}, this version reads {FORMAT}"
        raise CheckpointError(path, reason, "train it anew")
    return state


def config_of(state: dict[str, Any]) -> dict[str, Any]:
    """The run config a checkpoint was made with."""
    config: dict[str, Any] = json.loads(state["config"])
    return config


def differing_keys(stored: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys whose values differ between two configs, each with both values: `{"lr": "0.1, now 0.5"}`."""
    found: dict[str, str] = {}
    for key in sorted(stored.keys() | asked.keys()):
        sides = [side.get(key, _ABSENT) for side in (stored, asked)]
        if all(isinstance(side, dict) for side in sides):
            found |= differing_keys(stored[key], asked[key], f"{prefix}{key}.")
        elif sides[0] != sides[1]:
            old, new = ("absent" if side is _ABSENT else json.dumps(side) for side in sides)
            found[f"{prefix}{key}"] = f"{old}, now {new}"
    return found
