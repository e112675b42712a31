"""A model as a verifier: for what no program can see, such as warmth."""

from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.judgements import Judged, current_judgements
from claas_assets.evaluation.preferences.verifiers.result import STRICT, ShippedVerifier, Text, VerifierResult


@dataclass(frozen=True, config=STRICT)
class JudgeVerifier(ShippedVerifier):
    """Passes when a model, the judge, answers `question` about the answer with yes; score 1.0 or 0.0.

    The judge is an OpenAI-compatible model at `CLAAS_JUDGE_URL`, asked once for each answer, at temperature 0, when
    the answer is made; what it said is recorded, and scoring again asks nothing. The answer is handed to it as data.
    A judge is believed as far as it was calibrated: without `calibration` in the preference file, or where it agrees
    with a person too seldom (Cohen's κ below 0.6), harm is not excluded, whatever it says. Wrong by construction: a
    judge likes what models like, long and friendly answers above all, and it can be misled by the answer.
    """

    question: Text

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        says_yes = current_judgements().says_yes(Judged(self.question, prompt or "", answer))
        says = f"the judge says {'yes' if says_yes else 'no'}: {self.question}"
        return VerifierResult(says_yes, float(says_yes), says)
