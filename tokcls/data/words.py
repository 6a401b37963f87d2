"""How a text becomes words: one rule for all backbones, with places in the very string.

The rule is the one BERT was trained with: white space ends a word, every punctuation mark and every
CJK ideograph is a word by itself. So a WordPiece backbone sees what `transformers.pipeline` would
show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tokenizers import Regex, pre_tokenizers

from tokcls.errors import InputError

# The blocks that BERT's normaliser sets apart with blanks.
_IDEOGRAPHS = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its place: `whole[start:end] == text`, in Python's characters (code points)."""

    text: str
    start: int
    end: int


def split(text: str) -> list[Word]:
    """Split a text into words; a blank text has none.

    Raises:
        InputError: the text holds half a surrogate pair, which is no character.
    """
    check_characters(text)
    return [Word(word, start, end) for word, (start, end) in _rule().pre_tokenize_str(text)]


def check_characters(text: str, *, name: str = "the text") -> None:
    """Refuse what cannot be written as UTF-8.

    Raises:
        InputError: the text holds half a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}: character {error.start} is half a surrogate pair "
            f"(U+{ord(text[error.start]):04X}); send the whole character, or U+FFFD in its place"
        ) from None


@cache
def _rule() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Split(Regex(_IDEOGRAPHS), behavior="isolated"),
        ]
    )
