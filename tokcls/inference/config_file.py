"""A config file for `serve deploy`: the same application, on a cluster that is there already."""

from __future__ import annotations

import yaml

from tokcls.inference.settings import Settings

APPLICATION = "tokcls.inference.app:build"
HEAD = """\
# serve deploy {file}      on a cluster where this package is installed
#
# Every replica looks the model up by itself: its node must see the folder, or MLFLOW_TRACKING_URI.
# HAProxy in front is switched on where Ray is started: RAY_SERVE_ENABLE_HA_PROXY=1 ray start ...
"""


def config_text(model: str, settings: Settings, *, file: str, host: str, port: int) -> str:
    """Write the YAML of a model by name (models:/NAME@ALIAS, or a folder that every node sees)."""
    arguments = {"model": model, "engine": settings.engine, "threads": settings.threads}
    application = {
        "name": "ner",
        "route_prefix": "/",
        "import_path": APPLICATION,
        "args": {name: value for name, value in arguments.items() if value is not None},
        "deployments": [
            {"name": "ner", "ray_actor_options": settings.resources(), **settings.scale()}
        ],
    }
    config = {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [application],
    }
    return HEAD.format(file=file) + yaml.safe_dump(config, sort_keys=False)
