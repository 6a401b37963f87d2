"""How files are to be read, where that is not left to what is found in them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokcls.config import Columns, DataConfig, FileFormat, FileScheme, Overlaps, Repair
from tokcls.errors import CorpusError, Problem


@dataclass(frozen=True)
class Rules:
    """What a user said of the files; the defaults leave everything to be found."""

    format: FileFormat = "auto"
    columns: Columns = field(default_factory=Columns)
    scheme: FileScheme = "auto"
    repair: Repair = "conlleval"
    overlaps: Overlaps = "outermost"


def rules_of(data: DataConfig) -> Rules:
    """Take the rules out of a configuration."""
    columns = data.columns or Columns()
    return Rules(data.format, columns, data.scheme, data.repair, data.overlaps)


def check_columns(columns: Columns, file: str, what: str, **allowed: type) -> None:
    """Refuse columns that a kind of file cannot have.

    `allowed` gives for each possible key the type that its value has; `what` names the files.

    Raises:
        CorpusError: each key that is given and does not fit is a problem.
    """
    nouns = {int: "a number, counted from 0", str: "a name"}
    problems: list[Problem] = []
    for key, value in columns.model_dump(exclude_none=True).items():
        if key not in allowed:
            message = f"{what} have no such column, got {value!r}; take the key away"
        elif not isinstance(value, allowed[key]):
            message = f"{what} need {nouns[allowed[key]]}, got {value!r}"
        else:
            continue
        problems.append(Problem(message, file, path=f"data.columns.{key}"))
    if problems:
        raise CorpusError(problems)
