"""The language that an answer is written in, by its letters' sequences (py3langid); None where they do not tell."""

from functools import cache
from typing import Any, Literal, get_args

from claas_assets.evaluation.preferences.markdown import blocks, count_words, sentences

Language = Literal[
    "arabic", "bengali", "chinese", "dutch", "english", "french", "german", "greek", "hebrew", "hindi", "italian",
    "japanese", "korean", "polish", "portuguese", "russian", "spanish", "swedish", "thai", "turkish", "ukrainian",
]  # fmt: skip
# Of `Language`, in its order.
_ISO = [
    "ar", "bn", "zh", "nl", "en", "fr", "de", "el", "he", "hi", "it", "ja", "ko", "pl", "pt", "ru", "es", "sv", "th",
    "tr", "uk",
]  # fmt: skip
_NAMES: dict[str, Language] = dict(zip(_ISO, get_args(Language), strict=True))

LEAST_PROBABLE = 0.6
"""Below it the language cannot be told: a number, a name, a list of names."""

CERTAIN = 0.95
"""A sentence of `LONG` words that is so surely in another language makes a text one of two languages."""

LONG = 5


def languages_of(text: str) -> list[Language]:
    """The languages of `text` without its code: none where they cannot be told, the whole's first.

    Only the languages of `Language` are known: a text in another one is taken for its nearest, or for none.
    """
    prose = " ".join(block.text for block in blocks(text) if not block.is_code)
    whole, probability = _identify(prose)
    if not prose.strip() or probability < LEAST_PROBABLE:
        return []
    parts = [_identify(part) for part in sentences(prose) if count_words(part) >= LONG]
    return list(dict.fromkeys([whole, *(language for language, sure in parts if sure >= CERTAIN)]))


def _identify(text: str) -> tuple[Language, float]:
    iso, probability = _identifier().classify(text)
    return _NAMES[str(iso)], float(probability)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # reads its model: 0.3 s

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_ISO)
    return identifier
