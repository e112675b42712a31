"""Errors cross processes (Dagster's runs, the worker of a preference): each must survive being pickled."""

from __future__ import annotations

import importlib
import pickle
import pkgutil

import pytest

import claas_assets
from claas_assets.evaluation import errors

RUN_AS_A_PROGRAM = {"claas_assets.evaluation.sandbox.child"}  # it closes what it does not need as it begins


def own_exceptions() -> list[type[BaseException]]:
    """Every exception class that the package defines."""
    found = set()
    for module in pkgutil.walk_packages(claas_assets.__path__, "claas_assets."):
        if module.name in RUN_AS_A_PROGRAM or module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == module.name:
                found.add(value)
    return sorted(found, key=lambda kind: kind.__qualname__)


def test_every_exception_of_the_package_comes_out_of_a_pickle_as_it_went_in():
    kinds = own_exceptions()
    assert {errors.RequestRefused, errors.ConfigError} <= set(kinds)
    for kind in kinds:
        given = {"status": 404, "body": "no such adapter"} if issubclass(kind, errors.RequestRefused) else {}
        error = kind("the message", **given)
        error.args = ("the message, with where it was added",)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind
        assert str(copy) == "the message, with where it was added"
        assert vars(copy) == vars(error)


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)])
def test_every_error_of_the_documented_tree_is_in_it_and_has_an_exit_code(kind):
    if issubclass(kind, errors.EvaluationError):
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.exit_code in (1, 2)
