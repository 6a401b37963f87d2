"""Entity types renamed, merged or dropped. Knows nothing of schemes or files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tokcls.labels.spans import Span


@dataclass(frozen=True)
class TypeMap:
    """What each type becomes: a name (the same for several: a merge), or None: it is dropped.

    A type that is not named stays as it is.
    """

    targets: Mapping[str, str | None] = field(default_factory=dict)

    def of(self, type_: str) -> str | None:
        """What becomes of one type."""
        return self.targets.get(type_, type_)

    def apply(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """Rewrite spans; neighbours that come to be of one type stay two spans."""
        if not self.targets:
            return tuple(spans)
        named = ((span, self.of(span.type)) for span in spans)
        return tuple(Span(span.start, span.end, name) for span, name in named if name is not None)

    def image(self, types: Iterable[str]) -> tuple[str, ...]:
        """What is left of these types, sorted."""
        names = {self.of(type_) for type_ in types}
        return tuple(sorted(name for name in names if name is not None))

    def onward(self, coarser: TypeMap, types: Iterable[str]) -> TypeMap:
        """Carry what this map makes of `types` on to what `coarser` makes of them.

        Where this map refines `coarser` (`breaches` is empty), applying one after the other is the
        same as applying `coarser`.
        """
        pairs = [(self.of(type_), coarser.of(type_)) for type_ in sorted(types)]
        return TypeMap({fine: coarse for fine, coarse in pairs if fine is not None})

    def breaches(self, coarser: TypeMap) -> list[str]:
        """Say where this map merges or drops what `coarser` keeps apart or keeps.

        Every type that either map names is taken to exist, also one that only stands behind a name.
        """
        pairs = (*self.targets.items(), *coarser.targets.items())
        named = {name for pair in pairs for name in pair if name is not None}
        groups: dict[str | None, list[str]] = {}
        for type_ in sorted(named):
            groups.setdefault(self.of(type_), []).append(type_)
        dropped = [type_ for type_ in groups.pop(None, []) if coarser.of(type_) is not None]
        found = [f"{type_} is dropped, but scored as {coarser.of(type_)}" for type_ in dropped]
        for fine, merged in groups.items():
            apart = {type_: coarser.of(type_) or "nothing" for type_ in merged}
            if len(set(apart.values())) > 1:
                scored = ", ".join(f"{type_} as {name}" for type_, name in apart.items())
                found.append(f"{' and '.join(merged)} become {fine}, but are scored {scored}")
        return found
