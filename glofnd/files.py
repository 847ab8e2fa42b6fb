"""Atomic files and checksums, so that no reader ever meets a half-written file; errors of writing name the file."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "atomic_open",
    "blame_storage",
    "making_sense",
    "read_json",
    "sha256",
    "verify_zip",
    "write_json",
]

_STORAGE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENODEV}
)


def blame_storage(error: BaseException, path: str | os.PathLike[str]) -> None:
    """Raise an error of the place that is written to (full, read-only, not allowed) as one of `path`; pass all others.

    Whoever fetches would otherwise try again, or blame what was fetched.
    """
    if isinstance(error, OSError) and error.errno in _STORAGE:
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error


@contextmanager
def _instead_of_temporary(target: Path) -> Iterator[None]:
    """An error of the temporary file or its folder is one of `target`."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


class _Target(io.FileIO):
    """Keeps the first error of writing; some libraries put one of their own, without the reason, in its place."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "w")
        self.path = path
        self.failure: OSError | None = None

    def fileno(self) -> int:
        """There is none to be had: numpy would write past `write`, and cannot say why that failed."""
        raise io.UnsupportedOperation("fileno")

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or OSError(error.errno, error.strerror, str(self.path))
            raise self.failure from None


@contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; fsync and rename it over `path` on success, remove it on failure.

    Args:
        path: file to write.
        mode: `wb` for bytes, `w` for UTF-8 text.

    Raises:
        OSError: naming `path`, whatever a library that wrote into the file made of it.
    """
    target = Path(path)
    with _instead_of_temporary(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    raw = _Target(descriptor, target)
    handle: IO[Any] = io.BufferedWriter(raw) if "b" in mode else io.TextIOWrapper(io.BufferedWriter(raw), "utf-8")
    try:
        with handle:
            yield handle
            handle.flush()
            with _instead_of_temporary(target):
                os.fsync(descriptor)
        umask = os.umask(0)
        os.umask(umask)
        with _instead_of_temporary(target):
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(target)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if raw.failure is not None and error is not raw.failure:
            raise raw.failure from error
        raise


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. NaN and infinity are refused, since JSON has neither."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_open(path, "w") as handle:
        handle.write(text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; an unreadable one raises `ValueError` naming the file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # besides no JSON: no UTF-8, thousands of digits, nested too deep
        raise ValueError(f"{path}: not valid JSON ({error}); delete it and run again") from error


@contextmanager
def making_sense(path: str | os.PathLike[str], advice: str = "delete it and run again") -> Iterator[None]:
    """For what is done with the content of a file: where it has another form, a `ValueError` names the file.

    Args:
        path: the file that was read.
        advice: what to do about it.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else f"{error}"
        raise ValueError(f"{path}: not in the form that it was written in ({why}); {advice}") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def verify_zip(handle: IO[bytes]) -> None:
    """Compare all parts of a zip archive (.npz, what torch writes) with their CRC-32, and rewind the file.

    Raises:
        ValueError: what is wrong, without the file's name.
        OSError: naming the file, where it could not be read; it may well be whole.
    """
    try:
        with zipfile.ZipFile(handle) as archive:
            part = archive.testzip()
    except MemoryError:
        raise
    except OSError as error:
        # Damage leads to places before the start of the file.
        if error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, handle.name) from error
        raise ValueError(f"no whole zip archive: {error}") from error
    # A damaged archive fails in as many ways as there are bytes.
    except Exception as error:
        raise ValueError(f"no whole zip archive: {error or type(error).__name__}") from error
    if part is not None:
        raise ValueError(f"{part} does not match its checksum")
    handle.seek(0)
