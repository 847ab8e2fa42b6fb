"""check.py itself, on the CPU: all of it holds there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

CHECK = [sys.executable, str(Path(__file__).with_name("check.py"))]


@pytest.mark.slow
def test_the_check_of_gpus_on_a_cpu():
    done = subprocess.run([*CHECK, "--cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = subprocess.run(CHECK, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "no GPU" in done.stdout
