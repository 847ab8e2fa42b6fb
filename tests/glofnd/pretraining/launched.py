"""Two ranks of a tiny run, started by the launcher."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.glofnd.pretraining.tiny_run import make_config

ROOT = Path(__file__).parents[3]
LAUNCH = [sys.executable, "-m", "glofnd.pretraining.launch"]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


class Launched:
    """Two ranks of a run that saves every second, under way."""

    def __init__(self, shards, out, *options, **more):
        config = json.dumps(make_config("sogclr", "location-scale", epochs=12, start_filter=1))
        arguments = ["--run-config", config, "--shards", str(shards), "--out", str(out), "--checkpoint-seconds", "0.2"]
        self.out, self.command = out, [*LAUNCH, *options, "--processes", "2", "--", *arguments]
        self.process = subprocess.Popen(self.command, env=environment(**more), stderr=subprocess.PIPE, text=True)

    def under_way(self):
        while not list(self.out.glob("resume-*.pt")):
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)
        return self

    def ranks(self):
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(number) for path in lists for number in path.read_text().split()]

    def ended(self):
        """Exit code and messages; it must end within minutes."""
        _, messages = self.process.communicate(timeout=180)
        return self.process.returncode, messages
