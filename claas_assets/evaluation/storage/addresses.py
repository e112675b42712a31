"""Where results are, as text: a folder of this machine, or an fsspec address such as `s3://bucket/evals`.

An address is never put through `pathlib`, which would make `s3:/bucket` of it.
"""

import re
from pathlib import Path

from claas_assets.evaluation.errors import ConfigError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(::|://)(.*)", re.ASCII | re.DOTALL)
_PASSWORD = re.compile(r"[^/@]*:[^/@]*@")
_SPECIAL = re.compile(r"[*?\[\]#\\\x00-\x20\x7f]")  # fsspec takes some for patterns, others for a query
_LOCAL = ("file", "local")
_READ_ONLY = ("http", "https", "data")


def is_address(text: str) -> bool:
    """Whether `text` begins as an address does (`s3://…`); everything else is a path of this machine."""
    return _ADDRESS.match(text) is not None


def protocol_of(address: str) -> str:
    match = _ADDRESS.match(address)
    assert match is not None, f"{address} is a path"
    return match.group(1).lower()


def check_address(text: str) -> str:
    """`text` without a final slash. Raises `ConfigError` for an address that results cannot be kept at."""
    match = _ADDRESS.match(text)
    assert match is not None, f"{text} is a path"
    protocol, between, rest = match.group(1).lower(), match.group(2), match.group(3).rstrip("/")
    shown = without_password(text)
    if between == "::" or "::" in rest:
        raise ConfigError(f"{shown}: a chain of file systems may hold back what was written: name the store itself")
    if protocol in _LOCAL:
        raise ConfigError(f"{shown}: for a folder of this machine write its path, without {protocol}://")
    if protocol in _READ_ONLY:
        raise ConfigError(f"{shown}: {protocol} cannot be written to; s3://bucket/evals, for example, can")
    if _PASSWORD.match(rest):
        raise ConfigError(
            f"{shown}: an address holds no password, since every record names it: credentials come from the "
            "environment or the configuration of the store's own client (AWS_…, FSSPEC_…)"
        )
    if special := _SPECIAL.search(rest):
        raise ConfigError(f"{text!r}: {special.group()!r} may not stand in an address")
    if {"", ".", ".."} & set(rest.lstrip("/").split("/")):
        raise ConfigError(f"{text!r}: every part of an address has a name, and none is '.' or '..'")
    return f"{text[: match.end(2)]}{rest}"


def split_output(output_dir: str) -> tuple[str, str]:
    """(results folder, run id) of a run folder. Raises `ConfigError` for an address that cannot be one."""
    if not is_address(output_dir):
        return str(Path(output_dir).parent), Path(output_dir).name
    whole = check_address(output_dir)
    results, _, run_id = whole.rpartition("/")
    if results.endswith("/"):
        raise ConfigError(f"{output_dir!r}: a run folder is below another: s3://bucket/evals/<run id>, for example")
    return results, run_id


def without_password(text: str) -> str:
    """`text` for a message: addresses in it without the password that they should not have."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1:…@", text)
