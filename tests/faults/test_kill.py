"""Kill -9 of Snakemake or of a job: the same command goes on, with the results of a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from kill_comparison import results

from tests.small_benchmark import small_benchmark

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# What Snakemake says when a job of the rule starts.
MESSAGES = {"shard": "Sharding", "trunk": "Training trunk", "pretrain": "Training small", "evaluate": "Evaluating"}
# In this order each leaves the next one something to hit, though the jobs beside a killed one go on.
KILLS = [("shard", "snakemake"), ("trunk", "job"), ("pretrain", "snakemake"), ("pretrain", "job")]
KILLS += [("evaluate", "snakemake")]
PATIENCE = 900


class Session:
    """One call of Snakemake in `folder`, which has config.yaml."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / f"session-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--workflow-profile", str(ROOT / "profiles/default")]
        command += ["--configfile", str(ROOT / "configs/smoke.yaml"), str(folder / "config.yaml")]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log.open("wb") as log:
            self.process = psutil.Popen(command, cwd=folder, env={**os.environ, "PATH": path}, stdout=log, stderr=log)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        return int(self.process.wait(PATIENCE))

    def kill_at(self, rule: str, victim: str, delay: float) -> str | None:
        """Kill a job of `rule`, or Snakemake (also where the job has ended), some seconds after the job's start.

        Returns:
            Who was killed; None where the session has ended before.
        """
        start = re.compile(rf"^Job \d+: {MESSAGES[rule]}", re.MULTILINE)
        end = time.monotonic() + PATIENCE
        while not start.search(self.output):
            if self.process.poll() is not None:
                return None
            assert time.monotonic() < end, self.output[-4000:]
            time.sleep(0.05)
        time.sleep(delay)
        if self.process.poll() is not None:
            return None
        if victim == "job":
            for process in self.process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if {"-m", rule} <= set(process.cmdline()):
                        process.kill()
                        return "job"
        self.process.kill()
        return "snakemake"

    def end(self) -> None:
        if self.process.poll() is None:
            for process in [*self.process.children(recursive=True), self.process]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def test_killed_anywhere_the_same_command_gives_the_same_results(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(small_benchmark(epochs=6, filter_from=2)), encoding="utf-8")
    whole = Session(folders[0])
    assert whole.wait() == 0, whole.output[-6000:]
    draw, hits = random.Random(20250220), []
    for rule, victim in KILLS:
        session = Session(folders[1])
        try:
            hits.append(session.kill_at(rule, victim, draw.uniform(0.3, 3)))
            assert session.wait() != 0
        finally:
            session.end()
        assert "Traceback" not in session.output, session.output[-6000:]
    assert set(hits) == {"job", "snakemake"}, hits
    last = Session(folders[1])
    assert last.wait() == 0, last.output[-6000:]
    expected, found = map(results, folders)
    assert found.keys() == expected.keys()
    assert {name: (expected[name], found[name]) for name in expected if found[name] != expected[name]} == {}
