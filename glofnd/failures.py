"""What a command says when it cannot go on: one line that names the file or what was short, and exit code 2."""

from __future__ import annotations

import errno
import sys
from concurrent.futures import BrokenExecutor

__all__ = ["explain", "out_of_memory", "report"]

_STORAGE = {
    errno.ENOSPC: "no space left on device; free some, then run the same command again",
    errno.EDQUOT: "disk quota exceeded; free some space, then run the same command again",
    errno.EFBIG: "larger than a file may be here (ulimit -f)",
    errno.EROFS: "read-only file system; make it writable or choose another folder",
    errno.EACCES: "permission denied; change its owner or mode, or choose another folder",
    errno.EPERM: "operation not permitted; change its owner or mode, or choose another folder",
    errno.EIO: "input/output error; the disk or the network file system is at fault (see dmesg)",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose shorter paths or names",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
}

# What PyTorch's and BLAS's plain RuntimeErrors say when an allocation on the CPU fails.
_ALLOCATION = (
    "can't allocate memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "out of memory",
    "not enough memory",
)


def _gpu_is_full(error: BaseException) -> bool:
    # By name, because whoever has this error has torch, and nobody else should load it.
    return any(kind.__name__ == "OutOfMemoryError" and kind.__module__ == "torch" for kind in type(error).__mro__)


def out_of_memory(error: BaseException) -> str | None:
    """What was short, if it was memory; torch and others say so by errors of many types."""
    text = " ".join(str(error).split())
    if _gpu_is_full(error):
        return f"out of GPU memory ({text.split('. ')[0]})"
    if isinstance(error, BrokenExecutor):
        return "a helper process was killed, most likely for lack of memory"
    failed = isinstance(error, RuntimeError) and any(words in text for words in _ALLOCATION)
    if isinstance(error, MemoryError) or failed or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        detail = text.rsplit("DefaultCPUAllocator: ", 1)[-1].split(". Error code")[0]
        return f"out of memory{f' ({detail})' if detail else ''}"
    return None


def explain(error: BaseException, more_memory: str = "give it more") -> str | None:
    """The text for an error that the user can do something about; `None` for a defect of the program.

    Args:
        error: what was raised.
        more_memory: how the command gets more memory.
    """
    if short := out_of_memory(error):
        return f"{short}; {more_memory}"
    if isinstance(error, OSError) and error.errno is not None:
        why = _STORAGE.get(error.errno, error.strerror)
        return f"{error.filename}: {why}" if error.filename is not None else str(why)
    return str(error) if isinstance(error, (ValueError, OSError)) else None


def report(error: Exception, more_memory: str = "give it more") -> int:
    """Say on stderr what an error means, in one line; returns exit code 2. What has no explanation is raised again.

    Args:
        error: what was raised.
        more_memory: how the command gets more memory.
    """
    text = explain(error, more_memory)
    if text is None:
        raise error
    print(f"error: {text}", file=sys.stderr)
    return 2
