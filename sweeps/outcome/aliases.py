"""Which version of a registered model serving follows, and which it followed before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweeps.errors import RegistryError, first_line
from tokcls.inference.sources import CHAMPION

PREVIOUS = "previous"


def version_of(client: Any, name: str, alias: str) -> str:
    """Give the version that has an alias, or nothing."""
    return str(dict(client.get_registered_model(name).aliases).get(alias, ""))


def crown(client: Any, name: str, version: str) -> None:
    """Make a version the champion; the present one stays at hand as `previous`.

    Raises RegistryError if only the second cannot be done.
    """
    present = version_of(client, name, CHAMPION)
    if present == version:
        return
    # What is served comes first: `previous` must not be lost to a move that fails.
    client.set_registered_model_alias(name, CHAMPION, version)
    if not present:
        return
    try:
        client.set_registered_model_alias(name, PREVIOUS, present)
    except Exception as error:
        raise RegistryError(
            f"{name}: version {version} is champion now, but version {present} could not be noted "
            f"as the one before ({first_line(error)}); to go back, name it: "
            f"models:/{name}/{present}"
        ) from error


def roll_back(client: Any, name: str, gate: Callable[[str], None]) -> tuple[str, str]:
    """Make `previous` the champion again, if `gate` does not raise, and the champion `previous`.

    A second time it goes forth to where the first came from. Gives the version that is champion now
    and the one that was. Raises RegistryError if there was none before.
    """
    before = version_of(client, name, PREVIOUS)
    present = version_of(client, name, CHAMPION)
    if before in ("", present):
        raise RegistryError(
            f"{name} has no earlier champion to go back to; name a version: models:/{name}/VERSION"
        )
    gate(before)
    crown(client, name, before)
    return before, present
