"""What a check found, line by line, and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "note", "blocks"]
"""`note`: an evaluation can be made, and its reader should know. `blocks`: its numbers would be wrong or missing."""


@dataclass(frozen=True)
class Finding:
    """One line."""

    name: str
    state: State
    said: str
    """What was seen."""
    todo: str = ""
    """What to do; empty where there is nothing."""

    @property
    def line(self) -> str:
        return f"{self.state:<6}  {self.name}: {self.said}" + (f". {self.todo}" if self.todo else "")


@dataclass
class Report:
    """The findings in the order in which they were made; `hear` is told of each."""

    hear: Callable[[Finding], None] = lambda finding: None
    findings: list[Finding] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Adapters that could not be deleted again."""

    def ok(self, name: str, said: str) -> None:
        self._add(Finding(name, "ok", said))

    def note(self, name: str, said: str, todo: str = "") -> None:
        self._add(Finding(name, "note", said, todo))

    def blocks(self, name: str, said: str, todo: str = "") -> None:
        self._add(Finding(name, "blocks", said, todo))

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.hear(finding)

    @property
    def blocking(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.state == "blocks"]

    def of(self, name: str) -> Iterator[Finding]:
        return (finding for finding in self.findings if finding.name == name)
