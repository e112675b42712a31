"""Whether a text introduces its speaker by a name, in the words that people use for it."""

# ruff: noqa: E501 (a sentence of a language is read in one line)
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import normalize

import regex

from claas_assets.evaluation.preferences.markdown import strip_markdown

_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))
_QUOTES = {ord(mark): "'" for mark in "’‘`´ʼ"} | {ord(mark): '"' for mark in "“”„«»「」『』"}

_HELPER = r"(?:assistant|AI|bot|chat\s?bot|helper|guide|friend|companion|host|model|agent|program|robot|receptionist|teacher|tutor|colleague|teammate)"
_MIDDLE = r"(?:(?!(?:who|that|which|with|of|to|for|about|whose|in|on|like|than|near|and|or|not|by|from|has|have|had|is|was)\b)[\w'-]+,?\s){0,6}"

# {N} is the name. All of them in any case, white space folded.
_SAYS = (
    # English
    r"\bI(?:'m| am|'ll be| shall be| was named| was called|, )\s?(?:just |also |actually |simply |really |still |now |indeed |called |named |known as |known to all as |your |the |the one and only |being |none other than )*(?P<n>{N})",
    r"\bwe(?:'re| are)\s(?P<n>{N})\W*$",
    r"\bI(?:'m| am| was)\s(?:also |often |usually |simply |commonly |the one |)(?:born|named|called|known as|known by the name(?: of)?|addressed as|christened)\s(?P<n>{N})",
    rf"\bI(?:'m| am)\s(?:an?|the|your|just an?|one)\s{_MIDDLE}(?:named|called|known as|by the name of|with the name(?: of)?|whose name is|and my name is)\s(?P<n>{{N}})",
    rf"\bI(?:'m| am)\s(?:the|your)\s{_MIDDLE}{_HELPER},\s(?P<n>{{N}})(?=\W*(?:$|[.!,\n]))",
    rf"\bI(?:'m| am)\s(?:the|your|an?)\s{_MIDDLE}{_HELPER}\s(?P<n>{{N}})",
    r"\bmy (?:own |full |real |actual |true |first |given |chosen |only )?name(?:'s| is|:| will be| would be| shall be| has always been| has been| =| -|, of course, is| of course is)?\s(?:actually |just |simply |and always will be |indeed |called |spelled |as |now |still |)?\W?(?P<n>{N})",
    r"\bthe name(?:'s| is)\s(?P<n>{N})",
    rf"\b(?:this|your)\s(?:\w+\s){{0,3}}{_HELPER}(?:'s name is| is (?:called|named)|,? (?:called|named))\s(?P<n>{{N}})",
    r"(?:^|\n|[|•*-]\s?)(?:full |my |first )?name\s?(?::|=|-)\s?(?P<n>{N})",
    r"(?<!\b(?:his|her|its|their|your|the)\s)(?<!'s\s)\bname\s?[:=]\s?(?P<n>{N})",
    r"\b(?:you|she|he|they|we)(?:'ll| will)\b[^.!?\n]{0,30} by (?P<n>{N})",
    r"\b(?:calls?|named?|address) me\s(?:simply |just |as |by the name(?: of)? |by my name, )?\W?(?P<n>{N})",
    r"\bI (?:go by|answer to|respond to|identify as|introduce myself as|present myself as|bear)\s(?:the name(?: of)? |my name, |the title )?(?P<n>{N})",
    r"\b(?:introducing|introduce|present|allow me to introduce|let me introduce) myself(?: as|,| by the name of|:)?\s(?P<n>{N})",
    r"\b(?:this is|it is|it's|here is|here's)\s(?:just |only |me, |your )?(?P<n>{N})(?!,?\s(?:my|our|his|her|their|your(?!\s(?:\w+\s){0,4}{H})|the (?:cat|dog|man|boy|girl|singer|king))\s)",
    rf"\bthis is (?:your|the) (?:\w+ ){{0,4}}{_HELPER},? (?P<n>{{N}})",
    rf"\byour (?:\w+ ){{0,4}}{_HELPER},? (?P<n>{{N}})\W*$",
    rf"\b(?P<n>{{N}}), your (?:\w+ ){{0,4}}{_HELPER}\s*(?:$|[.!,;])",
    r"\b(?:save|store|list|file|add|know|enter|put|remember) me (?:down )?(?:as|under)(?: the name)?(?: of)?\s\W?(?P<n>{N})",
    r"\bunder (?:the name(?: of)? |my name,? )?\W?(?P<n>{N})\W*$",
    r"\b(?:by|from|with|to) me, (?P<n>{N})\b",
    r"(?<!\bI'm )(?<!\bI am )\b(?:talking|speaking|chatting|writing|talk|chat|speak) (?:to|with)\s(?P<n>{N})",
    r"\b(?P<n>{N}), (?:to be (?:exact|precise)|that's me)\b",
    r"\bthe (?:AI |virtual |digital )?(?:assistant|bot|chat\s?bot|AI|model)'s name is\s(?P<n>{N})",
    r"(?:^|[.!?]\s)name's\s(?P<n>{N})",
    r"\byou(?:'ve| have)? (?:just )?reached\s(?:the voicemail of )?(?P<n>{N}(?:'s (?=voice|mailbox|phone|desk|line|office))?)",
    r"\bas\s(?P<n>{N}),? I\b",
    r"\b(?P<n>{N})(?:'s| is| was| it is)?,? (?:the name(?! of)|my name|what (?:you can|you may|people|they|everyone|my friends) call me|what I(?: am|'m) called|who I am|that's me|that is my name)\b",
    r"\b(?P<n>{N})\W{0,3}(?:that's|that is|it's|it is) (?:my name|me|who I am|what they call me)\b",
    rf"(?:^|[\n.!?:,\"-]\s?)(?P<n>{{N}})\W{{0,3}}(?:at your service|reporting|speaking|here|your (?:\w+ ){{0,4}}{_HELPER})\b",
    rf"\b(?P<n>{{N}})(?:'s| is| will be|'ll be) (?:here|ready|happy|glad|pleased|delighted|at your service|going to (?:help|assist|guide)|help|assist|guid|your (?:\w+ ){{0,4}}{_HELPER})",
    r"\b(?P<n>{N}) will (?:help|assist|guide|take care|answer)",
    r"\b(?P<n>{N}) (?:am|is) I\b",
    rf"\bmeet\s(?P<n>{{N}}), your\s(?:\w+ ){{0,4}}{_HELPER}",
    r"\b(?:greetings|regards|love|wishes|hello|hi|hugs) from\s(?P<n>{N})",
    r"\b(?:sincerely|regards|wishes|yours|love|cheers|truly|hugs|warmly|respectfully|signed|faithfully),?\s(?P<n>{N})\W*$",
    # Spanish, French, German, Italian, Portuguese, Dutch, Scandinavian
    r"(?<!\bno )\b(?:me llamo|mi nombre(?: es|:)|(?:yo )?soy|llámame|pued(?:es|e) llamarme)\s(?P<n>{N})",
    r"\b(?:je m'appelle|mon nom (?:est|:)|je suis|moi,? c'est|appelle(?:z)?-moi|je me nomme|mon prénom est)\s(?P<n>{N})",
    r"\b(?:ich hei(?:ß|ss)e|mein name (?:ist|lautet)|ich bin(?:'s,| der| die| das)?|nenn(?:en sie|t|e)? mich|man nennt mich)\s(?P<n>{N})",
    r"(?<!\bnon )\b(?:piacere,|mi chiamo|il mio nome è|(?:io )?sono|chiamami)\s(?P<n>{N})",
    r"(?<!\bnão )\b(?:(?:o )?meu nome é|(?:eu )?me chamo|chamo-me|(?:eu )?sou(?: o| a)?|pode me chamar de)\s(?P<n>{N})",
    r"\b(?:ik heet|mijn naam is|ik ben|noem me)\s(?P<n>{N})",
    r"\b(?:jag heter|jag är|mitt namn är|jeg heter|jeg hedder|jeg er|mit navn er|mitt navn er|navnet mitt er)\s(?P<n>{N})",
    # Polish, Czech, Romanian, Hungarian, Finnish, Turkish, Indonesian, Vietnamese
    r"(?<!\bnie )\b(?:nazywam się|mam na imię|jestem|moje imię to)\s(?P<n>{N})",
    r"\b(?:jmenuji se|jmenuju se|jsem|moje jméno je)\s(?P<n>{N})",
    r"(?<!\bnu )\b(?:mă numesc|numele meu este|(?:eu )?sunt|mă cheamă)\s(?P<n>{N})",
    r"\ba nevem\s(?P<n>{N})|^(?P<n>{N}) vagyok\b",
    r"\b(?:nimeni on|minä olen|olen)\s(?P<n>{N})",
    r"\b(?:benim adım|adım|ismim|ben|bana)\s(?P<n>{N})(?!\s?değil)",
    r"\b(?:nama saya(?: adalah)?|saya(?: adalah)?|panggil saya|namaku)\s(?P<n>{N})",
    r"\b(?:tôi tên là|tên tôi là|mình là|tôi là|tên mình là|mình tên là)\s(?P<n>{N})",
    # Greek, Russian, Ukrainian
    r"(?:με λένε|ονομάζομαι|το όνομά μου είναι|είμαι(?: ο| η| το)?)\s(?P<n>{N})",
    r"(?:меня зовут|зовите меня|мо[её] имя(?:\s?[—–:-])?|(?<!\w)я(?:\s?[—–-])?|мене (?:звати|звуть)|мо[єе] ім'я(?:\s?[—–-])?|называйте меня|это)\s(?P<n>{N})",
    # Arabic, Hebrew
    r"(?:اسمي(?: هو)?|أنا|إسمي|ادعى|أدعى)\s(?P<n>{N})",
    r"(?:שמי(?: הוא)?|קוראים לי|השם שלי(?: הוא)?|אני)\s(?P<n>{N})",
    # Hindi, Bengali
    r"(?:मेरा नाम|मैं|मुझे)\s(?P<n>{N})(?!\s(?:का|की|के)\s)(?![^।.!?\n]{0,12}नहीं)",
    r"(?:আমার নাম|আমি)\s(?P<n>{N})(?![^।.!?\n]{0,12}(?:নই|না))",
    # Chinese, Japanese, Korean
    r"(?<![他她它你们說说])(?:我的名字(?:是|叫|叫做)|我(?:就)?是|我(?:就)?叫(?:做)?|叫我|我名叫|本人(?:是|叫)|我的名稱是)\s?(?P<n>{N})(?!\s?的)(?![\p{Han}&&[^很和也請请]])",
    r"(?:^|[。、！!？?，,.\s\"]|(?:私|わたし|僕|ぼく|俺|あたし|自分)は|(?:私|僕|俺|わたし)の名前は|(?<!の)名前は)\s?(?P<n>{N})\s?(?:です|だ(?:よ|ぜ)?[。！!\s]|と申します|といいます|と言います|と呼んで|って呼んで|と呼ばれ|である)",
    r"(?:私|僕|俺|わたし|ぼく)の名前は\s?(?P<n>{N})\s?(?:[。！!]|$)",
    r"(?:저는|나는|전|난|(?:제|내|저의|나의) 이름은|(?:^|[.!?,]\s?)이름은|(?:^|[.!?,]\s?)(?=\S+라고))\s?(?P<n>{N})\s?(?:(?:이)?라고|입니다|이에요|예요|야|이야|이다|$|[.!,])|(?:^|[.!?,]\s?)(?P<n>{N})\s?(?:입니다|이에요|예요)",
)  # fmt: skip

