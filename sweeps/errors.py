"""The exceptions of sweeps, grown on the tree of tokcls.

TokclsError
└── SweepError            a sweep cannot start or go on
    ├── ResourceError     the machine or cluster has not what the file asks for
    ├── LedgerError       a sweep's record cannot be read, or is not this sweep's
    ├── RegistryError     MLflow cannot be used as asked
    │   └── RefusedError  it answers, but does not take what it is told
    └── NothingFinished   no trial of the sweep came to a score
"""

from __future__ import annotations

from tokcls.errors import TokclsError, without_keys


class SweepError(TokclsError):
    """A sweep cannot start or go on."""


class ResourceError(SweepError):
    """The machine or cluster does not have what `resources.<key>` asks for."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class LedgerError(SweepError):
    """A sweep's record cannot be read, or belongs to another search space."""


class RegistryError(SweepError):
    """MLflow's tracking store or registry cannot be used as asked."""


class RefusedError(RegistryError):
    """MLflow answers, but does not take what it is told; to tell it again is no use."""


class NothingFinished(SweepError):
    """No trial of the sweep came to a score."""


def first_line(error: BaseException) -> str:
    """Give what an error says first, 200 characters at most, or its name if it says nothing.

    Keys in URIs are left out.
    """
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return without_keys(first)[:200]
