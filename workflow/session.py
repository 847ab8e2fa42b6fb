"""One call of Snakemake: its config, what its jobs ask for, the lock on its results, and what it says at the end."""

from __future__ import annotations

import atexit
import fcntl
import getpass
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from snakemake.logging import logger

from evaluation import EVALUATIONS
from glofnd.files import read_json, write_json
from workflow.grid import Grid
from workflow.own_files import fingerprint

__all__ = ["Session", "where_results_are"]

Config = dict[str, Any]

# MLflow's front page is about traces of language models.
_RUNS = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"


def _stop(text: str) -> NoReturn:
    """End Snakemake with plain lines instead of a traceback."""
    print(text, file=sys.stderr)
    raise SystemExit(2)


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C: jobs have it, too, and stop; what Snakemake makes of that, a shell command for each, helps nobody."""
    signal.signal(number, signal.default_int_handler)
    logger.addFilter(lambda record: False)
    print("\ninterrupted; the same command goes on", file=sys.stderr)
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _growing(least: int, most: int | None) -> Callable[[object, int], int]:
    """The k-th attempt of a job gets k times as much, within what the cluster has."""

    def of_attempt(wildcards: object, attempt: int) -> int:
        return min(attempt * least, most or attempt * least)

    return of_attempt


def _asked(given: Config) -> Config:
    """`threads` and `resources` of a rule for Snakemake, from its block of the config.

    A partition or account that the config does not name is left to the profile's `default-resources`. A job on several
    nodes starts its own processes there (`mpi`, in the words of the SLURM executor), with that many GPUs on each.
    """
    asked: Config = {key: _growing(given[key], given[f"{key}_max"]) for key in ("mem_mb", "runtime")}
    nodes = given.get("nodes", 1)
    if nodes == 1:
        asked["gpu"] = given["gpu"]
    else:
        asked |= {"nodes": nodes, "tasks": nodes, "mpi": "srun"}
        # The executor would otherwise ask for as many tasks per GPU.
        asked |= {"gres": f"gpu:{given['gpu']}", "tasks_per_gpu": 0} if given["gpu"] else {}
    asked |= {f"slurm_{key}": given[key] for key in ("partition", "account") if given[key] is not None}
    return {"threads": given.get("threads", 1), "resources": asked}


def where_results_are(config: Config) -> str:
    """The last lines of a finished benchmark; `config` is resolved."""
    results = Path(config["paths"]["results"])
    store = config["mlflow"]["tracking_uri"] or f"sqlite:///{results / 'mlflow.db'}"
    server = f"mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri {shlex.quote(store)}"
    browse = store if store.startswith("http") else f"{server}  then {_RUNS}"
    significance = f", {results / 'significance.csv'}" if config["significance"] else ""
    return (
        f"\nReport:  {(results / 'report.html').absolute()}  (open it in a browser; it needs no network)"
        f"\nTables:  {results / 'summary.csv'}{significance}"
        f"\nMLflow:  {browse}"
    )


class Session:
    """What the Snakefile asks.

    Args:
        workflow: Snakemake's.
        config: as Snakemake has merged it. Only the process that a person started checks it; a job that a cluster runs
            reads benchmark.json.
    """

    def __init__(self, workflow: Any, config: Config) -> None:
        self.workflow = workflow
        try:
            getpass.getuser()
        except (KeyError, OSError):  # a number without a name, as in a container; Snakemake asks for one
            os.environ["USER"] = f"user{os.getuid()}"
        if workflow.is_main_process:
            self.grid = Grid(self._checked(config))
        else:
            results = os.path.normpath(Path(config["paths"]["results"]).expanduser())
            self.grid = Grid(read_json(Path(results) / "benchmark.json"))
        self.resources = {rule: _asked(given) for rule, given in self.grid.config["resources"].items()}
        self._lock: IO[str] | None = None
        self._files: dict[str, str] = {}
        if workflow.is_main_process:
            signal.signal(signal.SIGINT, _interrupted)

    def _checked(self, config: Config) -> Config:
        from workflow.config import ConfigError, read_config, resolve

        problems = []
        # Snakemake has read these files already, but takes the last of two equal keys in one of them.
        for file in self.workflow.configfiles:
            try:
                read_config(Path(file))
            except (ValueError, OSError) as error:
                problems.append(str(error))
        try:
            resolved = resolve(config)
        except ConfigError as error:
            problems += error.problems
        if problems:
            _stop(str(ConfigError(problems)))
        return resolved

    # What decides that something is made again, besides the config. Only the main process remembers it.

    def own_files(self, dataset: str) -> str:
        """What identifies the user's own files that a data set is made of; looked at once."""
        block, paths = self.grid.config["datasets"][dataset], self.grid.config["paths"]
        if not self.workflow.is_main_process or not block.get("path"):
            return ""
        if dataset not in self._files:
            self._files[dataset] = fingerprint(Path(block["path"]), block.get("class_list"), paths.values())
        return self._files[dataset]

    def task_files(self, run: str) -> dict[str, str]:
        """Name -> SHA-256 of the files that the evaluations of a run read besides shards."""
        if not self.workflow.is_main_process:
            return {}
        tasks = self.grid.all_tasks(self.grid.run(run))
        made = (EVALUATIONS[name].task(**task) for name in tasks for task in tasks[name])
        return {name: digest for task in made for name, digest in task.files().items()}

    def after_the_check(self, check: Any, *made: str) -> list[str]:
        """An input that waits until all data are checked; what is there already needs no check.

        Args:
            check: Snakemake's handle of that checkpoint.
            made: what the rule makes.
        """
        if self.workflow.is_main_process and not all(Path(path).exists() for path in made):
            check.get()
        return []

    # Training

    def training_threads(self, name: str) -> int:
        """CPU threads of a run or trunk of that id, of all its processes on one node."""
        training = self.grid.config["experiments"][name.split("/")[0]]["training"]
        return self.grid.processes() * int(training["threads"])

    def training(self, job: str, name: str) -> str:
        """The command that trains a run or trunk of that id: `job`, with torchrun where processes share a training."""
        nodes, processes = self.grid.config["resources"]["pretrain"]["nodes"], self.grid.processes()
        if nodes * processes == 1:
            return job
        # Workers get the signal, and as long as their checkpoint takes. Behind `--` torchrun looks for no options.
        run = f"torchrun --nproc-per-node {processes} --shutdown-timeout 600 --signals-to-handle SIGTERM,SIGINT,SIGUSR1"
        if nodes == 1:
            return job.replace("python -m", f"{run} --standalone -m --", 1)
        # One agent on each node; they meet on the first.
        cpus = self.training_threads(name)
        # The job's only step; after a requeue SLURM can take the one of before for still there, hence --overlap.
        srun = f"srun --overlap --nodes {nodes} --ntasks {nodes} --ntasks-per-node 1"
        srun += f" --cpus-per-task {cpus} --kill-on-bad-exit=1"
        meeting = '--rdzv-backend c10d --rdzv-endpoint "$(hostname):$((20000 + SLURM_JOB_ID % 20000))"'
        return job.replace("python -m", f"{srun} {run} --nnodes {nodes} {meeting} -m --", 1)

    # Before the first job and after the last

    def start(self) -> None:
        """Before the first job: hold the results folder and write benchmark.json."""
        if not self.workflow.is_main_process:
            return
        results = Path(self.grid.results)
        try:
            results.mkdir(parents=True, exist_ok=True)
            # The kernel takes the lock back however this process ends; Snakemake's own outlives a kill.
            self._lock = (results / ".lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _stop(
                f"error: another snakemake is at work in {results}; wait for its end, or give this one other `paths:`"
            )
        except OSError as error:
            _stop(f"error: nothing was started: {results}: {error.strerror}; make it writable or name another folder")
        self._try_store()
        self._try_models()
        self._warn_of_unseen_folders()
        for job in self.workflow.dag.needrun_jobs():
            if job.rule.name == "shard" and Path(job.output[0]).exists():
                print(f"{job.output[0]} is made again: {self.workflow.dag.reason(job)}", file=sys.stderr)
        path = results / "benchmark.json"
        if not path.is_file() or read_json(path) != self.grid.config:
            write_json(path, self.grid.config)
        if self.grid.config["mlflow"]["live"] and self._trains():
            self._log_live(path)

    def _trains(self) -> bool:
        return any(job.rule.name in ("trunk", "pretrain") for job in self.workflow.dag.needrun_jobs())

    def _try_store(self) -> None:
        """Before anything is trained: the store of results that the config names answers."""
        store = self.grid.config["mlflow"]["tracking_uri"]
        if store and self._trains():
            from workflow.tracking import reached

            try:
                reached(store)
            except OSError as error:
                _stop(f"error: nothing was started: mlflow.tracking_uri: {error}")

    def _log_live(self, benchmark: Path) -> None:
        """A process that logs trainings to MLflow until this one ends, in time that trainings leave."""
        log = benchmark.with_name("logs") / "mlflow-live.log"
        log.parent.mkdir(exist_ok=True)
        command = ["nice", "-n", "19", "setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "workflow.live"]
        command += [str(benchmark), *(["--system"] if self.workflow.local_exec else [])]
        path = os.pathsep.join([str(self.workflow.basedir), *filter(None, [os.environ.get("PYTHONPATH")])])
        with log.open("w") as said:
            # A group of its own has no part in Ctrl-C.
            process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                process_group=0,
            )
        atexit.register(_end, process)

    def _try_models(self) -> None:
        """Before anything is trained: the user's models can be had, are what the config says, and take a picture."""
        from glofnd.encoders.frozen import first_model, tried

        tries: dict[str, tuple[str, Callable[[], object]]] = {}
        for job in self.workflow.dag.needrun_jobs():
            name = job.wildcards.get("run") or job.wildcards.get("trunk") or ""
            if job.rule.name == "evaluate" and (block := self.grid.user_model(run := self.grid.run(name))):
                texts = any("unimodal" not in EVALUATIONS[n].modalities for n in self.grid.evaluations(run))
                tries[name] = f"{run.experiment}.models.{run.detector}", partial(tried, texts, **block)
            elif job.rule.name in ("trunk", "pretrain"):
                experiment = name.split("/")[0]
                start = {"seed": 0, **self.grid.config["experiments"][experiment]}
                if start["init_from"]:
                    tries[experiment] = f"{experiment}.init_from", partial(first_model, start)
        problems = []
        for key, attempt in tries.values():
            try:
                attempt()
            except Exception as error:  # a model of the user's can raise anything
                problems.append(f"experiments.{key}: {' '.join(str(error).split())}")
        if problems:
            _stop("\n  ".join(["error: nothing was started", *dict.fromkeys(problems)]))

    def _warn_of_unseen_folders(self) -> None:
        """Where rules run in an image: it sees the working folder, and what is bound."""
        if "apptainer" not in {method.name.lower() for method in self.workflow.deployment_settings.deployment_method}:
            return
        bound = f"{self.workflow.deployment_settings.apptainer_args or ''} {os.environ.get('APPTAINER_BIND', '')} /tmp"
        for folder in (self.workflow.basedir, *self.grid.config["paths"].values()):
            place = Path(folder).resolve()
            if not place.is_relative_to(Path.cwd()) and not any(
                str(above) in bound for above in (place, *place.parents[:-1])
            ):
                print(f"warning: a container may not see {place}; export APPTAINER_BIND={place}", file=sys.stderr)
