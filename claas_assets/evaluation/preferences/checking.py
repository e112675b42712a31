"""What is wrong with a preference that loads, and would only show in its numbers."""

from collections.abc import Iterator

from claas_assets.evaluation.preferences.preference import Preference
from claas_assets.evaluation.preferences.prompts import nearly_one
from claas_assets.evaluation.preferences.verifiers import verify


def faults_of(preference: Preference) -> list[str]:
    """In words; none where all is well. A user's own verifier may raise, which is a fault as well."""
    found = list(_near(preference))
    if not preference.asks_a_judge:
        try:
            found += _misjudged(preference)
        except Exception as error:  # a user's class may raise anything: it is told, as all that is wrong here
            found.append(f"the verifier raised {type(error).__name__}: {error}")
    return found


def _near(preference: Preference) -> Iterator[str]:
    for trained in preference.probe_prompts:
        for held_out in preference.heldout_prompts:
            if nearly_one(trained, held_out):
                yield f"a held-out prompt is nearly one that is trained on: {held_out!r} and {trained!r}"


def _misjudged(preference: Preference) -> Iterator[str]:
    verifier = preference.build_verifier()
    if verify(verifier, "", None).passed:
        yield "the verifier accepts an empty answer"
    for pair in preference.logprob_pairs or ():
        prompt = pair.prompt_messages[-1].content
        preferred = verify(verifier, pair.positive_response, prompt)
        dispreferred = verify(verifier, pair.negative_response, prompt)
        if not preferred.passed:
            yield f"the verifier refuses a preferred answer, {pair.positive_response!r}: {preferred.detail}"
        if dispreferred.passed:
            yield f"the verifier accepts a dispreferred answer, {pair.negative_response!r}: {dispreferred.detail}"
