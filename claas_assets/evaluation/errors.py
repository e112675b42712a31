"""Every error that the harness raises on purpose, with the exit code that the command line gives it.

    EvaluationError
    ├── ConfigError            2  a key, value or name of the configuration (nothing was sent anywhere)
    ├── PreferenceError        2  a preference file that cannot be used
    ├── DeploymentError        1  the deployment
    │   ├── DeploymentUnreachable   it does not answer
    │   ├── DeploymentUnhealthy     it answers, and says that it cannot work
    │   ├── RequestRefused          it answered, and said no (status and body are kept)
    │   ├── NotTrained              a feedback call that was answered, and did not train
    │   ├── OutcomeUnknown          a feedback call that may or may not have trained
    │   ├── GatewayUnproven         chat through the gateway may be answered by other weights than those in training
    │   ├── MalformedAnswer         it answered something that is not the contract
    │   └── AdapterLost             the adapter is no longer the one that this run trained: the run cannot go on
    │       └── AdapterVanished     it is no longer there
    ├── JudgeError             1  the model that judges answers, or drafts prompts: it does not answer, or says no
    ├── ForbiddenInAudit       1  a request that would change what an audit only measures: a mistake in the program
    ├── RunFolderError         1  files of a run: missing, half-written, in use, or of another configuration
    │   └── NoSuchRun          2  a run or folder of runs that was named and is not there
    ├── DagsterStorageError    1  where Dagster keeps its runs: full, not writable, broken
    └── IncompleteEvaluation   1  some preferences did not finish

To add one: subclass here, give it an `exit_code` if it differs from its parent's, and raise it with
a message that says what was wrong, where, and what to do.
"""

from functools import partial
from typing import Any


class EvaluationError(Exception):
    exit_code = 1


class ConfigError(EvaluationError):
    exit_code = 2


class PreferenceError(EvaluationError):
    exit_code = 2


class DeploymentError(EvaluationError):
    pass


class DeploymentUnreachable(DeploymentError):
    pass


class DeploymentUnhealthy(DeploymentError):
    pass


class RequestRefused(DeploymentError):
    """It answered, and said no."""

    def __init__(self, message: str, *, status: int, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status."""
        self.body = body
        """The first kilobyte of the answer."""

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), status=self.status, body=self.body), self.args


class NotTrained(DeploymentError):
    """A feedback call that was answered with a 200 which says that it failed, or does not say that it trained."""


class OutcomeUnknown(DeploymentError):
    """A feedback call whose effect is unknown: 409, 5xx, a time-out, a broken connection."""


class GatewayUnproven(DeploymentError):
    """Chat through the gateway may be answered by other weights than those in training."""


class MalformedAnswer(DeploymentError):
    pass


class AdapterLost(DeploymentError):
    """The adapter was replaced, restored from an earlier state, or trained by somebody else."""


class AdapterVanished(AdapterLost):
    pass


class JudgeError(EvaluationError):
    pass


class ForbiddenInAudit(EvaluationError):
    """A request that would change what an audit only measures: it was not sent."""


class RunFolderError(EvaluationError):
    pass


class NoSuchRun(RunFolderError):
    exit_code = 2


class DagsterStorageError(EvaluationError):
    pass


class IncompleteEvaluation(EvaluationError):
    pass
