"""What a chaos run showed: figures, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.checker import DOUBLED, LOST, RETRIED, STUCK, Evidence, Violation
from tests.chaos.database import StoredState
from tests.chaos.fates import Fate, fate

_SHOWN = 20


def is_given_back(state: StoredState) -> bool:
    """Tell whether a state was to be given back by its node."""
    return "order" in state.inputs and fate(state.inputs["order"], state.text) is Fate.REQUEUE


@dataclass(frozen=True)
class Figures:
    """What happened during the run."""

    database: str
    replicas: int
    seed: int
    seconds: float
    server_kills: int
    runtime_kills: int
    runtime_processes: int
    repeated_triggers: int
    errors_logged: int


@dataclass(frozen=True)
class Verdict:
    """The figures, the counts and the violations."""

    figures: Figures
    evidence: Evidence
    violations: Sequence[Violation]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations

    def count(self, kind: str) -> int:
        """Count what was lost, doubled, …"""
        return sum(violation.count for violation in self.violations if violation.kind == kind)

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the table."""
        contents, figures = self.evidence.contents, self.figures
        statuses = Counter(state.status for state in contents.states)
        expired = [state for state in contents.states if state.error == "lease expired"]
        times = Counter(execution.state_id for execution in self.evidence.executions)
        again = {state_id for state_id, count in times.items() if count > 1}
        ordered = sum(1 for state in contents.states if state.id in again and is_given_back(state))
        ended = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
        others = len(self.violations) - sum(
            1 for violation in self.violations if violation.kind in {LOST, DOUBLED, STUCK}
        )
        return [
            ("database", f"{figures.database}, servers: {figures.replicas}"),
            ("seed", str(figures.seed)),
            ("runs triggered / stored", f"{len(self.evidence.plan.runs):,} / {len(contents.runs):,}"),
            ("states planned", f"{self.evidence.plan.states:,}"),
            ("states stored", f"{len(contents.states):,}, {statuses[RETRIED]:,} of them tried again"),
            ("ended as", ended),
            ("joins fired", f"{len(contents.firings):,}"),
            ("executions", f"{len(self.evidence.executions):,}"),
            (
                "executed more than once",
                f"{len(again) - ordered:,} states, and {ordered:,} given back on purpose",
            ),
            (
                "leases that ran out",
                f"{len(expired):,}, {sum(1 for state in expired if state.id in times):,} of them after an execution",
            ),
            ("kill -9 of servers / runtimes", f"{figures.server_kills} / {figures.runtime_kills}"),
            ("lives of runtimes", str(figures.runtime_processes)),
            ("triggers repeated", f"{figures.repeated_triggers:,}"),
            ("errors logged", f"{figures.errors_logged:,}"),
            ("seconds", f"{figures.seconds:.0f}"),
            ("lost", f"{self.count(LOST):,}"),
            ("doubled", f"{self.count(DOUBLED):,}"),
            ("stuck", f"{self.count(STUCK):,}"),
            ("otherwise wrong", f"{others:,}"),
        ]

    def text(self) -> str:
        """Return the table and the first violations."""
        rows = self.rows()
        width = max(len(name) for name, _value in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        lines += [f"VIOLATED {each.rule}: {each.text}" for each in self.violations[:_SHOWN]]
        if len(self.violations) > _SHOWN:
            lines.append(f"… and {len(self.violations) - _SHOWN} more")
        lines.append("verdict: " + ("nothing lost, nothing doubled, every run ended" if self.holds else "VIOLATED"))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a document."""
        return {
            **asdict(self.figures),
            "holds": self.holds,
            "table": dict(self.rows()),
            "violations": [asdict(violation) for violation in self.violations],
        }
