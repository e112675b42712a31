"""Folders and files at any fsspec address: here with `pathlib`, elsewhere an object a file, put whole.

Credentials and endpoints are fsspec's business (its configuration, the environment). What a store fails at is
a `RunFolderError`, and is never taken for "it is not there": a run whose adapter or intent seemed to be
missing would be begun again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.storage.addresses import check_address, is_address, protocol_of

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"
"""A `Path` on this machine, a `UPath` elsewhere. Both have `/`, `name`, `parent`, `parents` and `str`."""

_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
_PUT_IS_WHOLE = (*_OBJECT_STORES, "memory")


def place_at(address: str | Place) -> Place:
    """Raises `ConfigError` for an address that results cannot be kept at, or whose package is missing."""
    if not isinstance(address, str):
        return address
    if not is_address(address):
        return Path(address)
    whole, protocol = check_address(address), protocol_of(address)
    import fsspec  # with the store's own package 0.5 s, and most evaluations are on this machine
    from upath import UPath

    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{address}: {error}. For S3: pip install 'claas-assets[s3]'") from error
    # Other processes write here too: a remembered listing would hide what they wrote.
    fresh: dict[str, Any] = {"use_listings_cache": False} if protocol in _OBJECT_STORES else {}
    return UPath(whole, **fresh)


def check_writable(folder: Place) -> None:
    """Put an object beside the run's and remove it. Raises `ConfigError`: nothing has been sent yet.

    On this machine nothing is made: what there is of the path must be a folder that can be written to.
    """
    if isinstance(folder, Path):
        there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"output_dir={folder}: {there} is no folder that can be written to: name another one")
        return
    probe = folder / f".writable-{uuid4().hex}"
    try:
        put(probe, b"", new=True)
        remove(probe)
    except (FileNotFoundError, RunFolderError) as error:
        raise ConfigError(f"output_dir={folder} cannot be used: {error}") from error


# --- reading ----------------------------------------------------------------------------------


def fetch(place: Place) -> bytes:
    """Raises `FileNotFoundError`, and `RunFolderError` where the store does not answer."""
    if isinstance(place, Path):
        return place.read_bytes()
    with _asking(place, "read"):
        return bytes(place.fs.cat_file(place.path))


def fetch_all(places: Sequence[UPath]) -> list[bytes]:
    """Several objects of one store, side by side where it can."""
    if not places:
        return []
    with _asking(places[0].parent, "read"):
        contents: dict[str, bytes] = places[0].fs.cat([place.path for place in places], on_error="raise")
    return [contents[place.path] for place in places]


def read_text(place: Place) -> str:
    return place.read_text(encoding="utf-8") if isinstance(place, Path) else fetch(place).decode("utf-8")


def exists(place: Place) -> bool:
    if isinstance(place, Path):
        return place.exists()
    return _info(place) is not None


def is_folder(place: Place) -> bool:
    if isinstance(place, Path):
        return place.is_dir()
    entry = _info(place)
    return entry is not None and entry["type"] == "directory"


def folders_in(folder: Place) -> list[Any]:
    """The folders directly in `folder`, by name, as places; none where it is not there."""
    if isinstance(folder, Path):
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [folder / name for name, entry in _listed(folder) if entry["type"] == "directory"]


def files_in(folder: Place) -> list[Any]:
    if isinstance(folder, Path):
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return [folder / name for name, entry in _listed(folder) if entry["type"] == "file"]


def size_of(place: Place) -> int:
    """Bytes of a file, or of the files in a folder."""
    if isinstance(place, Path):
        files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files)
    info = _info(place)
    if info is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))
    if info["type"] == "file":
        return int(info["size"])
    return sum(int(entry["size"]) for _, entry in _listed(place) if entry["type"] == "file")


@contextlib.contextmanager
def on_this_machine(folder: Place) -> Iterator[Path]:
    """`folder` itself, or a copy of it under its own name for as long as it is needed."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.name
        with _asking(folder, "read"):
            folder.fs.get(folder.path, str(copy), recursive=True)
        yield copy


# --- writing ----------------------------------------------------------------------------------


def put(place: UPath, data: bytes, *, new: bool = False) -> None:
    """Write an object whole: durable when this returns, and a reader sees the old one or the new one.

    `new`: raises `FileExistsError` where one is there; S3 decides that itself, so of two writers one loses.
    """
    with _asking(place, "written"):
        if place.protocol in _PUT_IS_WHOLE:
            place.fs.pipe_file(place.path, data, **({"mode": "create"} if new else {}))
        else:
            _put_beside(place, data, new)


def _put_beside(place: UPath, data: bytes, new: bool) -> None:
    """Where a file grows as it is written (SFTP, say): beside, then renamed."""
    if new and exists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    place.fs.makedirs(place.parent.path, exist_ok=True)
    place.fs.pipe_file(beside.path, data)
    place.fs.mv(beside.path, place.path)


def remove(place: Place) -> None:
    """Remove a file; one that is not there is fine."""
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
        return
    with contextlib.suppress(FileNotFoundError), _asking(place, "removed"):
        place.fs.rm_file(place.path)


# --- the store --------------------------------------------------------------------------------


def _info(place: UPath) -> dict[str, Any] | None:
    """Not `fs.exists`: fsspec's says no where the store did not answer."""
    try:
        with _asking(place, "looked at"):
            entry: dict[str, Any] = place.fs.info(place.path)
            return entry
    except FileNotFoundError:
        return None


def _listed(folder: UPath) -> list[tuple[str, dict[str, Any]]]:
    """Name and entry of what is directly in `folder`, by name."""
    try:
        with _asking(folder, "listed"):
            entries = folder.fs.ls(folder.path, detail=True)
    except FileNotFoundError:
        return []
    own = folder.path.strip("/")  # S3 lists a folder's own marker too, and a file as what is in it
    paths = [(entry["name"].strip("/"), entry) for entry in entries]
    return sorted(
        ((path.rpartition("/")[2], entry) for path, entry in paths if path != own), key=lambda named: named[0]
    )


@contextlib.contextmanager
def _asking(place: Place, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        why = error.strerror or str(error) or os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, why, str(place)) from error
    except (FileExistsError, RunFolderError):
        raise
    except Exception as error:  # every store has errors of its own, and not all of them are OSErrors
        raise RunFolderError(
            f"{place} could not be {what} ({type(error).__name__}: {error}). Whether the store is there, and what it "
            "allows, its own client knows: credentials and endpoint come from the environment (AWS_…, FSSPEC_…)"
        ) from error
