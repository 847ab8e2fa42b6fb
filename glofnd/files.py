"""Atomic files and checksums, so that no reader ever meets a half-written file; errors of writing name the file."""

from __future__ import annotations

import errno
import glob
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

__all__ = ["atomic_open", "making_sense", "read_json", "sha256", "verify_zip", "write_json"]


class _Recorder(io.FileIO):
    """Keeps the first error of writing; some libraries put one of their own, without the reason, in its place."""

    failure: OSError | None = None

    def fileno(self) -> int:
        """There is none to be had: numpy would write past `write`, and cannot say why that failed."""
        raise io.UnsupportedOperation("fileno")

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise


@contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; fsync and rename it over `path` on success, remove it on failure.

    What killed writers of the same file have left behind is removed, so one file has one writer at a time.

    Args:
        path: file to write.
        mode: `wb` for bytes, `w` for UTF-8 text.

    Raises:
        OSError: naming `path`, whatever a library that wrote into the file made of it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????.part"):
        left.unlink(missing_ok=True)
    raw, name = None, ""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        raw = _Recorder(descriptor, "w")
        buffer = io.BufferedWriter(raw)
        with buffer if "b" in mode else io.TextIOWrapper(buffer, "utf-8") as handle:
            yield handle
            handle.flush()
            os.fsync(descriptor)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(target)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        cause = (raw and raw.failure) or error
        if isinstance(cause, OSError) and cause.errno and str(cause.filename or ".part").endswith(".part"):
            raise OSError(cause.errno, cause.strerror, str(target)) from error
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
