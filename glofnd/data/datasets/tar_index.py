"""Samples in webdataset tars: found by one pass over the headers, read later by their offsets.

Nothing is extracted and no picture is read, so the pass needs memory for the texts and a few numbers per sample only.

What is wrong with one sample is noted in it. What is wrong with the tar is an error: nobody knows then how many samples
it should have had, and so which index those behind it have.
"""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from glofnd.data.bad_samples import BadSampleError
from glofnd.data.datasets.pictures import check_size

__all__ = ["PICTURES", "Member", "Members", "Sample", "member_name", "picture_bytes", "samples_of"]

PICTURES = ("jpg", "jpeg", "png", "webp")
LARGEST_TEXT = 2**20

Member = tuple[str, int, int, int]
"""Tar, and where in it a member's headers and its data begin, and its size."""


@dataclass
class Sample:
    """One sample: its picture, the contents of the members that were asked for, and what is wrong with it."""

    key: str
    where: str
    picture: tuple[int, int, int] | None = None
    texts: dict[str, bytes] = field(default_factory=dict)
    problem: BadSampleError | None = None


class Members(Sequence[Member]):
    """Pictures of many tars, 24 bytes each; item i is what `picture_bytes` reads."""

    def __init__(self) -> None:
        self._tars: list[str] = []
        self._tar, self._offset, self._headers, self._size = array("i"), array("q"), array("i"), array("q")

    def add(self, tar: Path, picture: tuple[int, int, int]) -> None:
        """Append a picture (beginning of its headers, of its data, size); those of one tar come one after another."""
        if not self._tars or self._tars[-1] != str(tar):
            self._tars.append(str(tar))
        start, offset, size = picture
        self._tar.append(len(self._tars) - 1)
        self._offset.append(offset)
        self._headers.append(offset - start)
        self._size.append(size)

    def __len__(self) -> int:
        return len(self._tar)

    def __getitem__(self, index: int) -> Member:  # type: ignore[override]  # slices have no use here
        offset = self._offset[index]
        return self._tars[self._tar[index]], offset - self._headers[index], offset, self._size[index]


def member_name(member: Member) -> str:
    """Tar and name of a member, for an error about it."""
    path, start, _, _ = member
    with Path(path).open("rb") as handle:
        handle.seek(start)
        with tarfile.open(fileobj=handle, mode="r:") as archive:
            found = archive.next()
    return f"{path}: member {found.name if found else '?'!r}"


def picture_bytes(member: Member) -> bytes:
    """The contents of a member.

    Raises:
        BadSampleError: it is too large for a picture.
        ValueError: naming the tar, when it has become shorter.
    """
    path, _, offset, size = member
    check_size(size, path)
    with Path(path).open("rb") as handle:
        handle.seek(offset)
        data = handle.read(size)
    if len(data) != size:
        raise ValueError(f"{path}: the file has become shorter since it was looked through")
    return data


def _split_name(name: str) -> tuple[str, str]:
    """webdataset's rule: the key ends at the first dot of the base name."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return f"{folder}{slash}{key}", extension.lower()


def _checked(member: tarfile.TarInfo, where: str) -> None:
    parts = PurePosixPath(member.name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{where}: an absolute name, or one with `..`, is refused")
    if not (member.isfile() or member.isdir()) or member.issparse():
        kind = "file with holes" if member.issparse() else "link or device"
        raise ValueError(f"{where}: a {kind} is refused; a sample consists of plain files")


def samples_of(path: Path, texts: Sequence[str]) -> Iterator[Sample]:
    """The samples of one tar, in its order: runs of members with one key.

    `problem` is set where a sample has no picture, two of one kind, too long a text, or comes twice.

    Args:
        path: the tar.
        texts: extensions of members to read (`txt`, `cls`, `json`); a sample may lack them.

    Raises:
        ValueError: naming tar and member, for links and names that leave the folder, and for a tar that cannot be read,
            does not end as it should, or has no samples.
    """
    seen: set[str] = set()
    current: Sample | None = None
    with path.open("rb") as handle:
        for member in _members(handle, path):
            where = f"{path}: member {member.name!r}"
            _checked(member, where)
            if member.isdir():
                continue
            key, extension = _split_name(member.name)
            if current is None or key != current.key:
                if current is not None:
                    yield _complete(current)
                current = Sample(key, f"{path}: sample {key!r}")
                if key in seen:
                    current.problem = BadSampleError(where, f"the sample {key!r} has come before (a duplicate?)")
                seen.add(key)
            try:
                _take(current, handle, member, extension, texts, where)
            except BadSampleError as problem:
                current.problem = current.problem or problem
    if current is None:
        raise ValueError(f"{path}: has no samples; get it again, or remove it")
    yield _complete(current)


def _members(handle: IO[bytes], path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar, whose end is checked: `tarfile` takes any header it cannot read for the end."""
    try:
        with tarfile.open(fileobj=handle, mode="r:") as archive:
            yield from archive
            end = archive.offset
    except Exception as error:  # `tarfile` raises whatever a damaged header leads to
        raise ValueError(f"{path}: is no readable uncompressed tar ({error}); get it again") from error
    handle.seek(end)
    mark = handle.read(tarfile.BLOCKSIZE)
    if mark != bytes(tarfile.BLOCKSIZE):
        reason = "a damaged header" if len(mark) == tarfile.BLOCKSIZE else "the file ends early (truncated?)"
        raise ValueError(f"{path}: byte {end}: {reason}; get it again")
    while block := handle.read(tarfile.RECORDSIZE):
        if any(block):
            raise ValueError(f"{path}: more stands behind the end of the tar (several in one?); get it again")


def _take(
    sample: Sample, handle: IO[bytes], member: tarfile.TarInfo, extension: str, texts: Sequence[str], where: str
) -> None:
    if extension in PICTURES:
        if sample.picture is not None:
            raise BadSampleError(where, "a second picture of the same sample")
        sample.picture = (member.offset, member.offset_data, member.size)
    elif extension in texts:
        if extension in sample.texts:
            raise BadSampleError(where, "stands there twice")
        if member.size > LARGEST_TEXT:
            raise BadSampleError(where, f"{member.size} bytes are too many for a text (at most {LARGEST_TEXT})")
        handle.seek(member.offset_data)
        data = handle.read(member.size)
        if len(data) != member.size:
            raise ValueError(f"{where}: the file ends early (truncated?); get it again")
        sample.texts[extension] = data


def _complete(sample: Sample) -> Sample:
    if sample.picture is None and sample.problem is None:
        sample.problem = BadSampleError(sample.where, f"has no picture ({', '.join(PICTURES)})")
    return sample
