"""Kill -9 of Snakemake, shells, commands and their processes in every stage, then the same command again.

One benchmark is run undisturbed. Another tree is killed, in every stage as often as `PLAN` says, until nothing of the
plan is left; then its results must equal those of the first bit for bit, and no process may be left.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from kill_benchmark import config, write_captioned
from kill_comparison import differences
from kill_session import Job, Session, marked

pytestmark = pytest.mark.slow

PLAN = {
    "fetch": ["python", "snakemake"],
    "shard": ["encoder", "shell", "python", "snakemake"],
    "trunk": ["python", "shell", "snakemake"],
    "pretrain": ["python", "shell", "python", "snakemake"],
    "features": ["python", "shell", "snakemake"],
    "linear": ["python", "snakemake"],
    "discovery": ["python", "snakemake"],
    "zero-shot": ["shell", "snakemake"],
    "retrieval": ["python", "snakemake"],
    "aggregate": ["python"],
    "significance": ["snakemake"],
    "report": ["python", "snakemake"],
    "mlflow_import": ["python", "shell", "snakemake"],
}
SEED = 20250220
RUN = "out/runs/*/*/none/seed1"
# What is removed so that a stage that was done before its kill came has to be done again, up to a result: Snakemake
# makes nothing anew that only finished results need.
CHAIN = {
    "fetch": "raw/digits/source.json",
    "shard": "shards/digits/*/manifest.json",
    "trunk": "out/trunks/*/*/seed1/*/checkpoint.pt",
    "pretrain": f"{RUN}/*.*",
    "features": f"{RUN}/features/manifest.json",
    "linear": f"{RUN}/linear/metrics.json",
    "discovery": f"{RUN}/discovery/metrics.json",
    "zero-shot": f"{RUN}/zero-shot/metrics.json",
    "retrieval": f"{RUN}/retrieval/metrics.json",
    "aggregate": "out/summary.parquet",
    "significance": "out/significance.csv",
    "report": "out/report.html",
    "mlflow_import": "out/mlflow-import.json",
}
MOST_SESSIONS, PATIENCE = 40, 60.0


@dataclass
class Kills:
    """What is to be killed, and what was.

    Attributes:
        lasts: seconds that a command of each stage takes.
        left: victims still to come, by stage.
        done: (stage, victim, seconds after its start).
        ends: seconds until nothing of a killed Snakemake was left.
    """

    lasts: dict[str, float]
    left: dict[str, list[str]] = field(
        default_factory=lambda: {stage: list(victims) for stage, victims in PLAN.items()}
    )
    done: list[tuple[str, str, float]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    draw: random.Random = field(default_factory=lambda: random.Random(SEED))

    def plan(self, job: Job) -> tuple[str, float] | None:
        """Victim and delay of this job's kill, taken from what is left of its stage."""
        victims = self.left.get(job.stage)
        if not victims or ("encoder" in victims[:1] and "digits" not in job.command):
            return None
        victim = victims.pop(0)
        # Encoders live for a short while that begins when it does.
        return victim, 0.0 if victim == "encoder" else self.draw.uniform(0.05, 0.85) * self.lasts[job.stage]

    def escaped(self, job: Job, victim: str) -> None:
        """A job was done before its kill came: commands are quicker now than they were."""
        self.left[job.stage].insert(0, victim)
        self.lasts[job.stage] = min(self.lasts[job.stage], time.monotonic() - job.since)


def run(session: Session, kills: Kills) -> int | None:
    """Let a session work and kill what is due; its exit code, None where it was itself killed."""
    waiting: list[tuple[Job, str, float]] = []
    hit = False
    while session.running and not hit:
        for job in session.new_jobs():
            if planned := kills.plan(job):
                waiting.append((job, *planned))
        for entry in list(waiting):
            job, victim, delay = entry
            age = time.monotonic() - job.since
            if not job.running:
                waiting.remove(entry)
                kills.escaped(job, victim)
            elif age >= delay and session.kill(victim, job):
                waiting.remove(entry)
                kills.done.append((job.stage, victim, age))
                hit = victim == "snakemake"
        time.sleep(0.02)
    for job, victim, _ in waiting:
        kills.left[job.stage].insert(0, victim)
    code = session.process.wait()
    return None if hit else code


