"""Names that become paths or URLs, checked before they do."""

import re
from datetime import UTC, datetime

from claas_assets.evaluation.errors import ConfigError

RUN_ID_FORMAT = "%Y%m%d-%H%M%SZ"

# No dots in a preference: Dagster has truncated file names of partition keys at a dot.
_PREFERENCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_LORA_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*", re.ASCII)


def run_id_at(moment: datetime) -> str:
    """The run id of an evaluation that began at `moment` (converted to UTC)."""
    return moment.astimezone(UTC).strftime(RUN_ID_FORMAT)


def new_run_id() -> str:
    return run_id_at(datetime.now(UTC))


def is_preference_name(name: str) -> bool:
    return _PREFERENCE.fullmatch(name) is not None


def check_preference_name(name: str) -> str:
    if not is_preference_name(name):
        raise ConfigError(
            f"preference name {name!r} is not usable: lower-case letters, digits, '_' and '-', at most 64"
        )
    return name


def check_run_id(run_id: str) -> str:
    if _RUN_ID.fullmatch(run_id) is None or ".." in run_id:
        raise ConfigError(
            f"run id {run_id!r} (the last component of output_dir) is not usable: letters, digits, "
            "'.', '_' and '-', beginning with a letter or digit, at most 128"
        )
    return run_id


def check_lora_prefix(prefix: str) -> str:
    if _LORA_PREFIX.fullmatch(prefix) is None:
        raise ConfigError(
            f"lora_id_prefix {prefix!r} is not usable: letters, digits, '_' and '-', parts separated by '/'"
        )
    return prefix


def lora_id_for(prefix: str, preference: str, run_id: str) -> str:
    """Unique per evaluation: initialising an id again would leave the old optimiser state beside it."""
    return f"{check_lora_prefix(prefix)}/{check_preference_name(preference)}-{check_run_id(run_id)}"
