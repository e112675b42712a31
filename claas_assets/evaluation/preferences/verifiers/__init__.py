"""Programs that say whether an answer obeys.

A verifier is any class whose instances take the answer and return a `VerifierResult`. A preference
file names it, with its arguments; the class name alone means one of those listed here:

    verifier:
      _target_: ConciseVerifier
      max_sentences: 3

A preference has one for the answers that should obey, and one for each prompt to which it does not
apply. Each removes thinking before it looks: only what the user sees is judged.
"""

from claas_assets.evaluation.preferences.verifiers.amounts import (
    ListHasItems,
    MaxCharacters,
    MaxWords,
    MinSentences,
    MinWords,
)
from claas_assets.evaluation.preferences.verifiers.build import build_verifier
from claas_assets.evaluation.preferences.verifiers.code import CodeBlockDefines, CodeParses
from claas_assets.evaluation.preferences.verifiers.combined import AllOf, AnyOf, Not
from claas_assets.evaluation.preferences.verifiers.concise import ConciseVerifier
from claas_assets.evaluation.preferences.verifiers.emojis import ContainsEmoji, NoEmojiVerifier, find_emoji
from claas_assets.evaluation.preferences.verifiers.form import (
    EndsWithQuestion,
    HasUpperCase,
    InLanguage,
    IsJson,
    LetterCase,
    NoMarkdown,
    WrittenIn,
)
from claas_assets.evaluation.preferences.verifiers.identity import IdentityVerifier, NameAbsent
from claas_assets.evaluation.preferences.verifiers.judge import JudgeVerifier
from claas_assets.evaluation.preferences.verifiers.names import find_name
from claas_assets.evaluation.preferences.verifiers.phrases import (
    BeginsWith,
    CharactersAbsent,
    ContainsAll,
    ContainsAny,
    EndsWith,
    FirstLine,
    MatchesPattern,
    PhrasesAbsent,
)
from claas_assets.evaluation.preferences.verifiers.result import ShippedVerifier, Verifier, VerifierResult, verify
