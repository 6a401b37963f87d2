"""The exceptions of tokcls: each says where, which rule, which value, and what would be right.

TokclsError
├── ConfigError       a YAML file or an override is wrong; holds every problem found
├── CorpusError       a data file is wrong; holds every problem found
├── BackboneError     a pretrained model cannot be found or cannot be used
├── BundleError       a bundle folder or registered model cannot be found or cannot be trusted
├── CheckpointError   what a trial left, or a .ckpt file, cannot be used
├── ClusterError      a Ray cluster that texts are predicted on cannot be used
└── InputError        a text to predict, or a request, is not acceptable
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


class TokclsError(Exception):
    """Catch this to catch everything this project raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where: prints as `file:line: path: message`."""

    message: str
    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ProblemsError(TokclsError, ValueError):
    """An input with one or more problems; `str()` prints one a line, in the order given."""

    shown = 20

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[: self.shown]]
        if len(self.problems) > self.shown:
            lines.append(f"... and {len(self.problems) - self.shown} more problems")
        return "\n".join(lines)


class ConfigError(ProblemsError):
    """The search space or an override is wrong."""


class CorpusError(ProblemsError):
    """A data file, or the set of data files, is wrong."""


class BackboneError(TokclsError):
    """A pretrained model cannot be found or cannot be used for token classification."""


class BundleError(TokclsError):
    """A bundle cannot be found, is incomplete, or holds something it must not hold."""


class CheckpointError(TokclsError):
    """A trial's weights or a Lightning checkpoint cannot be found, or must not be loaded."""


class ClusterError(TokclsError):
    """A Ray cluster to predict on cannot be started or joined, or gives up."""


class InputError(TokclsError, ValueError):
    """What was sent for prediction is not acceptable."""


def without_keys(text: str) -> str:
    """Leave the user and password out of every URI in a text that people read."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
