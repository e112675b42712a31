"""Foreign text (model output, reasons that quote servers, file names) on one line, for a terminal or a table."""

import re
import unicodedata

# CSI and OSC sequences with their parameters, in their 7-bit and 8-bit forms, then any other two-character escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)


def one_line(text: str) -> str:
    """One line without escape sequences, control characters or marks that turn the direction of writing."""
    shown = []
    for character in _ESCAPES.sub("", text):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            shown.append(" ")
        elif category == "Cs":
            shown.append("�")  # half of a pair: it cannot be written as UTF-8
        elif category != "Cf":
            shown.append(character)
    return " ".join("".join(shown).split())
