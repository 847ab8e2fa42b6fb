"""Checkpoints: tensors and plain values only, written atomically, read without unpickling code."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from glofnd.files import atomic_open

__all__ = ["FORMAT", "config_of", "differing_keys", "read", "write"]

FORMAT = 1
_KEYS = {"format", "config", "epoch", "step", "model", "objective", "optimizer", "history", "provenance"}


def write(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the whole new one."""
    if missing := _KEYS - state.keys():
        raise ValueError(f"a checkpoint needs the keys {sorted(missing)}")
    with atomic_open(path) as handle:
        torch.save(state, handle)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint of this format, or damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no checkpoint there; pretrain the run first")
    try:
        # Anything else goes to a reader of bare pickles, which fails in as many ways as there are bytes.
        if not zipfile.is_zipfile(path):
            raise OSError("no zip archive")
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: damaged checkpoint ({reason}); delete it and run again") from error
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise ValueError(f"{path}: not a checkpoint of this project")
    if state["format"] != FORMAT:
        raise ValueError(f"{path}: checkpoint format {state['format']}, this version reads {FORMAT}; train it anew")
    return state


def config_of(state: dict[str, Any]) -> dict[str, Any]:
    """The run config a checkpoint was made with."""
    config: dict[str, Any] = json.loads(state["config"])
    return config


def differing_keys(left: dict[str, Any], right: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two configs."""
    found = []
    for key in sorted(left.keys() | right.keys()):
        a, b = left.get(key), right.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differing_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found
