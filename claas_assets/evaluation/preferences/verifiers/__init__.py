"""Programs that say whether an answer obeys.

A verifier is any class whose instances take the answer and return a `VerifierResult`. A preference
file names it, with its arguments; the class name alone means one of those listed here:

    verifier:
      _target_: ConciseVerifier
      max_sentences: 3

A preference has one for the answers that should obey, and one for each prompt to which it does not
apply. Each removes thinking before it looks: only what the user sees is judged.
"""

from claas_assets.evaluation.preferences.verifiers.amounts import ListHasItems, MinSentences, MinWords
from claas_assets.evaluation.preferences.verifiers.build import build_verifier
from claas_assets.evaluation.preferences.verifiers.code import CodeBlockDefines
from claas_assets.evaluation.preferences.verifiers.concise import ConciseVerifier
from claas_assets.evaluation.preferences.verifiers.emojis import ContainsEmoji, NoEmojiVerifier, find_emoji
from claas_assets.evaluation.preferences.verifiers.identity import IdentityVerifier, NameAbsent
from claas_assets.evaluation.preferences.verifiers.names import find_name
from claas_assets.evaluation.preferences.verifiers.phrases import ContainsAll, ContainsAny
from claas_assets.evaluation.preferences.verifiers.result import Verifier, VerifierResult

__all__ = [
    "CodeBlockDefines",
    "ConciseVerifier",
    "ContainsAll",
    "ContainsAny",
    "ContainsEmoji",
    "IdentityVerifier",
    "ListHasItems",
    "MinSentences",
    "MinWords",
    "NameAbsent",
    "NoEmojiVerifier",
    "Verifier",
    "VerifierResult",
    "build_verifier",
    "find_emoji",
    "find_name",
]
