"""Reads what deploy/ starts: each container's command, variables, ports and times, in one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = DEPLOY / "Dockerfile"
IMAGE = "exospherehost"

Json = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """A container that runs our command line.

    Attributes:
        place: where it stands.
        arguments: what follows `exospherehost`.
        environment: the variables that it sets.
        grace: the seconds between SIGTERM and SIGKILL; 0 where that is not said.
        probes: path and port of each probe over HTTP.
        spec: all that is said of it.
    """

    place: str
    arguments: list[str]
    environment: set[str]
    grace: int
    probes: list[tuple[str, int]]
    spec: Json = field(repr=False)

    @property
    def command(self) -> str:
        return self.arguments[0]

    def option(self, name: str) -> str | None:
        """The value of an option that is spelled `--name=value`, or `--name value`."""
        for number, argument in enumerate(self.arguments):
            if argument == name:
                return self.arguments[number + 1]
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
        return None


def objects() -> Iterator[tuple[str, Json]]:
    """Every Kubernetes object, with the file that it is in."""
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.name, document


def templates() -> Iterator[tuple[str, Json]]:
    """The pods that Kubernetes makes, by kind and name."""
    for _file, item in objects():
        if "template" in item.get("spec", {}):
            yield f"{item['kind']} {item['metadata']['name']}", item["spec"]["template"]


def settings() -> Json:
    """What the ConfigMap holds."""
    (found,) = [item["data"] for _file, item in objects() if item["kind"] == "ConfigMap"]
    return dict(found)


def containers() -> list[Container]:
    return [*_of_image(), *_of_compose(), *_of_kubernetes()]


def instruction(name: str) -> str:
    """The last instruction of that name in the container file."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^\s*{name}\s+(.*)$", text, re.MULTILINE)[-1]


def _of_image() -> Iterator[Container]:
    assert json.loads(instruction("ENTRYPOINT")) == ["exospherehost"]
    probes = [_address(instruction("HEALTHCHECK"))]
    yield Container("Dockerfile", json.loads(instruction("CMD")), set(), 0, probes, {})


def _of_compose() -> Iterator[Container]:
    for name, service in yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"].items():
        if not service["image"].startswith(f"{IMAGE}:"):
            continue
        test = service["healthcheck"].get("test")
        yield Container(
            f"compose {name}",
            service["command"],
            set(service["environment"]),
            int(service.get("stop_grace_period", "0s").removesuffix("s")),
            [] if test is None else [_address(" ".join(test))],
            service,
        )


def _of_kubernetes() -> Iterator[Container]:
    for place, template in templates():
        for spec in template["spec"]["containers"]:
            if not spec["image"].startswith(f"{IMAGE}:"):
                continue
            ports = {port["name"]: port["containerPort"] for port in spec.get("ports", ())}
            probes = [spec[kind]["httpGet"] for kind in spec if kind.endswith("Probe")]
            yield Container(
                place,
                [_expanded(argument) for argument in spec["args"]],
                {variable["name"] for variable in spec["env"]},
                template["spec"].get("terminationGracePeriodSeconds", 30),
                [(probe["path"], ports[probe["port"]]) for probe in probes],
                spec,
            )


def _expanded(argument: str) -> str:
    """An argument as the container gets it."""
    known = settings()
    return re.sub(r"\$\((\w+)\)", lambda match: str(known[match[1]]), argument)


def _address(command: str) -> tuple[str, int]:
    match = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", command)
    assert match is not None, command
    return match[2], int(match[1])
