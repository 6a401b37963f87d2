"""The configuration of a sweep: what trials are made of, how they are drawn, placed and kept.

Only types and rules. Files, verbs and line numbers are the business of `loader`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from sweeps.space.sizes import PATTERN
from tokcls.config import (
    DataConfig,
    LabelsConfig,
    ModelConfig,
    PositiveInt,
    Section,
    Text,
    TrainConfig,
)

_NAMED = "a name (at most 64 letters, digits, `.`, `_`, `-`; the first a letter or digit)"
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z", json_schema_extra={"expects": _NAMED}),
]
Points = Annotated[
    list[dict[str, Any]],
    Field(json_schema_extra={"expects": "a list of maps, from searched keys to values"}),
]
Size = Annotated[
    str, Field(pattern=PATTERN, json_schema_extra={"expects": "a size such as `20 GB`"})
]
Auto = Literal["auto"]
STORES = ("s3", "gs")  # schemes of URIs that `output.storage` may have


class SearchConfig(Section):
    """Which trials are drawn, and which of them are stopped early."""

    trials: PositiveInt = Field(
        default=20,
        description="trials to draw; `grid` runs every combination, whatever stands here",
    )
    algorithm: Literal["random", "grid", "tpe"] = Field(
        default="tpe",
        description="how values are drawn; tpe learns from the trials that are finished",
    )
    scheduler: Literal["asha", "none"] = Field(
        default="asha",
        description="asha stops trials that fall behind; none lets all of them finish",
    )
    metric: Literal["val_f1"] = Field(
        default="val_f1", description="what trials are ranked by: span F1 on the validation split"
    )
    points: Points = Field(
        default=[],
        description="configurations to try first, such as `[{train.learning_rate: 5e-5}]`; keys "
        "that one leaves out are drawn",
    )
    time: Literal["epochs", "tokens", "seconds"] = Field(
        default="epochs",
        description="what asha's rungs count; tokens and seconds of training compare a trial with "
        "others of its backbone first",
    )
    retries: Annotated[int, Field(ge=0)] = Field(
        default=1,
        description="times that a trial which fails goes on from its last state; one that ran out "
        "of memory with half of `train.tokens_per_batch` and twice `train.accumulate`; a worker or "
        "node that is lost does not count while the trial gets on",
    )
    grace: PositiveInt = Field(
        default=1, description="epochs that every trial gets before asha may stop it"
    )
    reduction: Annotated[int, Field(ge=2)] = Field(
        default=3, description="asha lets one trial in so many go on to the next rung"
    )


class ResourcesConfig(Section):
    """What one running trial occupies, and how many run at once."""

    workers_per_trial: PositiveInt = Field(
        default=1, description="processes that train one trial together (data parallel)"
    )
    gpus_per_worker: Auto | Annotated[float, Field(ge=0.0)] = Field(
        default="auto",
        description="auto: 1 where there are GPUs, else 0; a share must be 1/n, with one worker",
    )
    cpus_per_worker: Auto | Annotated[float, Field(gt=0.0)] = Field(
        default="auto",
        description="auto: a node's CPUs divided among the workers that run on it, 8 at most",
    )
    concurrent_trials: Auto | PositiveInt = Field(
        default="auto",
        description="trials that run at once; auto: as many as there is room for while nodes join "
        "and leave, or as the node types allow where nodes start on demand",
    )

    @field_validator("gpus_per_worker")
    @classmethod
    def _share_of_a_gpu(cls, gpus: float | str, info: ValidationInfo) -> float | str:
        if isinstance(gpus, str) or gpus == int(gpus):
            return gpus
        trials_on_one = round(1 / gpus) if gpus < 1 else 0
        if not 0.97 <= trials_on_one * gpus <= 1:
            raise ValueError(
                f"must be a whole number, or 1/n for n trials on one GPU (0.5, 0.25), got {gpus:g}"
            )
        workers = info.data.get("workers_per_trial", 1)
        if workers > 1:
            raise ValueError(
                "a share of a GPU needs resources.workers_per_trial = 1 (NCCL wants one GPU per "
                f"worker), got {gpus:g} with {workers} workers"
            )
        return gpus


class TrackingConfig(Section):
    """Where MLflow records the sweep."""

    uri: Text | None = Field(
        default=None,
        description="tracking server; MLFLOW_TRACKING_URI wins; unset: sqlite:///mlflow.db",
    )
    experiment: Text | None = Field(
        default=None, description="MLflow experiment; unset: the sweep's name"
    )


class OutputConfig(Section):
    """What is left when the sweep is done."""

    folder: Text = Field(
        default="runs", description="the sweep's own folder is made inside this one"
    )
    storage: Text | None = Field(
        default=None,
        description="where trials keep weights and states, and the ledger its copy: a path that "
        "all nodes see, `s3://bucket/path` or `gs://bucket/path`; unset: the sweep's own folder",
    )
    keep_top: PositiveInt = Field(
        default=3,
        description="trials whose weights stay; of the others, predictions and metrics do",
    )
    disk_budget: Size | None = Field(
        default=None,
        description="what all trials may take on disk; the best one's weights and what runs stay",
    )
    int8: bool = Field(
        default=True,
        description="put a faster 8-bit engine into the bundle, if it loses nothing on validation",
    )
    register_as: Name | None = Field(
        default=None,
        description="name in MLflow's model registry; unset: the model is not registered",
    )

    @field_validator("storage")
    @classmethod
    def _known_store(cls, storage: str | None) -> str | None:
        scheme, found, rest = (storage or "").partition("://")
        if found and scheme not in STORES:
            stores = " or ".join(f"{store}://" for store in STORES)
            raise ValueError(f"must be a path, or begin with {stores}, got {scheme}://")
        if ":" in rest.partition("/")[0].rpartition("@")[0]:
            raise ValueError(
                "keys do not belong here, where every copy of the file shows them; set them in "
                "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        return storage


class SweepSettings(Section):
    """How trials are run: everything in the file that is not part of a trial."""

    name: Name = Field(
        description="name of the sweep, of its folder and of its run in MLflow",
        json_schema_extra={"unset": "the file's name"},
    )
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()
    output: OutputConfig = OutputConfig()

    @property
    def experiment(self) -> str:
        """The MLflow experiment's name."""
        return self.tracking.experiment or self.name


class SweepConfig(SweepSettings):
    """A whole file, with one value for each key."""

    data: DataConfig
    labels: LabelsConfig = LabelsConfig()
    model: ModelConfig
    train: TrainConfig


TRIAL_SECTIONS = ("data", "labels", "model", "train")
SEARCHED_SECTIONS = ("labels", "model", "train")
SECTIONS = (*TRIAL_SECTIONS, "search", "resources", "tracking", "output")
