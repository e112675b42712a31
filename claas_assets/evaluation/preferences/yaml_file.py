"""Reading a YAML file that somebody else wrote: what YAML lets pass silently is refused, with its line."""

from collections.abc import Sequence
from typing import Any

import regex
import yaml

LONGEST_FILE = 1_000_000
"""Characters."""
DEEPEST = 20
"""Levels of nesting."""
LARGEST = 100_000
"""Values, with each alias counted as all that it stands for."""


class YamlFile:
    """The values of a YAML text, and the lines on which they stand.

    Raises `ValueError`, with the line, for a text that is not YAML, a key that is there twice, half of a
    surrogate pair, and nesting or aliases without bound.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_FILE:
            raise ValueError(f"it has {len(text):,} characters, at most {LONGEST_FILE:,} are read")
        try:
            loader = _Loader(text)
            self._root = loader.get_single_node()
            if self._root is not None:
                _check_values(self._root, {})
            self.values: Any = None if self._root is None else loader.construct_document(self._root)
        except yaml.YAMLError as error:
            raise ValueError(f"not readable as YAML: {error}") from error

    def line(self, place: Sequence[str | int]) -> int | None:
        """The line of the value at `place`, or of the innermost value around it that is there."""
        node = self._root
        for step in place:
            inner = _child(node, step)
            if inner is None:
                break
            node = inner
        return None if node is None else node.start_mark.line + 1


class _Loader(yaml.SafeLoader):
    """It stops at nesting without bound, which would end Python's own recursion."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        self.depth += isinstance(event, yaml.CollectionStartEvent)
        if self.depth > DEEPEST:
            raise ValueError(f"line {event.start_mark.line + 1}: nested more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= isinstance(event, yaml.CollectionStartEvent)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """YAML guesses types: what it guesses wrong ends in an exception of whatever kind reads that type."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError) as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            line = node.start_mark.line + 1
            raise ValueError(f"line {line}: {node.value!r:.60} is no {kind}, as YAML takes it: quote it") from error


def _check_values(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The number of values in `node`, aliases written out."""
    if id(node) in sizes:
        return sizes[id(node)]
    line = node.start_mark.line + 1
    sizes[id(node)] = LARGEST + 1  # what contains itself has no bound
    if isinstance(node, yaml.ScalarNode):
        if regex.search(r"[\ud800-\udfff]", node.value):
            raise ValueError(f"line {line}: half of a surrogate pair, which is no character")
        size = 1
    else:
        size = 1 + sum(_check_values(child, sizes) for child in _children(node))
    if size > LARGEST:
        raise ValueError(f"line {line}: its aliases stand for more than {LARGEST:,} values")
    sizes[id(node)] = size
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise ValueError(f"line {line}: the key {key.value!r} is there twice, first on line {seen[key.value]}")
        seen[str(key.value)] = line
    return [child for pair in node.value for child in pair]


def _child(node: Any, step: str | int) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    return None
