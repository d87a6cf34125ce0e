"""A service with a graph and runs, and `exospherehost` commands that speak to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from exospherehost.cli.app import cli
from exospherehost.server import ServerThread
from tests._support.service import Api, registration

NAMESPACE = "hello"
SECRET = "sk-a-very-secret-value"
GRAPH_FILE = """\
name: greetings
nodes:
  - node_name: Greet
    identifier: greet
    inputs: {name: World}
    next_nodes: [shout]
  - node_name: Shout
    identifier: shout
    inputs: {text: "${{greet.outputs.text}}"}
secrets: [token]
retry_policy: {max_retries: 0}
"""


class Shell:
    """Runs commands in this process, with the variables of a service.

    Args:
        server: The service.
        environment: Other variables.
    """

    def __init__(self, server: ServerThread, environment: Mapping[str, str]) -> None:
        self.environment = {
            "EXOSPHERE_STATE_MANAGER_URI": server.url,
            "EXOSPHERE_API_KEY": server.api_key,
            **environment,
        }

    def run(self, *words: str | Path, stdin: str | None = None, exit_code: int = 0) -> Result:
        """Run a command that must end with this exit status."""
        done = CliRunner(env=self.environment).invoke(cli, [str(word) for word in words], input=stdin)
        assert done.exit_code == exit_code, (done.output, done.exception)
        return done

    def json(self, *words: str | Path, exit_code: int = 0) -> Any:
        """Run a command with `--json`, and return the one document on its standard output."""
        return json.loads(self.run(*words, "--json", exit_code=exit_code).stdout)


def prepared(api: Api) -> Api:
    """Register the nodes of `GRAPH_FILE`."""
    api.register(registration("Greet", ["name"], ["text"], ["token"]), registration("Shout", ["text"], ["text"]))
    return api


def work_off(api: Api, failing: Sequence[str] = ()) -> None:
    """Execute all due states; those of the `failing` identifiers fail."""

    def act(state: dict[str, Any]) -> None:
        if state["identifier"] in failing:
            api.errored(state, f'ValueError: {state["identifier"]} failed\n  File "app.py", line 7, in execute')
        else:
            api.executed(state, {"text": "done"})

    api.work_off(act, "Greet", "Shout")
