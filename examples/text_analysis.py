"""Finds the text files of a folder and measures them; knows nothing of nodes and graphs."""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

LARGEST_FILE = 512 * 1024
"""Bytes; larger files are data rather than something that a person reads."""
MOST_ENTRIES = 50_000
"""Where looking for files ends."""
SNIFFED = 8192
WORDS_PER_MINUTE = 220
KEPT_WORDS = 200
LEAST_COMMON = 0.25
"""The share of everyday words that English prose has at least."""

_KINDS = {
    ".c": "C", ".cpp": "C++", ".css": "CSS", ".csv": "CSV", ".go": "Go", ".h": "C", ".html": "HTML", ".ini": "INI",
    ".java": "Java", ".jinja": "Jinja", ".js": "JavaScript", ".json": "JSON", ".mako": "Mako", ".md": "Markdown",
    ".py": "Python", ".pyi": "Python", ".rs": "Rust", ".rst": "reStructuredText", ".sh": "Shell", ".sql": "SQL",
    ".toml": "TOML", ".ts": "TypeScript", ".txt": "Text", ".xml": "XML", ".yaml": "YAML", ".yml": "YAML",
}  # fmt: skip
_PROSE = {"Markdown", "reStructuredText", "Text"}
_COMMENT = {
    "#": ("INI", "Python", "Shell", "TOML", "YAML"),
    "//": ("C", "C++", "Go", "Java", "JavaScript", "Rust", "TypeScript"),
    "--": ("SQL",),
}
_COMMENT_OF = {kind: mark for mark, kinds in _COMMENT.items() for kind in kinds}
_LEFT_OUT_FOLDERS = {"__pycache__", "node_modules", "site-packages"}

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?:]+(?:\s|$)|\n\s*\n")
_VOWELS = re.compile(r"[aeiouyäöü]+")
_OPEN_POINT = re.compile(r"\b(?:TODO|FIXME|XXX)\b[:(]")
_COMMON_WORDS = (
    "the and for that with this not are from but its has was which have they what when where who will can all any one "
    "each into only than then them there does without must may also been being here how his her our out own same "
    "such too very you your their these those between before after more most other some about would should could "
    "def self return import class none true false str int async await else elif raise try except yield lambda "
    "pass while list dict bool type object string null name value is in of to on as it or if be by an at no so we do"
)
_COMMON = frozenset(_COMMON_WORDS.split())


class Found(BaseModel):
    """What a folder holds.

    Attributes:
        files: paths of text files, relative to the folder.
        left_out: how many files were left out, by reason.
    """

    files: list[str]
    left_out: dict[str, int]


class Analysis(BaseModel):
    """What was measured of one file.

    Attributes:
        path: relative to the folder.
        kind: the language, by the name's ending.
        reading_ease: Flesch's, for English prose: 100 is easy, below 30 very hard. None for anything else.
        comment_lines: None where comments cannot be told by a mark at the line's beginning.
        open_points: lines with a TODO, a FIXME or an XXX, as these are usually written.
        digest: equal for equal contents.
        frequent_words: the most frequent words that say something, with their number.
    """

    path: str
    kind: str
    lines: int
    blank_lines: int
    comment_lines: int | None
    words: int
    longest_line: int
    reading_ease: float | None
    open_points: int
    digest: str
    frequent_words: dict[str, int]

    @property
    def reading_minutes(self) -> float:
        """How long a person needs to read it."""
        return self.words / WORDS_PER_MINUTE


def find_files(folder: Path, limit: int) -> Found:
    """Find at most `limit` text files by name, a folder's own before those of the folders in it.

    Hidden files, caches, installed packages and what links lead to are passed over; files that are not
    UTF-8 text or too large are counted.
    """
    files: list[str] = []
    left_out: Counter[str] = Counter()
    for number, path in enumerate(_walk(folder)):
        if number >= MOST_ENTRIES:
            left_out[f"all after the first {MOST_ENTRIES} entries"] += 1
            break
        reason = _why_not(path)
        if reason is not None:
            left_out[reason] += 1
        elif len(files) < limit:
            files.append(str(path.relative_to(folder)))
        else:
            left_out[f"beyond the limit of {limit}"] += 1
    return Found(files=files, left_out=dict(left_out))


def analyse(path: str, text: str) -> Analysis:
    """Measure one file."""
    kind = _KINDS.get(Path(path).suffix.lower(), "other")
    lines = text.splitlines()
    words = _WORD.findall(text)
    mark = _COMMENT_OF.get(kind)
    telling = Counter(word for word in map(str.lower, words) if len(word) > 2 and word not in _COMMON)
    return Analysis(
        path=path,
        kind=kind,
        lines=len(lines),
        blank_lines=sum(not line.strip() for line in lines),
        comment_lines=None if mark is None else sum(line.lstrip().startswith(mark) for line in lines),
        words=len(words),
        longest_line=max(map(len, lines), default=0),
        reading_ease=_reading_ease(text, words) if kind in _PROSE else None,
        open_points=sum(bool(_OPEN_POINT.search(line)) for line in lines),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        frequent_words=dict(telling.most_common(KEPT_WORDS)),
    )


def distinctive_words(analyses: Sequence[Analysis], count: int) -> dict[str, list[str]]:
    """Return, by path, the words that tell each file from the others (by tf-idf)."""
    files_with = Counter(word for analysis in analyses for word in analysis.frequent_words)
    rarity = {word: math.log(len(analyses) / number) for word, number in files_with.items()}

    def telling(analysis: Analysis) -> list[str]:
        def order(word: str) -> tuple[float, str]:
            return -analysis.frequent_words[word] * rarity[word], word

        return sorted(analysis.frequent_words, key=order)[:count]

    return {analysis.path: telling(analysis) for analysis in analyses}


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_worth_entering(Path(parent, name)))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _is_worth_entering(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _LEFT_OUT_FOLDERS
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _why_not(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return "links and special files"
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        # JSON in UTF-8 could not hold it.
        return "named in something other than UTF-8"
    try:
        if path.stat().st_size > LARGEST_FILE:
            return f"larger than {LARGEST_FILE // 1024} KiB"
        with path.open("rb") as file:
            head = file.read(SNIFFED)
        # Not final: the first bytes may end in the middle of a letter.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return "not text"
    except OSError:
        return "not readable"
    return "not text" if b"\0" in head else None


def _reading_ease(text: str, words: list[str]) -> float | None:
    # A list of names is no prose, and a measure of it would say nothing; nor would one made for English of other text.
    if sum(word.lower() in _COMMON for word in words) <= LEAST_COMMON * len(words):
        return None
    sentences = max(1, len(_SENTENCE_END.findall(text)))
    syllables = sum(max(1, len(_VOWELS.findall(word.lower()))) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)
