"""Snakemake at work, seen through /proc: which rule's command runs, and whom a kill can hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "GLOFND_TEST_SESSION"


def marked(session: str) -> list[int]:
    """Processes that a session has started, directly or not."""
    wanted, found = f"{MARK}={session}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found


def children(process: int) -> list[int]:
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(number) for text in lists for number in text.split()]


def words(process: int) -> list[str]:
    """Its command line."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def stage_of(command: list[str]) -> str | None:
    """The rule that a command belongs to, or the evaluation where there are several."""
    if command[1:2] != ["-m"]:
        return None
    module = command[2]
    if module == "glofnd.pretraining":
        return "trunk" if "--until-epoch" in command else "pretrain"
    if module in ("glofnd.data", "evaluation"):
        return command[3]
    return module.removeprefix("workflow.scripts.") if module.startswith("workflow.scripts.") else None


@dataclass
class Job:
    """One command of a rule."""

    stage: str
    shell: int
    python: int
    command: list[str]
    since: float = field(default_factory=time.monotonic)

    @property
    def encoders(self) -> list[int]:
        """Processes that encode pictures for it."""
        return [child for child in children(self.python) if "spawn_main" in " ".join(words(child))]

    @property
    def running(self) -> bool:
        return bool(words(self.python))


class Session:
    """One call of Snakemake in `folder`, whose processes carry the mark `name`.

    Args:
        folder: has config.yaml, which is laid over the smoke preset.
        name: of its mark and its log.
        cores: jobs at once.
        first_on_path: folder of commands that stand in for others.
        changes: of the environment.
    """

    def __init__(
        self, folder: Path, name: str, cores: int = 2, first_on_path: Path | None = None, **changes: str
    ) -> None:
        self.folder, self.name = folder, name
        self.log = folder / f"session-{name}.log"
        command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(folder), "--cores", str(cores)]
        command += ["--workflow-profile", str(ROOT / "profiles/default")]
        command += ["--configfile", str(ROOT / "configs/smoke.yaml"), str(folder / "config.yaml")]
        places = [str(first_on_path)] if first_on_path else []
        path = os.pathsep.join([*places, str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, MARK: name, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), **changes}
        self.jobs: dict[int, Job] = {}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def new_jobs(self) -> Iterator[Job]:
        """Commands that have appeared since the last look."""
        for shell in children(self.process.pid):
            for python in children(shell):
                command = words(python)
                stage = stage_of(command) if python not in self.jobs else None
                if stage is not None:
                    self.jobs[python] = Job(stage, shell, python, command)
                    yield self.jobs[python]

    def kill(self, victim: str, job: Job) -> bool:
        """Kill -9 one of those around a job; False where it is not there (any more)."""
        if not job.running or not self.running:
            return False
        if victim == "encoder":
            victims = job.encoders[:1]
        else:
            victims = [{"snakemake": self.process.pid, "shell": job.shell, "python": job.python}[victim]]
        for process in victims:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                return False
        return bool(victims)

    def end(self) -> None:
        """Let nothing of it go on after a test."""
        for process in marked(self.name):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
