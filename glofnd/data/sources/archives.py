"""Published archives: downloaded with a pinned checksum, unpacked without letting anything out of the folder."""

from __future__ import annotations

import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from glofnd.data.sources.commands import FetchError, attempt
from glofnd.files import atomic_open, blame_storage, sha256
from glofnd.progress import Progress, progress

__all__ = ["Archive", "Published", "download", "unpack"]

TIMEOUT_SECONDS = 60
_BLOCK = 2**20
_WORK = ".unpacking-"
# An archive that holds more than so many times its own size, and this much besides, is meant to fill a disk.
_LARGEST_RATIO, _ALWAYS_ALLOWED = 50, 2**26


@dataclass(frozen=True)
class Archive:
    """One published file.

    Attributes:
        url: where it is.
        sha256: checksum that it must have.
        md5: the one that its publisher, or torchvision, states.
        bytes: its size.
        inner: member that is itself the archive to unpack.
        packed: whether it is an archive; a plain file is stored as it is.
    """

    url: str
    sha256: str
    md5: str
    bytes: int
    inner: str | None = None
    packed: bool = True

    @property
    def file(self) -> str:
        """Its file name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Published:
    """A source that consists of published archives; calling it fetches them.

    Archives stay below `out/archives`, so that a later fetch need not load them again; what they hold is unpacked into
    `out`, plain files are copied there.
    """

    archives: tuple[Archive, ...]
    origin: str

    def __call__(self, out: Path) -> dict[str, Any]:
        """Fetch into `out`; returns what `source.json` states.

        Raises:
            FetchError: for a file that cannot be had or is not the published one.
        """
        files: list[str] = []
        for archive in self.archives:
            path = download(archive, out / "archives")
            files.append(f"archives/{archive.file}")
            if archive.packed:
                files += unpack(path, out, archive.inner)
            else:
                with path.open("rb") as source, atomic_open(out / archive.file) as target:
                    shutil.copyfileobj(source, target)
                files.append(archive.file)
        stated = [{"url": archive.url, "md5": archive.md5, "bytes": archive.bytes} for archive in self.archives]
        return {"origin": self.origin, "archives": stated, "files": files}


class _NeverToPlainHttp(HTTPRedirectHandler):
    """Follows redirects, also to other hosts, but not from TLS to what anybody on the way can read and change."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.type == "https" and not newurl.startswith("https://"):
            raise URLError(f"the server redirects from https to {newurl.partition(':')[0]}; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = build_opener(_NeverToPlainHttp)


def download(archive: Archive, folder: Path) -> Path:
    """The verified file in `folder`; one that is there with the right contents is kept, a part of one is continued.

    Raises:
        FetchError: naming the address, after several attempts.
    """
    target = folder / archive.file
    if not target.is_file() or sha256(target) != archive.sha256:
        folder.mkdir(parents=True, exist_ok=True)
        attempt(archive.url, lambda: _download(archive, target))
    return target


def _download(archive: Archive, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        _append(archive, part)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # the part is no beginning of that file
            part.unlink(missing_ok=True)
        raise FetchError(f"{archive.url}: the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        blame_storage(error, target)
        raise FetchError(f"{archive.url}: {error}") from error
    size = part.stat().st_size
    if size < archive.bytes:
        raise FetchError(f"{archive.file} ends after {size} of {archive.bytes} bytes (truncated)")
    if (found := sha256(part)) != archive.sha256:
        part.unlink()
        raise FetchError(f"{archive.file} has SHA-256 {found}, not the published {archive.sha256}")
    part.replace(target)


def _mebibytes(size: int) -> int:
    return -(-size >> 20)


def _append(archive: Archive, part: Path) -> None:
    """Load the rest of a file behind what `part` has of it, or all of it where the server gives no parts."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= archive.bytes:
        have = 0
    request = Request(archive.url, headers={"User-Agent": "glofnd"} | ({"Range": f"bytes={have}-"} if have else {}))
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
        if getattr(answer, "status", None) != HTTPStatus.PARTIAL_CONTENT:
            have = 0
        bar = Progress(_mebibytes(archive.bytes), f"fetching {archive.file}", "MiB")
        with part.open("ab" if have else "wb") as handle:
            bar.advance(have >> 20)
            while block := answer.read(_BLOCK):
                handle.write(block)
                bar.advance()
        bar.close()


def unpack(path: Path, out: Path, inner: str | None = None) -> list[str]:
    """Unpack a tar or zip into `out`, replacing what stands there under the same top-level names.

    The members are unpacked beside their place and moved there at the end.

    Args:
        path: the archive.
        out: folder.
        inner: name of a member that is the archive to unpack; nothing else is taken then.

    Returns:
        Paths of all files, relative to `out`, sorted.

    Raises:
        FetchError: naming archive and member, for one that is absolute, leaves the folder, or is neither a file nor a
            folder; for an archive that cannot be read, and for one that would fill the disk (`_LARGEST_RATIO`).
    """
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{_WORK}*"):  # by a process that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=out) as name:
        work = Path(name)
        try:
            if inner is not None:
                path = _inner(path, inner, work)
            fresh = work / "members"
            extract = _unzip if path.suffix == ".zip" else _untar
            extract(path, fresh)
        except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            blame_storage(error, out)
            raise FetchError(f"{path.name}: cannot be unpacked ({error})") from error
        files = sorted(found.relative_to(fresh).as_posix() for found in fresh.rglob("*") if found.is_file())
        for entry in fresh.iterdir():
            place = out / entry.name
            if place.is_dir() and not place.is_symlink():
                place.replace(work / f"old-{entry.name}")
            entry.replace(place)
    return files


def _inner(path: Path, inner: str, work: Path) -> Path:
    target = work / PurePosixPath(inner).name
    with zipfile.ZipFile(path) as archive:
        _refuse_bomb(path, archive.getinfo(inner).file_size)
        with archive.open(inner) as source, target.open("wb") as handle:
            shutil.copyfileobj(source, handle)
    return target


def _refuse(path: Path, member: str, plain: bool) -> None:
    windows = PureWindowsPath(member)  # knows both kinds of slash
    if windows.root or windows.drive or ".." in windows.parts:
        raise FetchError(f"{path.name}: member {member!r} would leave the folder; nothing was unpacked")
    if not plain:
        raise FetchError(f"{path.name}: member {member!r} is a link or device; nothing was unpacked")


def _refuse_bomb(path: Path, unpacked: int) -> None:
    if unpacked > _LARGEST_RATIO * path.stat().st_size + _ALWAYS_ALLOWED:
        raise FetchError(
            f"{path.name}: unpacks to more than {_LARGEST_RATIO} times its size, as only archives made to fill disks do"
        )


def _untar(path: Path, out: Path) -> None:
    with tarfile.open(path) as archive:
        unpacked = 0
        for member in _counted(archive, path):
            unpacked += member.size
            _refuse_bomb(path, unpacked)
            _refuse(path, member.name, member.isfile() or member.isdir())
            archive.extract(member, out, filter="data")


def _counted(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Members as they are met: counting them first would decompress everything twice."""
    bar = Progress(_mebibytes(path.stat().st_size), f"unpacking {path.name}", "MiB")
    for member in archive:
        yield member
        # What is behind in the compressed file is what the reader underneath has consumed.
        raw = getattr(archive.fileobj, "fileobj", None) or archive.fileobj
        bar.advance(_mebibytes(raw.tell()) - bar.done if raw is not None else 0)
    bar.close()


def _unzip(path: Path, out: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _refuse_bomb(path, sum(member.file_size for member in members))
        for member in progress(members, len(members), f"unpacking {path.name}", "files"):
            _refuse(path, member.filename, not stat.S_ISLNK(member.external_attr >> 16))
            archive.extract(member, out)
