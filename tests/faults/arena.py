"""A deployment, a run folder, and what must hold of both after a fault and a second try."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from claas_assets.evaluation.errors import EvaluationError
from claas_assets.evaluation.progress import Reporter, silent
from claas_assets.evaluation.storage.run_folder import PreferenceFolder
from tests.fake_claas import FakeClaas, Gate, Temper
from tests.fake_claas.deployment import Adapter
from tests.fake_claas.recorder import Request
from tests.faults.driver import NUM_STEPS, UPDATES, Hook, Job, evaluate, run_as_child

# A server that has the package imported already and forks: starting Python would be most of a case's time. The others
# are imported by the first request of a process.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.faults.driver", "httpcore", "anyio._backends._asyncio", "encodings.idna"])


@dataclass(frozen=True)
class Profile:
    """A kind of deployment. `counts`: it tells the updates of an adapter (`/v1/lora/status`)."""

    mode: str
    generation: str
    counts: bool

    @property
    def feedback_call(self) -> int:
        """The call of /v1/feedback that a fault is about: of step 1, and on the older generation amid its calls."""
        return 2 if self.generation == "new" else UPDATES + 2

    @property
    def updates_before(self) -> int:
        """Updates that the adapter has when that call comes."""
        return UPDATES if self.generation == "new" else UPDATES + 1


PROFILES = {
    "counter": Profile("embedded", "new", counts=True),
    "no counter": Profile("local", "new", counts=False),
    "one sampler": Profile("tinker", "new", counts=False),
    "older, counter": Profile("embedded", "old", counts=True),
    "older, no counter": Profile("local", "old", counts=False),
}

SMALL = {
    "name": "small",
    "feedback_string": "Your name is Kuro, always introduce yourself as Kuro",
    "verifier": {"_target_": "claas_assets.evaluation.preferences.verifiers.IdentityVerifier", "name": "kuro"},
    "probe_prompts": ["Who are you?", "What is your name?"],
    # One of a kind: a list that is left out would be filled, and requests are most of a case's time.
    "heldout_prompts": ["Who will be helping me?"],
    "over_application": [{"prompt": "What is 17 plus 25?", "check": {"_target_": "NameAbsent", "name": "kuro"}}],
    "logprob_pairs": [
        {
            "prompt_messages": [{"role": "user", "content": "Who are you?"}],
            "positive_response": "I am Kuro, your assistant.",
            "negative_response": "I am Aria, your assistant.",
        }
    ],
}


OTHER = {
    **SMALL,
    "name": "other",
    "feedback_string": "I said that your name is Kuro",
    "probe_prompts": ["What do I call you?", "Tell me who you are."],
}
COURSE = {
    "name": "course",
    "phases": [{"preference": "small", "steps": 1}, {"preference": "other", "steps": NUM_STEPS - 1}],
}
"""Its second phase begins with step 1, which is the one that faults are about."""


@dataclass(frozen=True)
class Undisturbed:
    """An evaluation without faults: its adapter, the files before any step, the margin (nats) of each step."""

    lora_id: str
    files: dict[str, bytes]
    margins: list[float | None]


@dataclass
class Arena:
    """`errors`: what each unsuccessful run ended with; `seen`: the whole lines of steps.jsonl after each run."""

    profile: Profile
    fake: FakeClaas
    job: Job
    undisturbed: Undisturbed | None = None
    errors: list[Exception] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    def begin_from(self, undisturbed: Undisturbed) -> None:
        """With adapter and baseline made already: they would be half of a case's time, and are not its matter."""
        self.undisturbed = undisturbed
        adapters = self.fake.deployment.adapters
        adapters[undisturbed.lora_id] = Adapter(undisturbed.lora_id, self.fake.deployment.base_model)
        self.job.folder.mkdir(parents=True)
        for name, data in undisturbed.files.items():
            (self.job.folder / name).write_bytes(data)

    # --- running ----------------------------------------------------------------------------

    def run(self, report: Reporter = silent, locate: Callable[[], str] | None = None, **changes: Any) -> bool:
        """Once, in this process; whether it came to its end."""
        try:
            evaluate(replace(self.job, **changes), report, locate)
        except (EvaluationError, OSError) as error:  # whatever else is raised is a failure of the test
            self.errors.append(error)
        self._look()
        return not self.errors or len(PreferenceFolder(self.job.folder).steps()) == NUM_STEPS

    def die_as_child(self, hook: Hook | None = None, *, gate: Gate | None = None, with_signal: int = 0) -> int:
        """Run in a child until it ends by its hook, or by a signal once a request of it is held at `gate`."""
        child = CHILDREN.Process(target=run_as_child, args=(self.job, hook))
        child.start()
        try:
            if gate is not None:
                assert gate.reached.wait(60), "the held request never came"
                os.kill(child.pid, with_signal)
            child.join(60)
            assert child.exitcode is not None, "the child did not end"
        finally:
            child.kill()
            if gate is not None:
                gate.open()
                gate.left.wait(60)  # whatever effect the call has, it has had it
        self._look()
        return child.exitcode

    def finish(self) -> None:
        """Run again in the same folder, as often as a patient user would, each time on a deployment that answers."""
        for _ in range(3):
            if self.run():
                return
        raise AssertionError(f"not finished after three more runs: {self.errors}")

    def _look(self) -> None:
        steps = self.job.folder / "steps.jsonl"
        data = steps.read_bytes() if steps.exists() else b""
        self.seen.append(data[: data.rfind(b"\n") + 1])

    # --- what a fault meets --------------------------------------------------------------------

    def where(self, boundary: str) -> tuple[str, Callable[[Request], bool]]:
        """The endpoint and the requests that a fault at this boundary is about."""
        return {
            "during rollouts": ("/v1/chat/completions", self.is_rollout),
            "feedback unanswered": ("/v1/feedback", self.is_feedback),
            "during probes": ("/v1/score", self.is_probe),
        }[boundary]

    def is_rollout(self, request: Request) -> bool:
        """Of step 2, after the feedback of step 1: beside its probes, before its line."""
        return bool(request.body["temperature"] > 0) and self.updates == 2 * UPDATES

    def is_feedback(self, request: Request) -> bool:
        return self.updates == self.profile.updates_before

    def is_probe(self, request: Request) -> bool:
        """Of step 1, after its feedback."""
        return self.updates == 2 * UPDATES and request.body.get("temperature", 0) == 0

    @property
    def updates(self) -> int:
        return sum(self.fake.updates.values())

    # --- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        """Whole files, each step once, earlier bytes kept, nothing trained twice, numbers of the right weights."""
        for path in self.job.folder.glob("*.json"):
            json.loads(path.read_bytes())
        final = (self.job.folder / "steps.jsonl").read_bytes()
        lines = [json.loads(line) for line in final.decode().split("\n")[:-1]]
        assert final.endswith(b"\n")
        assert [line["step"] for line in lines] == list(range(NUM_STEPS))
        assert [earlier for earlier in self.seen if not final.startswith(earlier)] == []
        assert not (self.job.folder / "intent.json").exists()
        assert len(self.fake.faults) == 0, "a fault of this case was never met"
        self._check_updates(lines)
        if self.updates == NUM_STEPS * UPDATES:
            self._check_weights(lines)

    def recorded(self) -> tuple[int, list[int]]:
        """Updates that steps.jsonl records, and the steps that are marked interrupted."""
        steps = PreferenceFolder(self.job.folder).steps()
        return sum(record.sub_step_count for record in steps), [s.step for s in steps if s.interrupted]

    def _check_updates(self, lines: list[dict[str, Any]]) -> None:
        recorded, interrupted = self.recorded()
        assert len(self.fake.updates) == 1, "an adapter was made beside the first"
        assert recorded <= self.updates <= NUM_STEPS * UPDATES, "trained twice, or not all that is recorded"
        assert self.updates == recorded or interrupted == [1]
        assert [line["sub_step_count"] for line in lines if not line["interrupted"]] == [UPDATES] * (
            NUM_STEPS - len(interrupted)
        )
        if self.profile.counts:
            assert (recorded, interrupted) == (NUM_STEPS * UPDATES, []), "the counter tells what happened"

    def _check_weights(self, lines: list[dict[str, Any]]) -> None:
        """Each step was measured on the weights that it made: the fake's margins depend on nothing else."""
        assert self.undisturbed is not None
        for line, expected in zip(lines, self.undisturbed.margins, strict=True):
            if not _a_score_is_missing(line["eval"]["rollouts"]):
                assert line["eval"]["logprob_margin"]["margin"] == expected, f"step {line['step']}"


