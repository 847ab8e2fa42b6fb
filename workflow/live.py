"""Logs trainings to MLflow while they run. Snakemake's main process starts one of these beside itself.

    python -m workflow.live results/benchmark.json [--system]

It follows the history.json that a training writes after each epoch. So no training knows of MLflow or waits for it,
and the nodes of a cluster need no network. What cannot be logged while the store is out of reach is logged later, here
or by the import at the end (`workflow.tracking`).
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from glofnd.files import read_json
from workflow.grid import Grid, Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECONDS = 5
"""Between two looks at the files."""


def _stamp(history: Path) -> tuple[int | None, bool]:
    """Changes with every epoch, and when the training has ended or failed."""
    try:
        return history.stat().st_mtime_ns, history.with_name("checkpoint.pt").exists()
    except OSError:
        return None, False


class Follower:
    """Logs what changes from when it is made, which is before MLflow is imported: that takes seconds.

    Args:
        grid: of the resolved config.
        system: whether trainings run on this machine, and its load is logged, too.
    """

    def __init__(self, grid: Grid, system: bool) -> None:
        self.grid, self.system = grid, system
        self.runs = dict[Path, Run]()
        for run in grid.runs.values():
            trunk = grid.start_of_run(run)
            while trunk is not None:
                # Many runs go on from it; the first of them shows it meanwhile.
                self.runs.setdefault(Path(grid.trunk_folder(trunk)) / "history.json", run)
                trunk = grid.start_of_trunk(trunk)
        self.runs |= {Path(grid.run_folder(run)) / "history.json": run for run in grid.runs.values()}
        self.seen = {history: _stamp(history) for history in self.runs}
        self.keys, self.status = dict[Path, str](), dict[str, str]()
        self.monitors = dict[str, Thread]()
        self.client: MlflowClient | None = None

    def look(self) -> None:
        """Log what has changed; raises `OSError` where the store cannot be reached."""
        from workflow.tracking import alone, explained, reached, store_of

        store = store_of(self.grid.config)
        now = {history: _stamp(history) for history in self.runs}
        if changed := [history for history in self.runs if now[history] != self.seen[history]]:
            with alone(self.grid.config), explained(store):
                self.client = self.client or reached(store)
                for history in changed:
                    self._follow_up(self.client, history, *now[history])
                    self.seen[history] = now[history]
        if self.system:
            self._watch_system(store)

    def _follow_up(self, client: MlflowClient, history: Path, written: int | None, ended: bool) -> None:
        run = self.runs[history]
        if written:
            logged = self._log(client, run, history, written // 10**6)
            if logged is None:
                return
            self.keys[history] = logged
            trunk = history.parent != Path(self.grid.run_folder(run))
            status = "RUNNING" if not ended else "SCHEDULED" if trunk else "FINISHED"
        else:
            status = "FAILED"  # for Snakemake has removed what the job had written
        key = self.keys.get(history)
        if key and status != self.status.get(key):
            change = client.set_terminated if status in ("FINISHED", "FAILED") else client.update_run
            change(key, status)
            self.status[key] = status

    def _log(self, client: MlflowClient, run: Run, history: Path, now: int) -> str | None:
        """Log the epochs that are missing; returns the MLflow run's id, or `None` where the import came first."""
        from workflow.tracking import HASH, PARENT, Record, epoch_metrics, known, opened, params_of, read_epochs, write

        experiment, method = opened(client, self.grid.config, run.experiment), run.id.rpartition("/")[0]
        older = known(client, experiment, run.id)
        if any(HASH in there.data.tags and there.info.end_time >= now for there in older):
            return None
        epochs, parents = read_epochs(history), known(client, experiment, method)
        start = now - round(sum(1000 * entry["seconds"] for entry in epochs))
        parent = parents[0].info.run_id if parents else write(client, experiment, Record(method, start, now), [])
        self.status.setdefault(parent, "RUNNING")
        params, metrics = params_of(self.grid.run_config(run)), [*epoch_metrics(epochs)]
        record = Record(run.id, start, now, params=params, metrics=metrics, tags={PARENT: parent})
        return write(client, experiment, record, older)

    def _watch_system(self, store: str) -> None:
        """MLflow's own logger for each run that is trained; it ends with the run, and where it meets an error."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        for key in set(self.keys.values()):
            if self.status.get(key) == "RUNNING" and not (key in self.monitors and self.monitors[key].is_alive()):
                monitor = SystemMetricsMonitor(key, resume_logging=True, tracking_uri=store)  # type: ignore[no-untyped-call]
                self.monitors[key] = Thread(target=monitor.monitor, daemon=True)
                self.monitors[key].start()

    def follow(self) -> None:
        """Look for ever; a store that cannot be reached is said once."""
        said = ""
        while True:
            try:
                self.look()
                said = ""
            except (OSError, ValueError) as error:
                if said != str(error):
                    said = str(error)
                    print(f"not logged for now: {said}", file=sys.stderr, flush=True)
            time.sleep(SECONDS)

    def close(self) -> None:
        """The last look; what is still going on then was interrupted."""
        if self.client is not None:
            from workflow.tracking import alone, explained

            with suppress(OSError, ValueError), explained("closed"):
                self.look()
                with alone(self.grid.config):
                    for key in self.status:
                        if self.client.get_run(key).info.status in ("RUNNING", "SCHEDULED"):
                            self.client.set_terminated(key, "KILLED")


def main() -> None:
    """Follow the trainings of a benchmark until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m workflow.live", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("benchmark", type=Path, help="benchmark.json of the results folder")
    parser.add_argument("--system", action="store_true", help="trainings run on this machine: log its load, too")
    given = parser.parse_args()
    follower = Follower(Grid(read_json(given.benchmark)), given.system)
    import_module("workflow.tracking")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    try:
        follower.follow()
    finally:
        follower.close()


if __name__ == "__main__":
    main()
