"""Train one run on several processes and nodes.

    python -m glofnd.pretraining.launch --nodes 1 --processes 4 -- <options of python -m glofnd.pretraining>

starts four processes here, one per GPU where there are any, as `torchrun --standalone` does. With more nodes it must be
called once, inside a SLURM allocation of that many nodes, and starts itself on each of them by `srun`. Without SLURM,
call it on every node with the same `--rendezvous HOST:PORT`, HOST being one of the nodes.

The global batch, and so the result but for rounding, does not depend on the number of processes. All ranks' messages
reach stderr. SIGTERM, SIGUSR1 and SIGINT are handed on to the ranks, which write a checkpoint together. If a rank dies,
the others are ended. Exit codes are those of `python -m glofnd.pretraining`: 75 for what has stopped on request and may
simply be run again, 2 for bad input, and 1 for anything else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from glofnd.command_line import Parser, at_least_one
from glofnd.lifetime import end_with_caller
from glofnd.pretraining.preemption import EXIT_CODE, SIGNALS
from glofnd.pretraining.team import LOST_RANK

__all__ = ["launch", "verdict"]

_BAD_INPUT = 2

# Seconds that a stopped rank has left once another of its node has ended.
_GRACE = 5


def _children() -> list[int]:
    """Processes started by this one (where the system tells)."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            found += [int(number) for number in path.read_text().split()]
    return found


def _hand_on(number: int, frame: FrameType | None) -> None:
    children = _children()
    if not children:
        raise SystemExit(EXIT_CODE)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def _end_frozen() -> None:
    """Kill ranks of this node that are stopped (SIGSTOP) when another has ended.

    torchrun asks them to end, which they cannot hear, and waits for half a minute before it kills them.
    """
    most, since = 0, time.monotonic()
    while True:
        time.sleep(0.5)
        children = _children()
        most = max(most, len(children))
        if len(children) == most:
            since = time.monotonic()
        elif time.monotonic() - since > _GRACE:
            for child in children:
                # Gone meanwhile, or not ours to look at.
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].startswith("T"):
                        os.kill(child, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def _srun(nodes: int, processes: int, threads: int, arguments: Sequence[str]) -> int:
    """Call this module on every node of the SLURM allocation and wait; the exit code."""
    if "SLURM_JOB_ID" not in os.environ:
        raise ValueError(
            f"--nodes {nodes}: there is no SLURM allocation; call this on every node with --rendezvous HOST:PORT"
        )
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    command += [f"--cpus-per-task={processes * threads}", sys.executable, "-m", "glofnd.pretraining.launch"]
    command += [f"--nodes={nodes}", f"--processes={processes}", f"--threads={threads}"]
    command += [f"--rendezvous={socket.gethostname()}:{_free_port()}", "--", *arguments]
    try:
        return subprocess.run(command, check=False).returncode
    except FileNotFoundError:
        raise ValueError("srun: not found; inside a container it must be bound into the image") from None


def _agent(nodes: int, processes: int, rendezvous: str, arguments: Sequence[str]) -> int:
    """Start this node's processes and wait for them; the exit code."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # torchrun's own report of failed processes only repeats what they have said.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=processes,
        run_id=os.environ.get("SLURM_JOB_ID", "pretraining"),
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",
        local_addr=None if rendezvous else "localhost",
        max_restarts=0,
        # Signals are handed on by this module: the ranks need as long as their checkpoint takes.
        signals_to_handle="SIGHUP",
    )
    threading.Thread(target=_end_frozen, daemon=True).start()
    try:
        elastic_launch(config, sys.executable)("-m", "glofnd.pretraining", *arguments)
    except ChildFailedError as failed:
        code, message = verdict({rank: failure.exitcode for rank, failure in failed.failures.items()})
        if message:
            print(f"error: {message}", file=sys.stderr)
        return code
    return 0


def verdict(codes: dict[int, int]) -> tuple[int, str]:
    """What failed ranks mean for the run.

    Args:
        codes: rank -> exit code, negative where a signal ended it. What a rank suffered because another had failed, or
            because it was asked to stop, is not the cause.

    Returns:
        Exit code of the run, and what is to be said, which is nothing where the ranks have said it.
    """
    on_request = {EXIT_CODE, *(-number for number in SIGNALS)}
    causes = {rank: code for rank, code in sorted(codes.items()) if code not in on_request | {LOST_RANK}}
    if not causes:
        return (1, "") if LOST_RANK in codes.values() else (EXIT_CODE, "")
    if _BAD_INPUT in causes.values():
        return _BAD_INPUT, ""
    rank, code = min(causes.items(), key=lambda cause: cause[1])
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return 1, f"rank {rank} ended with {how}; the other ranks were stopped"


def launch(nodes: int, processes: int, threads: int, rendezvous: str, arguments: Sequence[str]) -> int:
    """Train one run on `nodes` times `processes` processes.

    Args:
        nodes: how many nodes.
        processes: how many on each.
        threads: CPU threads of each.
        rendezvous: HOST:PORT where all nodes meet; empty on a single node, and for SLURM to start the nodes.
        arguments: options of `python -m glofnd.pretraining`.

    Returns:
        The exit code.

    Raises:
        ValueError: several nodes, and neither SLURM nor a place to meet.
    """
    for number in SIGNALS:
        signal.signal(number, _hand_on)
    arguments = [*arguments, f"--threads={threads}"]
    if nodes > 1 and not rendezvous:
        return _srun(nodes, processes, threads, arguments)
    return _agent(nodes, processes, rendezvous, arguments)


def main() -> None:
    """Parse the command line and launch."""
    parser = Parser(prog="python -m glofnd.pretraining.launch", description="Pretrain on many ranks.")
    parser.add_argument("--nodes", type=at_least_one, default=1, help="number of nodes")
    parser.add_argument(
        "--processes", type=at_least_one, default=1, help="processes per node, one per GPU where there are any"
    )
    parser.add_argument("--threads", type=at_least_one, default=1, help="CPU threads of each process")
    parser.add_argument("--rendezvous", default="", help="HOST:PORT where the nodes meet, without SLURM")
    parser.add_argument("arguments", nargs="+", metavar="-- ...", help="options of python -m glofnd.pretraining")
    given = parser.parse_args()
    end_with_caller()
    try:
        code = launch(given.nodes, given.processes, given.threads, given.rendezvous, given.arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        code = _BAD_INPUT
    raise SystemExit(code)


if __name__ == "__main__":
    main()
