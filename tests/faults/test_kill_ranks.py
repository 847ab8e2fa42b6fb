"""Ranks of one training end with the Snakemake that started their launcher, and have saved before."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kill_session import MARK, ROOT, marked

from tests.glofnd.pretraining.tiny_run import make_config, write_tiny

pytestmark = pytest.mark.slow

CALLING = """
import os, subprocess, sys
from glofnd.lifetime import SHELL, sign
sign(os.environ)
subprocess.run(["bash", "-c", f"export {SHELL}=$$; {sys.argv[1]} 2>&1 | cat"])
"""
PATIENCE = 120.0


@pytest.mark.parametrize("victim", ["caller", "launcher"])
def test_ranks_end_with_their_caller_and_with_their_launcher(tmp_path: Path, victim: str) -> None:
    shards, out = write_tiny(tmp_path / "shards", shards=2), tmp_path / "out"
    (tmp_path / "run.json").write_text(json.dumps(make_config("sogclr", "glofnd", epochs=100_000)))
    command = [sys.executable, "-m", "glofnd.pretraining.launch", "--processes", "2", "--", "--device", "cpu"]
    command += ["--run-config", str(tmp_path / "run.json"), "--shards", str(shards), "--out", str(out)]
    command += ["--checkpoint-seconds", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: f"ranks-{victim}"}
    caller = subprocess.Popen([sys.executable, "-c", CALLING, shlex.join(command)], env=environment)
    try:
        end = time.monotonic() + PATIENCE
        while not list(out.glob("resume-*.pt")):
            assert time.monotonic() < end and caller.poll() is None
            time.sleep(0.05)
        launchers = [
            process
            for process in marked(f"ranks-{victim}")
            if b"-m\0glofnd.pretraining.launch\0" in Path(f"/proc/{process}/cmdline").read_bytes()
        ]
        os.kill(caller.pid if victim == "caller" else launchers[0], signal.SIGKILL)
        caller.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while left := marked(f"ranks-{victim}"):
            assert time.monotonic() < end, f"{left} are left"
            time.sleep(0.05)
        assert list(out.glob("resume-*.pt")) and not (out / "checkpoint.pt").exists()
    finally:
        for process in marked(f"ranks-{victim}"):
            os.kill(process, signal.SIGKILL)
        caller.wait()
