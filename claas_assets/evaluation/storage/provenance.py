"""Where a record comes from: versions, the checkout, the deployment. No secret is part of it."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import claas_assets
from claas_assets.evaluation.storage.records import Provenance

_PACKAGES = (
    "dagster", "httpx", "numpy", "pydantic", "rouge-score", "emoji", "regex", "sentencex", "scipy",
    "torch", "transformers", "peft",
)  # fmt: skip


def utc_now() -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def provenance(deployment: dict[str, Any]) -> Provenance:
    commit, dirty = _checkout()
    return Provenance(
        created=utc_now(),
        package_version=claas_assets.__version__,
        git_commit=commit,
        git_dirty=dirty,
        python=platform.python_version(),
        packages=_package_versions(),
        deployment=deployment,
    )


@cache
def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed is not a version
    return versions


@cache
def _checkout() -> tuple[str | None, bool | None]:
    """Commit and dirtiness of the checkout this package runs from; (None, None) for an installed wheel."""
    root = Path(claas_assets.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None  # no git on this machine, or not a repository of ours: not known


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
