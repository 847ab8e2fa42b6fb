"""What was promised, and whether a run of benchmarks/objectives.py kept it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Target", "judge"]

FLOOR = {1024: 1.5, 2048: 1.25, 4096: 1.25}
# Ours with GloFND, ours without, the plain peer, the naive version with GloFND and a full quantile.
ROLES = {
    "unimodal": ("sogclr+glofnd", "sogclr", "lightly NT-Xent", "naive sogclr+glofnd"),
    "bimodal": ("fastclip-v1+glofnd", "fastclip-v1", "open_clip ClipLoss", "naive fastclip-v1+glofnd"),
}


@dataclass(frozen=True)
class Target:
    """One promise: `value` must be at most (or at least) `bound`."""

    race: str
    what: str
    value: float
    at_most: bool
    bound: float

    @property
    def met(self) -> bool:
        """Whether it was kept."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def as_dict(self) -> dict[str, object]:
        """For the JSON file."""
        return {**asdict(self), "met": self.met}

    def __str__(self) -> str:
        verdict, sign = "met   " if self.met else "MISSED", "<=" if self.at_most else ">="
        return f"{verdict} {self.race:34s} {self.what:52s} {self.value:8.3f} {sign} {self.bound:g}"


def judge(races: list[dict[str, Any]], step: dict[str, float], memory: dict[str, float]) -> list[Target]:
    """All targets that the measurements say something about, from ratios of median wall times."""
    found = [target for row in races for target in _judge_race(row)]
    found.append(Target("ResNet-18 training step", "share that GloFND adds", step["added_share"], True, 0.01))
    where = f"B={memory['batch']:g} D={memory['dim']:g}"
    return [*found, Target(where, "peak extra memory in MB", memory["extra_mb"], True, 300)]


def _judge_race(row: dict[str, Any]) -> list[Target]:
    with_detector, without, peer, naive = ROLES[row["modality"]]
    race = "{modality} B={batch} D={dim} threads={threads}".format(**row)
    ours = row[with_detector]["median_ms"]
    found = []
    if row["batch"] in FLOOR:
        ratio = ours / row["floor"]["median_ms"]
        found.append(Target(race, f"{with_detector} / floor", ratio, True, FLOOR[row["batch"]]))
    found.append(Target(race, f"{peer} / {with_detector}", row[peer]["median_ms"] / ours, False, 2))
    if naive in row:
        found.append(Target(race, f"{naive} / {with_detector}", row[naive]["median_ms"] / ours, False, 6))
    ratio = ours / row[without]["median_ms"]
    return [*found, Target(race, f"{with_detector} / {without}", ratio, True, 1.1)]
