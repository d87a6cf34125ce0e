"""Reports on the text files of a folder: one state to read and one to analyse each, and a join that sums up.

Run it with:  exospherehost dev examples/folder_report.py FOLDER

::

    list_files ── each_file ──┬── read_text ── analyse ──┐
    (one state)  (fans out)   ├── read_text ── analyse ──┼── report  (unites list_files, when all is done)
                              └── …                      ┘

A tenth of the reads fail on purpose at the first attempt, as reads of a slow network drive might, and succeed when
retried. The report calls these failures simulated.
Ends with status 0 if every file was analysed, with 1 if a state failed for good or the time was over.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import logging
import secrets
import sys
import tempfile
from pathlib import Path

from folder_report_tables import show_report, show_run
from pydantic import BaseModel
from rich.console import Console
from support import details, duration, finished, running
from text_analysis import Analysis, Found, analyse, find_files

from exospherehost import (
    BaseNode,
    GraphNodeModel,
    RetryPolicyModel,
    RetryStrategyEnum,
    StoreConfigModel,
    UnitesModel,
    UnitesStrategyEnum,
)

NAMESPACE = "demo"
GRAPH = "folder-report"
MOST_FILES = 400
TIME_LIMIT = 50.0
"""Seconds for the whole run."""
FLAKY_EVERY = 10

RETRY_POLICY = RetryPolicyModel(max_retries=2, strategy=RetryStrategyEnum.FIXED, backoff_factor=200)
"""Two more attempts, each 200 milliseconds after the last."""


class ListInputs(BaseModel):
    """In v1 every field is text, numbers too."""

    folder: str
    limit: str


class ListOutputs(BaseModel):
    """A `Found`, as JSON."""

    found: str


class ListFiles(BaseNode[ListInputs, ListOutputs]):
    """Looks for text files. A plain function runs in a thread, so that slow disks hold up nothing else."""

    def execute(self) -> ListOutputs:
        """List them."""
        found = find_files(Path(self.inputs.folder), int(self.inputs.limit))
        return ListOutputs(found=found.model_dump_json())


class EachInputs(BaseModel):
    """A `Found`, as JSON."""

    found: str


class EachOutputs(BaseModel):
    """One file, and its number in the list."""

    path: str
    number: str


class EachFile(BaseNode[EachInputs, EachOutputs]):
    """Fans out: the nodes below run once for each item of the list."""

    async def execute(self) -> list[EachOutputs]:
        """Give one output for each file."""
        found = Found.model_validate_json(self.inputs.found)
        return [EachOutputs(path=path, number=str(number)) for number, path in enumerate(found.files)]


class ReadInputs(BaseModel):
    """Which file to read."""

    folder: str
    path: str
    number: str


class ReadOutputs(BaseModel):
    """The file's text."""

    text: str


# What this process has tried before. A retry is another state with another instance of the node, perhaps in
# another process: only a flaw that is made up, as this one, may depend on what is kept here.
tried: set[str] = set()


class SimulatedTimeoutError(TimeoutError):
    """A failure that the demo makes up, to show what a retry looks like."""


class ReadText(BaseNode[ReadInputs, ReadOutputs]):
    """Reads a file; the first attempt at every tenth file fails on purpose."""

    def execute(self) -> ReadOutputs:
        """Read it, or fail."""
        path = Path(self.inputs.folder, self.inputs.path)
        if int(self.inputs.number) % FLAKY_EVERY == 0 and self.inputs.path not in tried:
            tried.add(self.inputs.path)
            raise SimulatedTimeoutError(f"{self.inputs.path}: the drive did not answer in time")
        return ReadOutputs(text=path.read_text(encoding="utf-8"))


class AnalyseInputs(BaseModel):
    """A text, and where the result goes."""

    path: str
    text: str
    results: str


class AnalyseOutputs(BaseModel):
    """An `Analysis`, as JSON."""

    analysis: str


class Analyse(BaseNode[AnalyseInputs, AnalyseOutputs]):
    """Measures a text and keeps the result: with its state, and in the run's folder for the join."""

    def execute(self) -> AnalyseOutputs:
        """Measure it."""
        analysis = analyse(self.inputs.path, self.inputs.text).model_dump_json()
        # A join sees the united node's outputs and the store, but not what its branches put out. So branches hand
        # over their results in a place that the run's store names: here a folder, elsewhere a bucket or a table.
        # Work may be done twice, so the name is the same each time and the file appears as a whole.
        name = hashlib.sha256(self.inputs.path.encode()).hexdigest()
        unfinished = Path(self.inputs.results, f"{name}.{secrets.token_hex(4)}")
        unfinished.write_text(analysis, encoding="utf-8")
        unfinished.rename(unfinished.with_suffix(".json"))
        return AnalyseOutputs(analysis=analysis)


class ReportInputs(BaseModel):
    """What there should be, and where it is."""

    found: str
    results: str


class ReportOutputs(BaseModel):
    """A `Report`, as JSON, and its signature."""

    report: str
    signature: str


class ReportSecrets(BaseModel):
    """Given with the graph, stored encrypted, handed only to nodes that declare it."""

    signing_key: str


