"""What a failed step says: our own error in our own words, where it is one."""

from typing import Any

from claas_assets.evaluation import errors

INTERRUPTED = "DagsterExecutionInterruptedError"

_OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def was_interrupted(error: Any) -> bool:
    """Whether a step's error (Dagster's serialized form) is a stop."""
    return any(link.cls_name == INTERRUPTED for link in _chain(error))


def words_of(error: Any) -> str:
    """The message of the outermost error of ours; without one, of the innermost error.

    Ours says what to do; what it was raised from (a lock's time-out, an OSError) says less.
    """
    chain = _chain(error)
    told = next((link for link in chain if link.cls_name in _OURS), chain[-1])
    return str(told.message).strip().removeprefix(f"{told.cls_name}: ")


def _chain(error: Any) -> list[Any]:
    links = [error]
    while links[-1].cause is not None:
        links.append(links[-1].cause)
    return links