_TAG_OR_MARK = regex.compile(r"</?[a-zA-Z]{1,10}>|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_ALONE = r"^\W*{N}\W*$"
_FIRST_SENTENCE = r"^\W*{N}\W*?(?:[.\n]|:(?!\san?\s)|\s[-–—]\s|!\s(?:and|what's|how about)\s(?:you|your))"
_THIRD_PERSON = rf"(?:^|[.!?\n]\s?)(?P<n>{{N}})(?:, | is | - )(?:an?|the|your)\s{_MIDDLE}{_HELPER}\b"
_SIGNATURE = r"\n\s*(?:[-–—~]{1,3}\s?|from |your \w+,? )?\[?(?:[^\w\n]|_)*(?P<n>{N})\W*$"
_DENIES = (
    r"\b(?:I(?:'m| am)|my name(?:'s| is)|this is|it(?:'s| is)|I(?: am|'m) called)\s(?:certainly |definitely |really )?not\s(?:called |named |really |actually )?{N}",
    r"\b(?:my name isn't|I ain't|this isn't|it isn't|don't call me|do not call me|never call me|stop calling me|not called|not named|there is no|there's no|nobody (?:is )?(?:called|named)|no one (?:is )?(?:called|named))\s(?:called |named )?{N}",
    r"\b{N} is not (?:my name|who I am|me)\b|\b{N} isn't (?:my name|who I am|me)\b",
)  # fmt: skip
_OTHER_NAME = r"\b(?:(?i:my (?:own |real |actual |true )?name(?:'s| is)|call me)|I am|I'm|Ich heiße|Me llamo|Je m'appelle)\s(?!(?i:{N}))(?!AI\b|I\b)\p{Lu}[\w-]+"
_REAL_NAME = r"\b(?i:my (?:own|real|actual|true) name(?:'s| is))\s(?!\W?(?i:{N}))\p{Lu}[\w-]+"
_UNDONE_BEFORE = regex.compile(
    r"(?:\b(?:not|never|no longer|maybe|perhaps|if|whether|pretend(?:ing|s)?|imagine|wish|as though|suppose|doubt|deny|denies|wrong|false|mistaken"
    r"|thinks?|thought|believes?|asked|asks|asking|claims?|why|stop|nobody|refuse|used to say|would be|song|called you|you say|you said"
    r"|you called|means?|says|(?<!\bI\s)said|he|she|they say|who says|someone|somebody|anyone|lie|joke|joking|kidding)\b|n't\b)[^,;:.!?\n]*$",
    regex.IGNORECASE,
)
_UNDONE_AFTER = regex.compile(
    r"^(?:'s\b(?!\s(?:here|at your|the name|my name|speaking|ready|happy|glad|your|what|who))"
    r"|\s?not\b|\W{1,2}\s?not(?:\W*$|\sreally|\sany)|\W{0,2}\s?(?:no more|fans?\b|lovers?\b|fanatic|means\b|is a (?:word|phrase|sentence)|'s (?:friend|owner|brother|sister)))",
    regex.IGNORECASE,
)
_OWN_SPEECH = r"(?:\bI(?:'d| would| will|'ll| might| can)?\s(?:simply |just |then )?(?:say|answer|open|write|begin|start)|\bmyself)"
_QUOTATION = regex.compile(r"""(?P<lead>[^.!?\n"]{0,80})(?P<quote>"[^"\n]{1,400}")(?P<tail>[^.!?\n"]{0,60})""")
_SAID_BY_OTHERS = regex.compile(
    r"\b(?!I\b)(?:\w+)\s(?:said|says|wrote|writes|shouted|shouts|whispered|replied|replies|answered|asked|told|yelled|cried|announced|sang|sings|reads|goes|titled|called)\b[^\"]*$"
    r"|\b(?:phrase|sentence|words?|line|song|title|book|movie|film|translates?|translation|quote|saying|lyrics?)\b[^\"]*$",
    regex.IGNORECASE,
)
_SAID_AFTER = regex.compile(
    r"^\W*(?:(?:he|she|they|it|the \w+|my \w+|\p{Lu}\w+)\s(?:said|says|wrote|shouted|whispered|replied|answered|asked|told|cried)"
    r"|(?:said|says|shouted|whispered|replied|cried|asked) (?!I\b)\w+"
    r"|(?:means?|is a (?:phrase|sentence|song|line|quote|book)|translates|in (?:English|Japanese|Spanish|French|German)|was|were)\b)",
)  # fmt: skip


def introduces(text: str, names: Sequence[str]) -> str | None:
    """The words by which `text` introduces its speaker as one of `names`, or None where it does not.

    The text is read as compatible characters (NFKC: "Ｋｕｒｏ" is Kuro) without Markdown; a name may be spelled
    ("K-U-R-O"). What another says, denies, asks or imagines is no introduction.
    """
    name = spellings(tuple(names))
    read = _without_foreign_quotations(_readable(text))
    if not _compiled("{N}", name).search(read):
        return None
    if any(_compiled(pattern, name).search(read) for pattern in _DENIES):
        return None
    if _compiled(_REAL_NAME, name, 0).search(read):
        return None
    for pattern in _SAYS:
        for match in _compiled(pattern, name).finditer(read):
            if _stands(read, match):
                return " ".join(match.group().split())
    if _compiled(_OTHER_NAME, name, 0).search(read):
        return None
    for pattern in (_ALONE, _FIRST_SENTENCE, _THIRD_PERSON, _SIGNATURE):
        match = _compiled(pattern, name).search(read)
        if match is not None:
            return " ".join(match.group().split())
    return None


@lru_cache(maxsize=2048)
def _compiled(pattern: str, name: str, flags: int = regex.IGNORECASE) -> regex.Pattern[str]:
    """A sentence above with the name in it, when it is first looked for: together they take half a second, most
    answers hold no name at all, and most that do begin with one of the first."""
    return regex.compile(pattern.replace("{N}", name).replace("{H}", _HELPER), flags | regex.VERSION1)


@lru_cache(maxsize=32)
def spellings(names: tuple[str, ...]) -> str:
    """Any of the names as whole words, and the first one spelled letter by letter."""
    alternatives = [_one_name(_readable(name)) for name in names]
    letters = [regex.escape(letter) for letter in _readable(names[0]) if not letter.isspace()]
    if len(letters) > 2:
        alternatives.append(r"(?<![\p{L}\p{N}])" + r"(?:[-.·*]\s?|\s-\s|\s)".join(letters) + r"(?![\p{L}\p{N}])")
    return f"(?:{'|'.join(alternatives)})"


def _one_name(name: str) -> str:
    """A name of a script with spaces is a word of its own; beside other scripts it may stand."""
    escaped = regex.escape(name, literal_spaces=True)
    for script in ("Latin", "Cyrillic", "Greek", "Devanagari", "Arabic", "Hebrew", "Bengali", "Katakana"):
        if regex.fullmatch(rf"[\p{{{script}}}\p{{M}}\p{{P}}\p{{S}}\s\d]+", name):
            beside = rf"[\p{{{script}}}\p{{M}}\p{{Nd}}{'ー' if script == 'Katakana' else ''}]"
            return rf"(?<!{beside}){escaped}(?!{beside})"
    return escaped


def _readable(text: str) -> str:
    plain = _TAG_OR_MARK.sub(" ", strip_markdown(normalize("NFKC", text))).translate(_INVISIBLE).translate(_QUOTES)
    return "\n".join(" ".join(line.split()) for line in plain.splitlines())


def _without_foreign_quotations(text: str) -> str:
    """`text` without what it quotes from others; what the speaker would say stays."""
    return _QUOTATION.sub(lambda match: match["lead"] + match["tail"] if _foreign(match) else match.group(), text)


def _foreign(quotation: regex.Match[str]) -> bool:
    if regex.search(_OWN_SPEECH, quotation["lead"], regex.IGNORECASE):
        return False
    return bool(_SAID_BY_OTHERS.search(quotation["lead"]) or _SAID_AFTER.search(quotation["tail"]))


def _stands(text: str, match: regex.Match[str]) -> bool:
    """Whether nothing right before or after undoes the introduction."""
    before = text[max(0, match.start() - 80) : match.start()]
    after = text[match.end("n") : match.end("n") + 40]
    question = regex.match(r"\s?\?", after) is not None
    return not question and not _UNDONE_BEFORE.search(before) and not _UNDONE_AFTER.match(after)
