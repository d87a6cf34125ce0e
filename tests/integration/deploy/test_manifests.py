"""What deploy/ names is there: commands, options, variables, ports, paths, metrics; and its times fit each other."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml

import exospherehost
from exospherehost.cli.app import cli
from exospherehost.server import ServerSettings, ServerThread
from tests.integration.deploy.manifests import (
    DEPLOY,
    DOCKERFILE,
    KUBERNETES,
    ROOT,
    Container,
    containers,
    instruction,
    objects,
    templates,
)

CONTAINERS = containers()
SERVERS = [container for container in CONTAINERS if container.command == "serve"]
RUNTIMES = [container for container in CONTAINERS if container.command == "run"]
# What libpq reads, and what a sum of times needs on top of it.
OF_POSTGRESQL = {"PGPASSWORD"}
SPARE_SECONDS = 5


def place(container: Container) -> str:
    return container.place


def test_there_are_servers_runtimes_and_migrations() -> None:
    assert len(SERVERS) == 4
    assert len(RUNTIMES) == 2
    assert len(CONTAINERS) == 8


@pytest.mark.parametrize("container", CONTAINERS, ids=place)
def test_command_and_options_are_those_of_the_command_line(container: Container) -> None:
    command: click.Command = cli
    arguments = list(container.arguments)
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    # Checks the values too, and runs nothing.
    command.make_context(container.command, arguments)


@pytest.mark.parametrize("container", [each for each in CONTAINERS if each.spec], ids=place)
def test_variables_are_read_and_none_is_missing(container: Container) -> None:
    read = {
        name
        for path in Path(exospherehost.__file__).parent.rglob("*.py")
        for name in re.findall(r'"(EXOSPHERE_[A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    ours = container.environment - OF_POSTGRESQL - {"DATABASE_URL"}
    assert ours <= read
    needed = {
        "serve": {"EXOSPHERE_API_KEY", "EXOSPHERE_SECRETS_KEY", "PGPASSWORD"},
        "run": {"EXOSPHERE_API_KEY", "EXOSPHERE_STATE_MANAGER_URI"},
        "db": {"PGPASSWORD"},
    }
    assert needed[container.command] <= container.environment


def test_probes_of_servers_find_their_path_and_metrics_are_on_their_port(tmp_path: Path) -> None:
    settings = ServerSettings(api_key="k", database=tmp_path / "a.db", port=0, metrics_port=0)
    probed = {path for container in SERVERS for path, _port in container.probes}
    assert probed == {"/health", "/ready"}
    with ServerThread(settings) as server:
        for path in probed:
            assert httpx.get(f"{server.url}{path}").status_code == 200, path
        assert httpx.get(server.metrics_url).status_code == 200
    for container in SERVERS:
        assert {port for _path, port in container.probes} == {int(container.option("--port") or 0)}
        assert container.option("--metrics-port") == "9090"
    assert instruction("EXPOSE").split() == ["8000", "9090"]


def test_prometheus_scrapes_the_port_for_metrics() -> None:
    (annotations,) = [
        template["metadata"]["annotations"] for name, template in templates() if name == "Deployment exosphere-server"
    ]
    assert annotations["prometheus.io/port"] == "9090"
    assert annotations["prometheus.io/path"] == "/metrics"


@pytest.mark.parametrize("container", [each for each in SERVERS if each.spec], ids=place)
def test_servers_have_time_to_drain(container: Container) -> None:
    asked = int(container.option("--drain-delay") or 0) + int(container.option("--shutdown-grace") or 0)
    assert asked > 0
    assert container.grace >= asked + 1 + SPARE_SECONDS


def example() -> ast.Module:
    return ast.parse((DEPLOY / "runtime_app.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("container", RUNTIMES, ids=place)
def test_runtimes_have_time_to_drain_and_are_probed_where_they_listen(container: Container) -> None:
    source = example()
    (grace,) = [
        node.value.value
        for node in source.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "GRACE_SECONDS"
        and isinstance(node.value, ast.Constant)
    ]
    assert isinstance(grace, int)
    assert container.grace >= 2 * grace + SPARE_SECONDS
    (liveness,) = [
        keyword.value.value
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "liveness" and isinstance(keyword.value, ast.Constant)
    ]
    assert {f"0.0.0.0:{port}" for _path, port in container.probes} == {liveness}
    assert {path for path, _port in container.probes} <= {"/live", "/ready"}
    module, _, name = container.arguments[1].partition(":")
    assert (DEPLOY / f"{module}.py").exists()
    assert name in {node.name for node in source.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", [name for name, _template in templates()])
def test_pods_keep_to_the_restricted_standard(name: str) -> None:
    template: dict[str, Any] = dict(templates())[name]
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True, name
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_names_lead_to_what_there_is() -> None:
    found = [item for _file, item in objects()]
    keys = {
        item["metadata"]["name"]: {*item.get("data", {}), *item.get("stringData", {})}
        for item in found
        if item["kind"] in {"ConfigMap", "Secret"}
    }
    assert keys.keys() == {"exosphere"}
    (config,) = [item["data"].keys() for item in found if item["kind"] == "ConfigMap"]
    (secret,) = [item["stringData"] for item in found if item["kind"] == "Secret"]
    assert set(secret.values()) == {""}
    pods = {name: template["metadata"]["labels"] for name, template in templates()}
    for name, template in templates():
        for container in template["spec"]["containers"]:
            for variable in container["env"]:
                source = variable.get("valueFrom", {})
                if "configMapKeyRef" in source:
                    assert source["configMapKeyRef"]["key"] in config, name
                if "secretKeyRef" in source:
                    assert source["secretKeyRef"]["key"] in secret, name
    for item in found:
        spec = item.get("spec", {})
        selectors = [spec.get("selector"), spec.get("podSelector")]
        selectors += [peer.get("podSelector") for rule in spec.get("ingress", ()) for peer in rule["from"]]
        selectors += [peer.get("podSelector") for rule in spec.get("egress", ()) for peer in rule["to"]]
        for selector in filter(None, selectors):
            labels = selector.get("matchLabels", selector)
            assert any(labels.items() <= pod.items() for pod in pods.values()), (item["metadata"]["name"], labels)


def test_every_manifest_is_applied_but_the_template_of_the_secret() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files - set(kustomization["resources"]) == {"kustomization.yaml", "secret.template.yaml"}
    assert set(kustomization["resources"]) <= files
    # What the lint has no schema for, it lets pass.
    assert {item["kind"] for file, item in objects() if file != "kustomization.yaml"} == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Job", "Namespace", "NetworkPolicy",
        "PodDisruptionBudget", "Secret", "Service", "StatefulSet",
    }  # fmt: skip


def test_images_have_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tags = {container.spec["image"] for container in CONTAINERS if container.spec}
    assert tags == {f"exospherehost:{project['version']}"}
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {image["newTag"] for image in kustomization["images"]} == {project["version"]}
    assert [item["metadata"]["name"] for _file, item in objects() if item["kind"] == "Job"] == [
        f"exosphere-migrate-{project['version']}"
    ]


def test_what_the_image_is_built_of_is_there_and_reaches_the_build() -> None:
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }  # fmt: skip
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == allowed
    for name in names:
        assert (ROOT / name).exists(), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"\[([\w,]+)\]'", DOCKERFILE.read_text(encoding="utf-8")))
    (named,) = extras
    # The extra that brings PostgreSQL's driver may come with a later version.
    assert set(named.split(",")) - project["optional-dependencies"].keys() <= {"postgres"}


def test_the_autoscaler_goes_by_metrics_that_the_server_shows(tmp_path: Path) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus-adapter-values.yaml").read_text(encoding="utf-8"))["rules"]["external"]
    (rule,) = rules
    (scaler,) = [item["spec"] for _file, item in objects() if item["kind"] == "HorizontalPodAutoscaler"]
    (metric,) = scaler["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    settings = ServerSettings(api_key="k", database=tmp_path / "a.db", port=0, metrics_port=0)
    with ServerThread(settings) as server:
        headers = {"x-api-key": "k"}
        node = {"name": "A", "inputs_schema": {"type": "object"}, "outputs_schema": {"type": "object"}, "secrets": []}
        body = {"runtime_name": "r", "nodes": [node]}
        assert httpx.put(f"{server.url}/v0/namespace/demo/nodes/", json=body, headers=headers).status_code == 200
        shown = httpx.get(server.metrics_url).text
    for name in re.findall(r"exosphere_states_\w+", rule["metricsQuery"]):
        assert re.search(rf'^{name}{{exosphere_namespace="demo",exosphere_node="A"}} 0', shown, re.MULTILINE), name
    assert metric["external"]["metric"]["selector"]["matchLabels"] == {"exosphere_namespace": "demo"}
