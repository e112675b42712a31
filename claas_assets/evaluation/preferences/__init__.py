"""preferences: what a user wants, and programs that judge it.

A preference is a YAML file (`preference`); its verifiers (`verifiers`) read answers with `markdown`.
"""

from claas_assets.evaluation.preferences.preference import (
    LogprobPair,
    OverApplicationItem,
    Preference,
    PromptMessage,
    load_preference,
    preference_names,
)
from claas_assets.evaluation.preferences.verifiers import Verifier, VerifierResult, build_verifier
