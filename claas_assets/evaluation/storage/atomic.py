"""Files appear whole: here written beside, synced, renamed; at another address put as one object."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from claas_assets.evaluation.storage.stores import Place, put


def write_whole(path: Place, data: bytes | str) -> None:
    """Write `path` so that a reader sees the old file or the new one, never a part of it."""
    payload = utf8(data) if isinstance(data, str) else data
    if not isinstance(path, Path):
        put(path, payload)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def utf8(text: str) -> bytes:
    """`text` as UTF-8, with U+FFFD for half of a surrogate pair, which UTF-8 cannot write."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


def json_line(record: BaseModel) -> bytes:
    """A record as one line of JSON, whatever its texts hold."""
    try:
        return record.model_dump_json().encode("utf-8")
    except PydanticSerializationError:  # half of a surrogate pair
        return utf8(json.dumps(record.model_dump(), ensure_ascii=False, allow_nan=False))


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any) -> str:
    """Indented JSON with a final line end; NaN and infinities are refused rather than written."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
