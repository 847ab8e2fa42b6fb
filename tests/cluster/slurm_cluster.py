"""A SLURM cluster of two nodes on this machine: the real daemons of Debian's slurm-wlm and munge, pretended GPUs.

It needs root, and /etc/slurm: SLURM's own commands look there when a job has no other hint. There are no cgroups and
no accounting database.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SETTINGS = Path("/etc/slurm")
MARK = "# Made by a test of glofnd, and removed after it."
PROGRAMS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "squeue": "slurm-wlm"}
NODES = ("n1", "n2")

# Jobs of partition `left` have n1 alone, so that tests can disturb n2 without them.
CONFIG = """{mark}
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=10
SlurmdTimeout=10
InactiveLimit=0
MinJobAge=3600
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=16000 Gres=gpu:4
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=16000 Gres=gpu:4
PartitionName=both Nodes=n1,n2 Default=YES MaxTime=60 State=UP
PartitionName=left Nodes=n1 MaxTime=60 State=UP
"""


def missing() -> list[str]:
    """What keeps a cluster from being started here."""
    found = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=_path())})
    if os.geteuid() != 0:
        found.append("root")
    config = SETTINGS / "slurm.conf"
    if config.exists() and MARK not in config.read_text(encoding="utf-8"):
        found.append(f"a machine that is in no cluster yet ({config} exists)")
    return found


# For whatever is waited for: on two idle cores it takes seconds.
PATIENCE = 900


def wait_until(done: Callable[[], object], what: str) -> None:
    """Look every 0.1 s until it is so."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"after {PATIENCE} s there is still not: {what}"
        time.sleep(0.1)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Cluster:
    """Munge, slurmctld and one slurmd per node, started by `start` and ended by `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"glofnd-{os.getpid()}"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Write the configuration, start every daemon, wait until both nodes take jobs."""
        host = socket.gethostname().split(".")[0]
        SETTINGS.mkdir(exist_ok=True)
        text = CONFIG.format(mark=MARK, name=self.name, host=host, folder=self.folder, ports=_free_ports(3))
        (SETTINGS / "slurm.conf").write_text(text, encoding="utf-8")
        (SETTINGS / "gres.conf").write_text(
            f"{MARK}\nName=gpu File=/dev/null,/dev/zero,/dev/full,/dev/random\n", encoding="utf-8"
        )
        # munged refuses folders that others can write to, and keys that others can read.
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)
        files = {"socket": "sock", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._run(
            "munged", "munged", "-F", "--force", *(f"--{key}={self.folder}/munge.{end}" for key, end in files.items())
        )
        wait_until((self.folder / "munge.sock").exists, "a socket of munged")
        self._run("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)

    def start_node(self, node: str) -> None:
        """Start a node's daemon, the first time or after `crash`, and wait until it takes jobs."""
        self._run(node, "slurmd", "-D", "-N", node)
        wait_until(lambda: self._state(node) == "idle", f"idle {node}")

    def crash(self, node: str) -> None:
        """End everything on a node without a warning, as a power cut does."""
        self._daemons[node].kill()
        self._daemons[node].wait()
        self._kill("SLURMD_NODENAME", node)

    def jobs(self) -> list[dict[str, str]]:
        """Every job that SLURM still knows, finished ones too, as `id`, `comment`, `state`, `partition`, ..."""
        fields = {"id": "%i", "name": "%j", "comment": "%k", "state": "%T", "partition": "%P", "memory": "%m"}
        fields |= {"time": "%l", "cpus": "%C", "node": "%N"}
        lines = self.command("squeue", "--noheader", "--states=all", "--format", "|".join(fields.values())).splitlines()
        return sorted(
            (dict(zip(fields, line.split("|"), strict=True)) for line in lines), key=lambda job: int(job["id"])
        )

    def of(self, comment: str) -> list[dict[str, str]]:
        """The jobs that have this text in their comment."""
        return [job for job in self.jobs() if comment in job["comment"]]

    def active(self, comment: str) -> list[str]:
        """Ids of those that run."""
        return [job["id"] for job in self.of(comment) if job["state"] == "RUNNING"]

    def command(self, *command: str) -> str:
        """Standard output of one of SLURM's commands."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Cancel all jobs, end all daemons, leave nothing behind."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.command("scancel", "--user=root")
            wait_until(lambda: not self.command("squeue", "--noheader"), "an empty queue")
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._kill("SLURM_CLUSTER_NAME", self.name)
        for name in ("slurm.conf", "gres.conf"):
            (SETTINGS / name).unlink(missing_ok=True)

    def _run(self, name: str, *command: str) -> None:
        # Should the tests be killed, the daemons go with them.
        with (self.folder / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env={**os.environ, "PATH": _path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _state(self, node: str) -> str:
        done = subprocess.run(
            ["sinfo", "--noheader", "-n", node, "-p", "both", "-o", "%t"], capture_output=True, text=True
        )
        return done.stdout.strip()

    def _kill(self, variable: str, value: str) -> None:
        """Kill the processes of jobs with that in their environment, and before them the daemon of their step."""
        tasks = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(variable) == value:
                    tasks.append(process)
        for task in tasks:
            with contextlib.suppress(psutil.Error):
                parent = task.parent()
                if parent and parent.name().startswith("slurmstepd"):
                    parent.kill()
        for task in tasks:
            with contextlib.suppress(psutil.Error):
                task.kill()
