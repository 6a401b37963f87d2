from __future__ import annotations

from dataclasses import replace

from tokcls.data.corpus import Corpus, Sentence
from tokcls.labels.schemes import Detected
from tokcls.labels.spans import Span

PARIS = Sentence(("Paris", "is", "old"), (Span(0, 1, "LOC"),), 0, "train.txt", 1)
ADA = Sentence(("Ada", "Lovelace"), (Span(0, 2, "PER"),), 1)
CLEAN, DIRTY = Detected("IOB1", "seen", 0), Detected("IOB2", "seen", 6)
CORPUS = Corpus((PARIS, ADA), (ADA,), (), "letters", {"train": DIRTY, "validation": CLEAN})


def test_types_are_those_of_all_splits() -> None:
    event = Sentence(("Expo",), (Span(0, 1, "EVENT"),), 0)
    assert replace(CORPUS, test=(event,)).types == ("EVENT", "LOC", "PER")


def test_the_fingerprint_follows_words_spans_and_splits_and_nothing_else() -> None:
    moved = replace(PARIS, file="elsewhere.txt", line=99)
    assert replace(CORPUS, train=(moved, ADA), name="other").fingerprint == CORPUS.fingerprint
    others = [
        replace(CORPUS, train=(ADA, PARIS)),
        replace(CORPUS, train=(PARIS,), validation=(ADA, ADA)),
        replace(CORPUS, train=(replace(PARIS, spans=()), ADA)),
        replace(CORPUS, train=(PARIS, replace(ADA, document=0))),
        replace(CORPUS, train=(replace(PARIS, words=("Paris is", "", "old")), ADA)),
    ]
    prints = {corpus.fingerprint for corpus in (CORPUS, *others)}
    assert len(prints) == 6
    assert all(len(fingerprint) == 16 for fingerprint in prints)


def test_what_was_repaired_is_remarked() -> None:
    corpus = replace(CORPUS, notes=("letters: 2 lines are comments",))
    assert corpus.remarks == (
        "letters: 2 lines are comments",
        "train: 6 tags break IOB2",
    )
