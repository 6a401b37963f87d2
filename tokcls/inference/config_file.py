"""A config file for `serve deploy`: the same application, on a cluster that is there already."""

from __future__ import annotations

import yaml

from tokcls.inference.settings import Listening, Settings

APPLICATION = "tokcls.inference.app:build"
HEAD = """\
# serve deploy {file}      on a cluster where this package is installed
#
# Every replica looks the model up by itself: its node must see the folder, or MLFLOW_TRACKING_URI.
# SERVE_TOKEN too is read there: for a token, set it where Ray is started, on every node.
# HAProxy in front is switched on where Ray is started: RAY_SERVE_ENABLE_HA_PROXY=1 ray start ...
"""


def config_text(model: str, settings: Settings, listening: Listening, file: str) -> str:
    """Write the YAML of a model by name (models:/NAME@ALIAS, or a folder that every node sees)."""
    said = {name: getattr(settings, name) for name in ("engine", "threads", "shadow")}
    application = {
        "name": "ner",
        "route_prefix": "/",
        "import_path": APPLICATION,
        "args": {"model": model} | {name: it for name, it in said.items() if it is not None},
        "deployments": [
            {"name": "ner", "ray_actor_options": settings.resources(), **settings.scale()}
        ],
    }
    config = {
        "proxy_location": "EveryNode",
        "http_options": {"host": listening.host, "port": listening.port},
        "applications": [application],
    }
    return HEAD.format(file=file) + yaml.safe_dump(config, sort_keys=False)
