"""W processes with a gloo group, forked from one that has imported everything: that takes longer than the work."""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

ROOT = Path(__file__).parents[2]


def results_of(worker: Path, ranks: int, folder: Path) -> list[dict[str, Any]]:
    """What each rank wrote: `worker` is called with the number of ranks and a path, to which ranks add their number."""
    result = folder / "result.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(worker), str(ranks), str(result)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(f"{result}.{rank}").read_text()) for rank in range(ranks)]


def run_ranks(ranks: int, work: Callable[[int], None]) -> None:
    """Call `work(rank)` on every rank; ends the process with 1 if any of them fails."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(ranks):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    store = f"file://{Path(folder) / 'store'}"
                    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks)
                    work(rank)
                    dist.barrier()
                    dist.destroy_process_group()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            children.append(child)
        statuses = [os.waitpid(child, 0)[1] for child in children]
    if any(statuses):
        sys.exit(1)
