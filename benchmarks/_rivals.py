"""The usual servers around `transformers.pipeline`: python -m benchmarks._rivals KIND BUNDLE PORT

KIND is `fastapi` (uvicorn, one worker) or `serve` (a Ray Serve deployment, all by default).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel


class Asked(BaseModel):
    """A request's body."""

    inputs: str


def pipeline_of(bundle: str) -> Any:
    """Make the pipeline that both put behind HTTP."""
    from transformers import pipeline

    return pipeline("token-classification", bundle, aggregation_strategy="first")


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn NumPy's numbers into JSON's."""
    return [one | {"score": float(one["score"])} for one in found]


def fastapi(bundle: str, port: int) -> None:
    """Serve with FastAPI: a plain function, which runs in its pool of threads."""
    import uvicorn

    app, find = FastAPI(), pipeline_of(bundle)

    @app.post("/predict")
    def predict(asked: Asked) -> list[dict[str, Any]]:
        return plain(find(asked.inputs))

    uvicorn.run(app, port=port, log_level="warning")


def serve(bundle: str, port: int) -> None:
    """Serve with Ray Serve as its documentation begins: a class with the pipeline in it."""
    import ray
    from ray import serve as ray_serve
    from starlette.requests import Request

    @ray_serve.deployment
    class Pipeline:
        def __init__(self) -> None:
            self.find = pipeline_of(bundle)

        async def __call__(self, http: Request) -> list[dict[str, Any]]:
            return plain(self.find((await http.json())["inputs"]))

    ray.init(address="local", include_dashboard=False)
    ray_serve.start(http_options={"port": port})
    ray_serve.run(Pipeline.bind(), route_prefix="/predict")
    while True:
        time.sleep(3600)


KINDS = {"fastapi": fastapi, "serve": serve}

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
