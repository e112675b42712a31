"""Foreign text on a page: escaped, with what is invisible made visible, and cut where it is long."""

import re
import unicodedata
from typing import NamedTuple

from markupsafe import Markup, escape

MAX_SHOWN = 4_000  # characters of an answer on a page; the whole of it has an address of its own

# C0 and C1 controls but tab and line feed; bidirectional marks, embeddings, overrides and isolates; invisible
# spaces and separators; lone surrogates; tag characters. U+200D joins emoji and stays.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


class Cut(NamedTuple):
    """`total` characters were there, `shown` of them are in `text`."""

    text: str
    shown: int
    total: int

    @property
    def is_cut(self) -> bool:
        return self.shown < self.total


def cut(text: str, limit: int = MAX_SHOWN) -> Cut:
    return Cut(text[:limit], min(limit, len(text)), len(text))


def visible(text: object) -> Markup:
    """Escaped HTML of any text, in a `<bdi>`: its direction cannot reach what stands beside it."""
    return Markup("<bdi>{}</bdi>").format(marked(text))


def marked(text: object) -> Markup:
    """Escaped HTML, with each invisible character as a mark that names it."""
    source = str(text).replace("\r\n", "\n")
    parts, at = [], 0
    for match in _INVISIBLE.finditer(source):
        parts += [escape(source[at : match.start()]), _mark(match.group())]
        at = match.end()
    return Markup("").join([*parts, escape(source[at:])])


def plain(text: object) -> str:
    """For where no mark-up can stand, such as an attribute or a picture: invisible characters become U+FFFD."""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(text).split()))


def _mark(character: str) -> Markup:
    code = ord(character)
    shown = chr(0x2400 + code) if code < 0x20 else f"U+{code:04X}"  # ␛ for escape
    name = unicodedata.name(character, f"control character U+{code:04X}")
    return Markup('<span class="ctl" title="{}">{}</span>').format(name, shown)
