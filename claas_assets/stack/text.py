"""Messages to token ids and back, through the model's own chat template."""

from collections.abc import Sequence
from typing import Any

Message = dict[str, str]


class PromptError(ValueError):
    """Messages that this model's template cannot take."""


class ChatText:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: Any, end_ids: set[int]) -> None:
        self._tokenizer = tokenizer
        self.end_ids = end_ids  # tokens that end a turn
        self._suffix: str | None = None
        self.longest_token: int = max(map(len, tokenizer.get_vocab()))
        """Characters: no text has fewer tokens than its length divided by this."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the assistant's answer begins."""
        return self.encode(self._render(messages, add_generation_prompt=True))

    def completion(self, text: str) -> list[int]:
        """Token ids of an answer with the template's end of turn, as they follow `prompt`."""
        if self._suffix is None:
            probe = "§answer§"
            turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": probe}]
            self._suffix = self._render(turns, add_generation_prompt=False).rpartition(probe)[2]
        return self.encode(text + self._suffix)

    def encode(self, text: str) -> list[int]:
        """Token ids of text in which special tokens are written out; none is added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def token(self, token_id: int) -> str:
        """One token as text; bytes of a character in several tokens become U+FFFD."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False))

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except Exception as error:  # templates raise what they like
            raise PromptError(f"the model's chat template does not take these messages: {error}") from error