class Report(BaseModel):
    """All results, with the files that have none."""

    analyses: list[Analysis]
    missing: list[str]
    left_out: dict[str, int]


class MakeReport(BaseNode[ReportInputs, ReportOutputs, ReportSecrets]):
    """Joins: runs once, when nothing below `list_files` is left to do, whether it succeeded or failed."""

    def execute(self) -> ReportOutputs:
        """Put the results together and sign them."""
        found = Found.model_validate_json(self.inputs.found)
        results = {
            analysis.path: analysis
            for file in Path(self.inputs.results).glob("*.json")
            for analysis in [Analysis.model_validate_json(file.read_bytes())]
        }
        report = Report(
            analyses=[results[path] for path in found.files if path in results],
            missing=[path for path in found.files if path not in results],
            left_out=found.left_out,
        ).model_dump_json()
        return ReportOutputs(report=report, signature=signature(self.secrets.signing_key, report))


def signature(key: str, report: str) -> str:
    """Return the HMAC-SHA256 of a report, in hexadecimal digits."""
    return hmac.digest(key.encode(), report.encode(), hashlib.sha256).hex()


def place(identifier: str, node: type[BaseNode], inputs: dict[str, str], *next_nodes: str) -> GraphNodeModel:
    """Give a node its place in the graph."""
    return GraphNodeModel(
        node_name=node.__name__,
        namespace=NAMESPACE,
        identifier=identifier,
        inputs=inputs,
        next_nodes=list(next_nodes),
        unites=UnitesModel(identifier="list_files", strategy=UnitesStrategyEnum.ALL_DONE)
        if node is MakeReport
        else None,
    )


NODES = [
    place("list_files", ListFiles, {"folder": "${{store.folder}}", "limit": str(MOST_FILES)}, "each_file"),
    place("each_file", EachFile, {"found": "${{list_files.outputs.found}}"}, "read_text"),
    place(
        "read_text",
        ReadText,
        {
            "folder": "${{store.folder}}",
            "path": "${{each_file.outputs.path}}",
            "number": "${{each_file.outputs.number}}",
        },
        "analyse",
    ),
    place(
        "analyse",
        Analyse,
        {
            "path": "${{each_file.outputs.path}}",
            "text": "${{read_text.outputs.text}}",
            "results": "${{store.results}}",
        },
        "report",
    ),
    place("report", MakeReport, {"found": "${{list_files.outputs.found}}", "results": "${{store.results}}"}),
]


async def main(folder: Path, limit: int) -> int:
    """Run the graph once on a folder, and print what came of it."""
    console = Console()
    signing_key = secrets.token_hex(32)
    async with running(NAMESPACE, [ListFiles, EachFile, ReadText, Analyse, MakeReport]) as manager:
        with tempfile.TemporaryDirectory(prefix="folder-report-") as results:
            await manager.upsert_graph(
                GRAPH,
                NODES,
                secrets={"signing_key": signing_key},
                retry_policy=RETRY_POLICY,
                store_config=StoreConfigModel(required_keys=["folder", "results"]),
            )
            answer = await manager.trigger(
                GRAPH, inputs={"limit": str(limit)}, store={"folder": str(folder), "results": results}
            )
            run = await finished(manager.raw_client, NAMESPACE, answer["run_id"])
        made = await details(manager.raw_client, NAMESPACE, answer["run_id"], run, "report")
        lasted = await duration(manager.raw_client, NAMESPACE, answer["run_id"], run)
    for outputs in (state.outputs for state in made if state.status == "SUCCESS"):
        if not hmac.compare_digest(outputs["signature"], signature(signing_key, outputs["report"])):
            console.print("The report's signature is wrong.", style="bold red")
            return 1
        report = Report.model_validate_json(outputs["report"])
        show_report(console, folder, report.analyses, report.left_out, report.missing)
        console.print(f"[bold]Signed:[/] by the node with its secret, and verified: {outputs['signature'][:16]}…\n")
    # A missing result is a failed state's, and a report that was not made a failed state itself.
    identifiers = [node.identifier for node in NODES]
    return 1 if show_run(console, run, identifiers, lasted, simulated=SimulatedTimeoutError.__name__) else 0


def arguments() -> argparse.Namespace:
    """Read the command line, and refuse a folder that gives nothing to do."""
    parser = argparse.ArgumentParser(description="Reports on the text files of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=MOST_FILES, help="the most files (default: %(default)s)")
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    if not given.folder.is_dir():
        parser.error(f"{given.folder} is not a folder")
    if given.limit < 1:
        parser.error("--limit must be at least 1")
    if not find_files(given.folder, 1).files:
        parser.error(f"{given.folder} has no text files")
    return given


if __name__ == "__main__":
    options = arguments()
    # The tables tell what failed; the SDK leaves logging alone in a program that has configured it.
    logging.basicConfig(level=logging.ERROR)
    try:
        sys.exit(asyncio.run(asyncio.wait_for(main(options.folder, options.limit), TIME_LIMIT)))
    except TimeoutError:
        sys.exit(f"not done after {TIME_LIMIT:.0f} seconds")