def again(folder: Path, kills: Kills) -> None:
    """See to it that each stage that is still to be killed has something to do."""
    stages = list(CHAIN)
    wanted = [stage for stage in stages if kills.left[stage]]
    early = stages[stages.index(wanted[0]) : stages.index("linear") + 1]
    for stage in dict.fromkeys([*early, *wanted]):
        for path in folder.glob(CHAIN[stage]):
            path.unlink()


def until_gone(session: Session) -> float:
    """Seconds until no process of a session is left."""
    start = time.monotonic()
    while left := marked(session.name):
        assert time.monotonic() - start < PATIENCE, (
            f"processes {left} outlive their snakemake:\n{session.output[-2000:]}"
        )
        time.sleep(0.1)
    return time.monotonic() - start


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two folders with the same data and config."""
    first = tmp_path_factory.mktemp("undisturbed")
    for split, samples, seed in (("train", 96, 1), ("test", 40, 2)):
        write_captioned(first / "captioned", samples, split, seed)
    (first / "config.yaml").write_text(yaml.safe_dump(config(Path("captioned"))), encoding="utf-8")
    second = tmp_path_factory.mktemp("killed")
    yield first, shutil.copytree(first, second, dirs_exist_ok=True)


def undisturbed(folder: Path) -> dict[str, float]:
    """Run the benchmark; seconds that the shortest command of each stage takes.

    A second call meanwhile is refused.
    """
    session, running = Session(folder, "undisturbed"), dict[int, Job]()
    lasts: dict[str, list[float]] = defaultdict(list)
    other: Session | None = None
    while session.running:
        running |= {job.python: job for job in session.new_jobs()}
        if other is None and running:
            other = Session(folder, "refused")
        for job in [job for job in running.values() if not job.running]:
            lasts[job.stage].append(time.monotonic() - running.pop(job.python).since)
        time.sleep(0.02)
    assert session.process.returncode == 0, session.output[-6000:]
    assert other is not None and other.process.wait() == 2
    (line,) = [line for line in other.output.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: out: another snakemake (process {session.process.pid} on ")
    return {stage: min(seconds) for stage, seconds in lasts.items()}


def test_killed_anywhere_the_same_command_again_gives_the_same_results(prepared: tuple[Path, Path]) -> None:
    first, second = prepared
    kills, sessions = Kills(undisturbed(first)), list[Session]()
    assert kills.lasts.keys() >= PLAN.keys()
    try:
        while any(kills.left.values()):
            assert len(sessions) < MOST_SESSIONS, f"{len(kills.done)} kills in {len(sessions)} calls: {kills.left}"
            sessions.append(Session(second, str(len(sessions))))
            code = run(sessions[-1], kills)
            if code is None:
                kills.ends.append(until_gone(sessions[-1]))
            elif code == 0 and any(kills.left.values()):
                again(second, kills)
        sessions.append(last := Session(second, str(len(sessions))))
        assert last.process.wait() == 0, last.output[-6000:]
        assert all(until_gone(session) < PATIENCE for session in sessions)
    finally:
        for session in sessions:
            session.end()
        print(
            f"{len(kills.done)} kills in {len(sessions)} calls; nothing left {max(kills.ends, default=0):.1f} s later"
        )
        for stage, victim, delay in kills.done:
            print(f"  {stage:14s} {victim:10s} after {delay:.2f} s of {kills.lasts[stage]:.2f} s")
    assert len(kills.done) == sum(map(len, PLAN.values())) >= 30
    for session in sessions:
        assert "Traceback" not in session.output, session.output[-6000:]
    assert list(differences(first, second)) == []
    leftovers = [path for path in (second / "out").rglob("*") if path.name.endswith(".part") or "resume-" in path.name]
    assert leftovers == []
