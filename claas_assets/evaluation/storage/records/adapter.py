"""`metadata.json`: the adapter, and what is frozen with it."""

from typing import Any

from pydantic import Field, field_validator

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.records.base import FORMAT_VERSION, Moment, Record, Schedule, _in_file


class Provenance(Record):
    """Where a record comes from. No secret and no environment variable's value is part of it."""

    format_version: int = FORMAT_VERSION
    """Of `metadata.json` and the files beside it."""
    created: Moment
    """ISO 8601, UTC."""
    package_version: str
    """Of `claas_assets`."""
    git_commit: str | None = None
    """Of the checkout that ran; null for an installed wheel."""
    git_dirty: bool | None = None
    """Whether tracked files of the checkout differed from the commit."""
    python: str = ""
    """Version of the interpreter."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Package → version, of those that numbers depend on."""
    deployment: dict[str, Any] = Field(default_factory=dict)
    """Name, version, models and address, as the deployment told them."""


class AuditedState(Record):
    """What tells whether an audited adapter is still as it was."""

    updates: int | None = None
    """Gradient updates since init, by the deployment's own count; null where it has none."""
    sampler_path: str | None = None
    """The checkpoint that Tinker's one sampler serves; null elsewhere."""
    nats_per_token: float | None = None
    """Mean token logprob of one fixed text."""


class PhaseRecord(Record):
    """One phase of a sequence."""

    preference: str
    steps: int
    """Feedback steps."""


class SequenceRecord(Record):
    """A sequence as it was when the adapter was made. It may not change either."""

    phases: list[PhaseRecord]
    schedule: Schedule = "sequential"
    opposes: dict[str, str] = Field(default_factory=dict)
    """Preference of the sequence → the one of the sequence whose opposite it asks for."""

    @property
    def preferences(self) -> list[str]:
        """In the order of first training."""
        return list(dict.fromkeys(phase.preference for phase in self.phases))

    @property
    def num_steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


_TEXTS = ("mode", "base_model", "sweep_id")
"""Keys of a recorded configuration that runs are told apart by, wherever they are shown."""


class AdapterRecord(Record):
    """`metadata.json`: a fresh adapter, and the configuration that is frozen with it."""

    config: dict[str, Any]
    """The whole `EvalConfig`; null where a value has no effect in its mode."""
    without_effect: dict[str, str] = Field(default_factory=dict)
    """Dotted key of `config` → why it has no effect."""
    lora_id: str
    """As the deployment answered it, which may differ from the one asked for."""
    preference: str
    run_id: str
    training_inputs: dict[str, Any] = Field(**_in_file("above_training"))
    """The part of `config` that may not change on resume; `above_training` in the file."""
    preference_text: dict[str, Any]
    """The preference file as it was when the adapter was made. What training sees of it may not change either."""
    provenance: Provenance
    gateway: dict[str, Any] | None = None
    """What was known of the gateway that chat goes through: its address, whether it serves the adapter that a request
    names, and how that was seen; null where there is none."""
    caveats: list[str] = Field(default_factory=list)
    """What a reader of the verdict must know of how the run was made."""
    imported: bool = False
    """Whether the public harness made the run: what is here is what it recorded, which cannot be scored again."""
    audited: AuditedState | None = None
    """Of an audit: the adapter as it was found. Null where the run made its adapter."""
    sequence: SequenceRecord | None = None
    """The phases that the adapter is trained in; null for a preference alone."""
    control_feedback: dict[str, str] | None = None
    """Of a control run: preference → the text that is given in place of its own."""

    @field_validator("config")
    @classmethod
    def _has_its_sections(cls, config: dict[str, Any]) -> dict[str, Any]:
        for name in ("lora", "training", "thresholds"):
            if not isinstance(config.get(name, {}), dict):
                raise ValueError(f"{name} must be a mapping of keys")
        for name, kind, said in (("seed", int, "a whole number"), *((text, str, "text") for text in _TEXTS)):
            value = config.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise ValueError(f"{name} must be {said} (got {value!r:.80})")
        return config

    @property
    def num_steps(self) -> int:
        """Feedback steps asked for. Raises `RunFolderError` where the file says something else there."""
        if self.sequence is not None:
            return self.sequence.num_steps
        steps = self.config.get("num_steps")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise self._refused("num_steps", steps, "no number of steps")
        return steps

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics asked for. Raises `RunFolderError` where the file has no list of names there."""
        names = self.config.get("metrics")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._refused("metrics", names, "no list of names")
        return names

    @property
    def snapshot_steps(self) -> list[int]:
        """Steps at which a full snapshot was planned. Raises `RunFolderError`."""
        steps = self.config.get("snapshot_steps", [])
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise self._refused("snapshot_steps", steps, "no list of steps")
        return steps

    @property
    def control(self) -> str:
        """`none`, or which control run it is."""
        return str(self.config.get("control", "none"))

    def _refused(self, key: str, value: Any, what: str) -> RunFolderError:
        where = f"metadata.json of run {self.run_id}, preference {self.preference}"
        return RunFolderError(f"{where}: config.{key} is {value!r}, which is {what}")

    @property
    def deployment(self) -> str:
        """Name and version of the deployment that made it; empty where it told neither."""
        told = self.provenance.deployment
        return f"{told.get('name') or ''} {told.get('version') or ''}".strip()
