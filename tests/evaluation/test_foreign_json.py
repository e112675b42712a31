"""JSON of somebody else: where a number that no file can hold may be is seen from its text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from claas_assets.evaluation.foreign_json import is_suspicious

TEXTS = st.lists(
    st.sampled_from(["0", "7", "1234567890", "e", "E", "+", "-", "N", "NaN", "Infinit", "y", ".", " ", "é", "\ud800"]),
    max_size=12,
).map("".join)


@given(TEXTS)
def test_a_number_of_nineteen_digits_or_a_hundredth_power_or_none_at_all_is_suspicious(text):
    long = r"(?<![.0-9])[0-9]{19}"  # behind a point it is a fraction, which is as long as it likes
    assert is_suspicious(text) == (re.search(rf"{long}|[eE]\+?[0-9]{{3}}|NaN|Infinity", text) is not None)
