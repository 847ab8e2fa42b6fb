"""Samples in webdataset tars: found by one pass over the headers, read later by their offsets.

Nothing is extracted and no picture is read, so the pass needs memory for the texts and a few numbers per sample only.
"""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

__all__ = ["PICTURES", "Member", "Members", "Sample", "picture_bytes", "samples_of"]

PICTURES = ("jpg", "jpeg", "png", "webp")
LARGEST_TEXT = 2**20

Member = tuple[str, int, int]
"""Tar, offset and size."""


@dataclass
class Sample:
    """One sample: where its picture is, and the contents of the members that were asked for."""

    key: str
    where: str
    picture: tuple[int, int]
    texts: dict[str, bytes] = field(default_factory=dict)


class Members(Sequence[Member]):
    """Pictures of many tars, 20 bytes each; item i is what `picture_bytes` reads."""

    def __init__(self) -> None:
        self._tars: list[str] = []
        self._tar, self._offset, self._size = array("i"), array("q"), array("q")

    def add(self, tar: Path, offset: int, size: int) -> None:
        """Append a picture; those of one tar come one after another."""
        if not self._tars or self._tars[-1] != str(tar):
            self._tars.append(str(tar))
        self._tar.append(len(self._tars) - 1)
        self._offset.append(offset)
        self._size.append(size)

    def __len__(self) -> int:
        return len(self._tar)

    def __getitem__(self, index: int) -> Member:  # type: ignore[override]  # slices have no use here
        return self._tars[self._tar[index]], self._offset[index], self._size[index]


def picture_bytes(member: Member) -> tuple[str, bytes]:
    """Where a picture is, for an error about it, and its bytes.

    Raises:
        ValueError: naming the tar, when it has become shorter.
    """
    path, offset, size = member
    with Path(path).open("rb") as handle:
        handle.seek(offset - tarfile.BLOCKSIZE)
        header, data = handle.read(tarfile.BLOCKSIZE), handle.read(size)
    if len(data) != size:
        raise ValueError(f"{path}: the file has become shorter since it was looked through")
    # The name stands at the start of the header.
    return f"{path}: member {header[:100].rstrip(bytes(1)).decode(errors='replace')!r}", data


def _split_name(name: str) -> tuple[str, str]:
    """webdataset's rule: the key ends at the first dot of the base name."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return f"{folder}{slash}{key}", extension.lower()


def _checked(member: tarfile.TarInfo, where: str) -> None:
    parts = PurePosixPath(member.name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{where}: an absolute name, or one with `..`, is refused")
    if not member.isfile():
        raise ValueError(f"{where}: a link or device is refused; a sample consists of plain files")


def samples_of(path: Path, texts: Sequence[str]) -> Iterator[Sample]:
    """The samples of one tar, in its order.

    Args:
        path: the tar.
        texts: extensions of members to read (`txt`, `cls`, `json`); a sample may lack them.

    Raises:
        ValueError: naming tar and member, for a sample that has no picture, two of one kind, or that comes twice; for
            links and names that leave the folder; and for a tar that cannot be read.
    """
    seen: set[str] = set()
    current: Sample | None = None
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                where = f"{path}: member {member.name!r}"
                _checked(member, where)
                key, extension = _split_name(member.name)
                if current is None or key != current.key:
                    if current is not None:
                        yield _complete(current)
                    if key in seen:
                        raise ValueError(f"{where}: the sample {key!r} has come before (a duplicate?)")
                    seen.add(key)
                    current = Sample(key, f"{path}: sample {key!r}", (0, 0))
                _take(current, archive, member, extension, texts, where)
    except tarfile.TarError as error:
        raise ValueError(f"{path}: is no readable uncompressed tar ({error})") from error
    if current is not None:
        yield _complete(current)


def _take(
    sample: Sample, archive: tarfile.TarFile, member: tarfile.TarInfo, extension: str, texts: Sequence[str], where: str
) -> None:
    if extension in PICTURES:
        if sample.picture != (0, 0):
            raise ValueError(f"{where}: a second picture of the same sample")
        sample.picture = (member.offset_data, member.size)
    elif extension in texts:
        if extension in sample.texts:
            raise ValueError(f"{where}: stands there twice")
        if member.size > LARGEST_TEXT:
            raise ValueError(f"{where}: {member.size} bytes are too many for a text (at most {LARGEST_TEXT})")
        source = archive.extractfile(member)
        data = source.read() if source is not None else b""
        if len(data) != member.size:
            raise ValueError(f"{where}: the file ends early (truncated?)")
        sample.texts[extension] = data


def _complete(sample: Sample) -> Sample:
    if sample.picture == (0, 0):
        raise ValueError(f"{sample.where}: has no picture ({', '.join(PICTURES)})")
    return sample
