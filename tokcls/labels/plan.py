"""What a trial learns and what it is scored on: the `labels` section, met with a corpus's types."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tokcls.config import LabelsConfig
from tokcls.labels.schema import LabelSchema
from tokcls.labels.types import TypeMap


@dataclass(frozen=True)
class TypePlan:
    """Three maps: corpus type to `learned` and to `scored` type, and `judged`, the way between.

    `types` are those scored, sorted: the same for all trials of a sweep, whatever each learns.
    """

    learned: TypeMap
    scored: TypeMap
    judged: TypeMap
    types: tuple[str, ...]

    def dropped(self, given: Mapping[str, int]) -> dict[str, int]:
        """Pick, of numbers of gold spans by corpus type, those that are not scored."""
        return {type_: n for type_, n in sorted(given.items()) if self.scored.of(type_) is None}


def type_plan(labels: LabelsConfig, types: Sequence[str]) -> TypePlan:
    """Make the plan for a corpus of these types."""
    learned, scored = TypeMap(labels.types), TypeMap(labels.scored_types)
    return TypePlan(learned, scored, learned.onward(scored, types), scored.image(types))


def unlearned(
    types: Sequence[str], in_train: Collection[str], labels: Sequence[LabelsConfig]
) -> tuple[str, ...]:
    """Types that are scored, but that train does not have for every one of `labels` to learn."""
    found: set[str] = set()
    for each in labels:
        plan = type_plan(each, types)
        taught = {plan.learned.of(type_) for type_ in in_train}
        kept = (type_ for type_ in types if plan.scored.of(type_) is not None)
        found |= {type_ for type_ in kept if plan.learned.of(type_) not in taught}
    return tuple(sorted(found))


def label_schema(labels: LabelsConfig, types: Sequence[str]) -> LabelSchema:
    """Make the schema of a model's outputs: the types that are learned, in the scheme's tags."""
    return LabelSchema(labels.scheme, TypeMap(labels.types).image(types), labels.subwords)
