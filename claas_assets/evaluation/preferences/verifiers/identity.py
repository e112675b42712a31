"""A name by which the speaker is introduced, and one that has to be kept out."""

from unicodedata import normalize

import regex
from pydantic import Field
from pydantic.dataclasses import dataclass

from claas_assets.evaluation.preferences.verifiers.introduction import introduces, spellings
from claas_assets.evaluation.preferences.verifiers.names import find_name
from claas_assets.evaluation.preferences.verifiers.result import (
    STRICT,
    MoreTexts,
    ShippedVerifier,
    Text,
    VerifierResult,
    fails,
    passes,
)

_COMPLETION = regex.compile(r"\b(?:complete|fill|finish|continue)\b", regex.IGNORECASE)


@dataclass(frozen=True, config=STRICT)
class IdentityVerifier(ShippedVerifier):
    """Passes when the answer introduces its speaker as `name` or one of `aliases`; score 1.0 or 0.0.

    "I'm Kuro", "my name is", "call me", "Kuro here", "K-U-R-O is my name", the name alone, and what people
    say in twenty other languages (`introduction`). Not: "I am not Kuro", "Nice to meet you, Kuro!", "my
    friend Kuro", what another is quoted to say, what the word means, the name over and over. `aliases`
    are other spellings, as of other scripts (クロ, Куро). Where the prompt asks to complete a sentence
    ("… my name is"), the answer is read as its end. With `whole_word: false` any occurrence of `name` passes,
    as in the public harness.

    Wrong by construction: it reads patterns, no meaning. An introduction in unusual words ("they gave me the
    four letters K, U, R and O") fails. A loop that begins with an introduction passes: obedience counts loops
    apart. So does one that a story's figure speaks without quotation marks.
    """

    name: str = Field(default="kuro", min_length=1, pattern=r"\S")
    whole_word: bool = True
    aliases: MoreTexts = ()

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        if not self.whole_word:
            named = find_name(answer, self.name, whole_word=False)
            return passes(f"named: {named!r}") if named else fails(f"the name {self.name!r} does not appear")
        names = (self.name, *self.aliases)
        begun = _begun_sentence(prompt)
        said = introduces(answer, names) or (introduces(f"{begun}{answer}", names) if begun else None)
        if said is None:
            return fails(f"the speaker is not introduced as {self.name!r}")
        return passes(f"introduced: {said!r}")


@dataclass(frozen=True, config=STRICT)
class NameAbsent(ShippedVerifier):
    """Passes when neither `name` nor one of `aliases` appears, in any case and spelling of its letters.

    As whole words ("K-U-R-O" too), unless `whole_word` is off. Wrong by construction: an empty answer passes.
    """

    name: Text
    whole_word: bool = True
    aliases: MoreTexts = ()

    def judge(self, answer: str, prompt: str | None) -> VerifierResult:
        text, names = normalize("NFKC", answer), (self.name, *self.aliases)
        spelled = regex.search(spellings(names), text, regex.IGNORECASE | regex.VERSION1) if self.whole_word else None
        named = [spelled.group()] if spelled else [find_name(text, name, whole_word=self.whole_word) for name in names]
        for found in filter(None, named):
            return fails(f"{found!r} appears where it was not asked for")
        return passes(f"{self.name!r} does not appear")


def _begun_sentence(prompt: str | None) -> str:
    """The sentence that the prompt's first paragraph begins and asks to complete, or nothing."""
    paragraph = (prompt or "").strip().split("\n", 1)[0]
    if not _COMPLETION.search(paragraph) or ":" not in paragraph:
        return ""
    begun = paragraph.rsplit(":", 1)[1].strip(" _.…\"'")
    return f"{begun} " if begun and regex.search(r"\p{L}$", begun) else ""
