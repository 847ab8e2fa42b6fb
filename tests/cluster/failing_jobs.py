"""Stands in for `python` on PATH: a training does what its label says, and succeeds in its second attempt."""

import os
import signal
import sys
import time
from pathlib import Path

# A job that nothing ends must not outlive the tests.
LONGEST = 600


def run_until_told(out: Path) -> None:
    """Wait for a signal, then leave a resume file; with one, there is nothing left to do."""
    if (out / "resume-1.pt").exists():
        return
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    (out / "started").touch()
    start = time.monotonic()
    while not told and time.monotonic() - start < LONGEST:
        time.sleep(0.1)
    (out / "resume-1.pt").touch()
    sys.exit(75)


def main() -> None:
    out = Path("out/runs", sys.argv[sys.argv.index("--run") + 1])
    out.mkdir(parents=True, exist_ok=True)
    label, attempts = out.parent.name, out / "attempts"
    first = not attempts.exists()
    with attempts.open("a") as file:
        file.write(f"{os.environ['SLURM_JOB_ID']}\n")
    if label == "memory" and first:
        taken = bytearray(800 << 20)
        time.sleep(60)
        del taken
    elif label == "time" and first:
        time.sleep(LONGEST)
    elif label in ("preempted", "waiting"):
        run_until_told(out)
    for name in ("checkpoint.pt", "history.json", "metrics.json"):
        (out / name).write_text("{}")


if __name__ == "__main__":
    main()
