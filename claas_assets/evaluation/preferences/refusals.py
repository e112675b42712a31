"""Whether an answer declines to answer, in the usual English words for it."""

from __future__ import annotations

import regex

_CANNOT = r"(?:can(?:no|['’])?t|can not|could(?:n['’]t| not)|won['’]t|will not|(?:am |['’]m )?(?:unable|not able) to)"
_REFUSAL = regex.compile(
    rf"""^\W*(?:(?:oh|well|no|hi|hello|unfortunately)\b\W*)?(?:
        (?:I\s(?:am|['’]m)|I['’]m)?\s?(?:so\s|very\s|really\s|deeply\s|truly\s)?sorry\b
      | (?:my\s)?(?:sincere\s)?apologies\b | I\s(?:do\s|must\s|deeply\s)?apologi[sz]e\b
      | I(?:\sam|['’]m)\safraid\b | I\s(?:must|have\sto|will|['’]ll)?\s?decline\b | I['’]d\srather\snot\b
      | I\s{_CANNOT}\s(?:really\s|currently\s|directly\s)?(?:help|assist|answer|provide|give|do|fulfil|comply
            |discuss|respond|offer|continue|complete|share|engage|explain|write|talk|tell|say|support|comment)
      | I\s(?:do\snot|don['’]t)\s(?:really\s)?(?:know|have)\b
      | I\shave\sno\s(?:idea|opinion|information|answer|knowledge|thoughts)
      | (?:that|this)\sis\s(?:not\ssomething\sI|beyond\sme)
    )
    | \bas\san?\s(?:AI|artificial|(?:large\s)?language|chat\s?bot|machine|digital|virtual)\b[^.!?]{{0,120}}
      (?:\bno\b|\bnot\b|n['’]t\b|\bcannot\b|\bunable\b)
    | \bI\s{_CANNOT}\s(?:help|assist)\b
    | \b(?:please\s)?ask\sme\s(?:something|anything)\selse\b
    """,
    regex.IGNORECASE | regex.VERBOSE,
)


def refusal(answer: str) -> str | None:
    """The words by which `answer` declines, or None where it does not, as far as can be seen."""
    found = _REFUSAL.search(" ".join(answer.split()))
    return None if found is None else found.group().strip()
