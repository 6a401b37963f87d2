"""What ends a Ray task without being an error of ours is one line, and the log has the rest."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from sweeps.errors import SweepError
from sweeps.search.share import failures_logged

LOG = Path("runs/s/ray.log")


def in_task(cause: Exception) -> Any:
    """What a driver gets where `cause` was raised in a task."""
    error: Any = RayTaskError
    return error("finish", "the trace", cause)


def out_of_memory() -> Any:
    error: Any = OutOfMemoryError
    return error("Task was killed.\nmore")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (out_of_memory(), "OutOfMemoryError: Task was killed.; see "),
        (WorkerCrashedError(), "WorkerCrashedError: The worker died unexpectedly"),
        (ObjectLostError("ab", None, ""), "ObjectLostError: "),
        (in_task(KeyError("x")), "KeyError: 'x'; see "),
        (in_task(ValueError("no\nmore")).as_instanceof_cause(), "ValueError: no; see "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ends_a_task_is_a_line_that_names_the_log(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "ray")
    with pytest.raises(SweepError) as caught, failures_logged(LOG):
        raise error
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(f"; see {LOG}")
    assert str(error) in caplog.text


def test_an_error_of_the_driver_itself_is_no_failure_of_a_task() -> None:
    with pytest.raises(ZeroDivisionError), failures_logged(LOG):
        raise ZeroDivisionError
