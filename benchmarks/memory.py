"""Memory that one forward + backward needs on top of the embeddings, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["peak_extra_memory"]


def peak_extra_memory(batch: int, dim: int) -> dict[str, float]:
    """Peak resident memory of a SogCLR+GloFND step beyond what is held before it, in MB."""
    command = [sys.executable, str(Path(__file__).resolve()), str(batch), str(dim)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    columns = 2 * batch
    return {"batch": batch, "dim": dim, "extra_mb": float(done.stdout), "all_pairs_mb": columns * columns * 4 / 1e6}


def _measure(batch: int, dim: int) -> float:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import torch

    from glofnd import GloFND, SogCLR

    torch.set_num_threads(1)

    def step(z: list[torch.Tensor]) -> None:
        size = len(z[0])
        SogCLR(size, detector=GloFND(size))(*z, torch.arange(size), epoch=0).backward()

    step([torch.randn(8, dim, requires_grad=True) for _ in range(2)])
    z = [torch.randn(batch, dim, requires_grad=True) for _ in range(2)]
    before = _memory("VmRSS")
    step(z)
    return (_memory("VmHWM") - before) / 1e6


def _memory(field: str) -> int:
    """Bytes of this process, as the Linux kernel counts them: VmRSS now, VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(_measure(int(sys.argv[1]), int(sys.argv[2])))
