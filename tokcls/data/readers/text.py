"""From the bytes of a file to its text and lines, or to the reason why it is no text."""

from __future__ import annotations

import re
from pathlib import Path

from tokcls.errors import CorpusError, Problem

# Not splitlines(): it also cuts at characters such as U+2028, which occur inside words.
_LINE_END = re.compile(r"\r*\n|\r")


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        CorpusError: it is not there, is a folder, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        reason = "no such file; check the path"
    except IsADirectoryError:
        reason = "is a folder; a file is needed here"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise CorpusError([Problem(reason, str(path))])


def read_text(path: Path) -> str:
    """Read a whole file in UTF-8, with or without a byte order mark.

    Raises:
        CorpusError: it cannot be read, holds a NUL byte, or has lines that are not UTF-8: each of
            them is a problem.
    """
    content = read_bytes(path)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        message = "has a NUL byte: it is binary or UTF-16; a text file in UTF-8 is needed"
        raise CorpusError([Problem(message, str(path), line)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CorpusError(_undecodable(content, str(path))) from None


def lines_of(text: str) -> list[str]:
    """Cut a text at the line ends of every system; the first line is number 1 to a reader."""
    return _LINE_END.split(text)


def _undecodable(content: bytes, file: str) -> list[Problem]:
    problems: list[Problem] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            message = f"byte 0x{byte:02x} is not UTF-8; convert the file to UTF-8"
            problems.append(Problem(message, file, number))
    return problems
