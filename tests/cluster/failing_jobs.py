"""Stands in for `python` on PATH: a training does what its detector's label says, other commands write their files."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

STUB_COMMANDS = Path(__file__).resolve().parents[1] / "workflow" / "stub_commands.py"
# A job that nothing ends must not outlive the tests.
LONGEST = 600


def time_limit() -> str:
    """Of this job."""
    command = ["squeue", "--noheader", "--jobs", os.environ["SLURM_JOB_ID"], "--format", "%l"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run_until_told(out: Path) -> None:
    """Count steps until a signal comes, then leave a resume file; with one, there is nothing left to do."""
    resume = out / "resume-1.pt"
    if resume.exists():
        (out / "resumed").write_text(resume.read_text())
        return
    told: list[int] = []

    def tell(number: int, frame: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, tell)
    out.mkdir(parents=True, exist_ok=True)
    (out / "started").touch()
    start = time.monotonic()
    while not told and time.monotonic() - start < LONGEST:
        time.sleep(0.1)
    resume.write_text(f"signal {told}")
    sys.exit(75)


def main() -> None:
    if sys.argv[2] == "glofnd.pretraining":
        out = Path(sys.argv[sys.argv.index("--out") + 1])
        label = out.parent.name
        if label == "memory":
            taken = bytearray(800 << 20)
            time.sleep(8)
            del taken
        elif label == "time" and time_limit() == "1:00":
            time.sleep(LONGEST)
        elif label in ("cancelled", "preempted", "waiting"):
            run_until_told(out)
    runpy.run_path(str(STUB_COMMANDS), run_name="__main__")


if __name__ == "__main__":
    main()
