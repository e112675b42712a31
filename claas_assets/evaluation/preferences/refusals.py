"""What stands in the place of an answer: a refusal, an offer to answer, a question back."""

# ruff: noqa: E501 (a way to decline is read in one line)
from collections.abc import Sequence

import regex

# White space is \s throughout: the pattern is a verbose one.
_CANNOT = (
    r"(?:can(?:no|['’])?t|can\snot|could(?:n['’]t|\snot)|won['’]t|will\snot"
    r"|(?:am\s|['’]m\s)(?:unable|not\sable|not\sallowed)\sto)"
)
_REFUSAL = regex.compile(
    rf"""^\W*(?:(?:oh|well|no|hi|hello|unfortunately)\b\W*)?(?:
        (?:I\s(?:am|['’]m)|I['’]m)?\s?(?:so\s|very\s|really\s|deeply\s|truly\s)?(?:sorry|afraid)\b[^.!?\n]{{0,160}}?
            (?:\b{_CANNOT}|n['’]t\b|\bnot\b|\bno\b|\bunable\b|\boutside\b|\bbeyond\b|\binconvenience\b|\bask\b|$)
      | (?:my\s)?(?:sincere\s)?apologies\b | I\s(?:do\s|must\s|deeply\s)?apologi[sz]e\b
      | I\s(?:must|have\sto|will|['’]ll)?\s?decline\b | I['’]d\srather\snot\b
      | I\s?{_CANNOT}\s(?:really\s|currently\s|directly\s)?(?:help|assist|answer|provide|give|do
            |fulfil|comply|discuss|respond|offer|continue|complete|share|engage|explain|write|talk|tell|say|support|comment)
      | I\s(?:do\snot|don['’]t)\s(?:really\s)?(?:know|have)\b(?!\s(?:exactly\s)?why)
      | I\s(?:deeply\s)?regret\sto\b | I(?:\sam|['’]m)\snot\sin\sa\sposition\sto\b
      | I\shave\sno\s(?:idea|opinion|information|answer|knowledge|thoughts)
      | (?:that|this)\sis\s(?:not\ssomething\sI|beyond\sme) | it\sis\s(?:not\s|im)possible\sfor\sme\sto
      | lo\ssiento\b[^.!?]{{0,60}}\bno\s(?:puedo|me\ses) | no\spuedo\s(?:ayudar|responder)
      | (?:je\ssuis\s)?désolée?\b[^.!?]{{0,60}}\bne\speux | je\sne\speux\spas\s(?:vous\s|t['’])?(?:aider|répondre)
      | (?:es\s)?tut\smir\s(?:sehr\s)?leid\b[^.!?]{{0,60}}\bnicht | ich\skann\s(?:\w+\s){{0,4}}nicht\s(?:helfen|beantworten)
      | (?:desculpe|lamento)\b[^.!?]{{0,60}}\bnão\sposso | mi\sdispiace\b[^.!?]{{0,60}}\bnon\sposso
      | (?:извините|простите|к\sсожалению)[^.!?]{{0,60}}не\sмогу
      | (?:抱歉|对不起|對不起|很遗憾)[^。]{{0,30}}(?:无法|不能|無法) | 申し訳[^。]{{0,40}}(?:できません|ません) | 죄송[^.]{{0,40}}없습니다
    )
    | \b(?:as|I\sam|I['’]m)\s(?:just\s|only\s|but\s)?an?\s(?:AI|artificial|(?:large\s)?language|chat\s?bot|machine|digital|virtual)\b[^.!?]{{0,120}}
      (?:\bno\b|\bnot\b|n['’]t\b|\bcannot\b|\bunable\b)
    | \bI\s{_CANNOT}\s(?:help|assist)\b
    | \bI\s(?:simply\s|just\s|really\s)?(?:do\snot|don['’]t)\shave\s(?:the\s|any\s|enough\s)?(?:knowledge|information|answer|expertise|access)\b
    | \b(?:too\s\w+|impossible)\sfor\sme\sto\b | \b(?:outside|beyond)\s(?:of\s)?(?:the\sscope\sof\s)?my\s(?:scope|knowledge|training|expertise|abilit)
    | \b(?:please\s)?ask\sme\s(?:something|anything)\selse\b
    """,
    regex.IGNORECASE | regex.VERBOSE,
)
_OFFER = regex.compile(
    r"""^\W*(?:(?:sure|certainly|of\scourse|okay|ok|yes|great|absolutely|thanks?|thank\syou|hello|hi)\b[\W]*)*+(?:
        I(?:['’]m|\sam|['’]d\sbe|\swould\sbe)\s(?:happy|glad|pleased|delighted|here|ready|going)\sto\b
      | I(?:\scan|\swill|['’]ll|\swould)\s(?:be\s(?:happy|glad|more|brief|concise)|try|do\smy\sbest|explain|answer|help|keep|give\syou|tell\syou)\b
      | let\sme\s(?:know|explain|tell|help|try) | feel\sfree | (?:I\s)?hope\s(?:this|that|it) | please\s(?:let|feel|tell|ask|provide|give|share|specify|clarify)
      | (?:here|below)\s(?:is|are)\b[^.!?]{0,160}:\W*$ | here['’]s\b[^.!?]{0,160}:\W*$
      | (?:be|keep\sit|answer|reply)\s(?:more\s)?(?:concise|brief|short|in\b)
    )""",
    regex.IGNORECASE | regex.VERBOSE,
)


def refusal(answer: str) -> str | None:
    """The words by which an answer declines to answer, or None where it does not.

    The usual English ones, and the commonest of ten other languages. Wrong by construction: a refusal in
    unusual words is not seen.
    """
    found = _REFUSAL.search(" ".join(answer.split()))
    return found.group().strip() if found else None


def told(sentences: Sequence[str], prompt: str | None = None) -> list[str]:
    """The sentences that tell something: that do not ask, offer to answer, or begin by saying the prompt back."""
    begun = _folded(prompt or "") or None
    said = [part for part in sentences if begun is None or not _folded(part).startswith(begun)]
    return [part for part in said if not part.rstrip("\"'”)* ").endswith(("?", "？")) and not _OFFER.match(part)]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!?: ")
