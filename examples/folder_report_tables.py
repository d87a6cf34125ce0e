"""Prints what examples/folder_report.py found, as tables of 80 columns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from text_analysis import Analysis, distinctive_words

from exospherehost_client.models import RunGraphNode, RunGraphResponse

SHOWN_FILES = 10
SHOWN_WORDS = 12
LONGEST_PATH = 34
"""The most characters of a path in a table; longer paths lose their beginning."""
FAILED = ("ERRORED", "NEXT_CREATED_ERROR")
_EASE = ((60, "plain"), (50, "fairly hard"), (30, "hard"))


def show_run(
    console: Console, run: RunGraphResponse, identifiers: Sequence[str], duration: timedelta, *, simulated: str
) -> int:
    """Print the run's states by node and status, and return how many failed for good.

    Args:
        console: Prints them.
        run: The run.
        identifiers: The identifiers of its nodes, in the order of the graph.
        duration: How long it lasted.
        simulated: The name of the error that the program raises on purpose.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for node in run.nodes:
        counts[node.identifier][str(node.status)] += 1
    statuses = sorted({status for by_status in counts.values() for status in by_status}, reverse=True)
    _headline(console, f"The run: {_counted(len(run.nodes), 'state')} in {duration.total_seconds():.2f} s")
    table = Table(show_footer=True, footer_style="bold")
    table.add_column("Node", footer="all")
    for status in statuses:
        table.add_column(status, justify="right", footer=str(sum(each[status] for each in counts.values())))
    for identifier in identifiers:
        table.add_row(identifier, *(str(counts[identifier][status] or "") for status in statuses))
    console.print(table)
    retried: dict[tuple[str, str], list[RunGraphNode]] = defaultdict(list)
    for node in run.nodes:
        if node.status == "RETRY_CREATED":
            retried[node.identifier, (node.error or "").partition(":")[0]].append(node)
    for (identifier, error), nodes in retried.items():
        line = escape((nodes[0].error or "").partition("\n")[0])
        kind = "simulated failure" if error == simulated else "failure"
        verb = "was" if len(nodes) == 1 else "were"
        text = f"{_counted(len(nodes), kind)} of {identifier} {verb} retried, such as"
        console.print(f"{text} [yellow]{line}[/]", highlight=False)
    failures = [node for node in run.nodes if node.status in FAILED]
    for node in failures:
        line = escape((node.error or "").partition("\n")[0])
        console.print(f"{node.identifier} failed for good: [bold red]{line}[/]", highlight=False)
    console.print()
    return len(failures)


def show_report(
    console: Console,
    folder: Path,
    analyses: Sequence[Analysis],
    left_out: Mapping[str, int],
    missing: Sequence[str],
) -> None:
    """Print what the files are, the largest of them, and what is worth a look."""
    _show_kinds(console, folder, analyses)
    _show_largest(console, analyses)
    words: Counter[str] = Counter()
    for analysis in analyses:
        words.update(analysis.frequent_words)
    frequent = ", ".join(f"{word} {count}" for word, count in words.most_common(SHOWN_WORDS))
    _say(console, "Frequent words", frequent or "none")
    _show_prose(console, [analysis for analysis in analyses if analysis.reading_ease is not None])
    longest = max(analyses, key=lambda analysis: analysis.longest_line, default=None)
    if longest is not None:
        _say(console, "Longest line", f"{_counted(longest.longest_line, 'character')}, in {longest.path}")
    open_points = [analysis for analysis in analyses if analysis.open_points]
    if open_points:
        total = sum(analysis.open_points for analysis in open_points)
        _say(console, "Open points", f"{total} in {_counted(len(open_points), 'file')}, such as {open_points[0].path}")
    for group in _same(analyses)[:3]:
        _say(console, "Same contents", " = ".join(group))
    if left_out:
        _say(console, "Left out", "; ".join(f"{count} {reason}" for reason, count in left_out.items()))
    if missing:
        _say(console, "Without a result", ", ".join(missing))


def _show_kinds(console: Console, folder: Path, analyses: Sequence[Analysis]) -> None:
    kinds: dict[str, list[Analysis]] = defaultdict(list)
    for analysis in analyses:
        kinds[analysis.kind].append(analysis)
    _headline(console, f"The folder: {folder}")
    table = Table(show_footer=True, footer_style="bold")
    totals = _sums(analyses)
    for name, total in zip(("Kind", "Files", "Lines", "Blank", "Comments", "Words"), ("all", *totals), strict=True):
        table.add_column(name, justify="left" if name == "Kind" else "right", footer=total)
    for kind, files in sorted(kinds.items(), key=lambda each: -sum(file.lines for file in each[1])):
        table.add_row(kind, *_sums(files))
    console.print(table)


def _sums(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    lines = sum(analysis.lines for analysis in analyses)
    blank = sum(analysis.blank_lines for analysis in analyses)
    with_comments = [analysis for analysis in analyses if analysis.comment_lines is not None]
    comments = sum(analysis.comment_lines or 0 for analysis in with_comments)
    of_lines = sum(analysis.lines for analysis in with_comments)
    return (
        str(len(analyses)),
        f"{lines:,}",
        f"{blank / lines:.0%}" if lines else "",
        f"{comments / of_lines:.0%}" if of_lines else "",
        f"{sum(analysis.words for analysis in analyses):,}",
    )


def _show_largest(console: Console, analyses: Sequence[Analysis]) -> None:
    about = distinctive_words(analyses, 3)
    _headline(console, "The largest files, and the words that set each apart")
    table = Table()
    table.add_column("File", no_wrap=True)
    table.add_column("Lines", justify="right", min_width=6)
    table.add_column("About", no_wrap=True, max_width=30)
    for analysis in sorted(analyses, key=lambda each: -each.lines)[:SHOWN_FILES]:
        table.add_row(
            escape(_shortened(analysis.path)),
            f"{analysis.lines:,}",
            escape(", ".join(about[analysis.path])),
        )
    console.print(table)


def _show_prose(console: Console, prose: Sequence[Analysis]) -> None:
    if not prose:
        return
    minutes = sum(analysis.reading_minutes for analysis in prose)
    hardest = min(prose, key=lambda analysis: analysis.reading_ease or 0.0)
    ease = _spelled_ease(hardest.reading_ease or 0.0)
    _say(
        console,
        "Prose",
        f"{_counted(max(1, round(minutes)), 'minute')} to read; the hardest is {hardest.path} ({ease})",
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _headline(console: Console, text: str) -> None:
    # Not a table's own title, which is wrapped at the table's width.
    console.print(escape(text), style="bold", highlight=False)


def _say(console: Console, what: str, text: str) -> None:
    console.print(f"[bold]{what}:[/] {escape(text)}", highlight=False)


def _shortened(path: str) -> str:
    return path if len(path) <= LONGEST_PATH else f"…{path[1 - LONGEST_PATH :]}"


def _spelled_ease(ease: float) -> str:
    word = next((word for bound, word in _EASE if ease >= bound), "very hard")
    return f"{word}, reading ease {ease:.0f}"


def _same(analyses: Sequence[Analysis]) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for analysis in analyses:
        if analysis.words:
            groups[analysis.digest].append(analysis.path)
    return [group for group in groups.values() if len(group) > 1]