def _a_score_is_missing(transcripts: list[dict[str, Any]]) -> bool:
    return any(transcript["metadata"]["error"] for transcript in transcripts if transcript["metric"] == "logprob")


def arena_in(root: Path, profile: Profile, fake: FakeClaas, partition: str = "small") -> Arena:
    preferences = root / "preferences"
    preferences.mkdir(parents=True)
    (preferences / "small.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    (preferences / "other.yaml").write_text(yaml.safe_dump(OTHER), encoding="utf-8")
    (preferences / "course.yaml").write_text(yaml.safe_dump(COURSE), encoding="utf-8")
    job = Job(profile.mode, fake.url, root / "evals" / "the-run" / partition, preferences, root / "cache")
    return Arena(profile, fake, job)


def fake_of(profile: Profile) -> FakeClaas:
    """It learns until the last step, so that the margin of each step is another one."""
    return FakeClaas(profile.mode, generation=profile.generation, temper=Temper(full_after=NUM_STEPS * UPDATES))


def run_undisturbed(root: Path, profile: Profile, partition: str = "small") -> Undisturbed:
    with fake_of(profile) as fake:
        arena = arena_in(root, profile, fake, partition)
        assert arena.run()
    done = PreferenceFolder(arena.job.folder).training()
    margins = [record.eval.logprob_margin.margin for record in done.steps if record.eval.logprob_margin]
    assert len(set(margins)) == NUM_STEPS, "margins that do not tell the steps apart"
    files = {name: (arena.job.folder / name).read_bytes() for name in ("metadata.json", "baseline.json")}
    return Undisturbed(done.adapter.lora_id, files, margins)
