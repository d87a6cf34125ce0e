"""Generates `generated_client/` from `openapi/state-manager.yaml`; run it through `scripts/generate.sh`.

The models are made by datamodel-code-generator, the operations by openapi-python-client with the templates
beside this file. What either would get wrong in silence is refused here.
"""

import argparse
import contextlib
import difflib
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from openapi_python_client import Project
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.errors import GeneratorError
from openapi_python_client.schema.untrusted_string import UntrustedString
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "exospherehost_client"
MARKER = "generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
TOOLS = ("datamodel-code-generator", "openapi-python-client", "ruff")
NEVER_NULL = "x-never-null"
MODULES = ("_model.py", "_wire.py", "_generation.py", "patterns.py", "extensions.py", "limits.py", "operations.py")
EXTENSION = "x-exosphere-extension"
LIMIT = "x-limit"
# Each keyword that bounds a value: the ending of its constant, and what the constant means.
BOUNDS = {
    "minimum": ("MIN", "The least value of `{place}`."),
    "maximum": ("MAX", "The greatest value of `{place}`."),
    "minLength": ("MIN_LENGTH", "The fewest characters of `{place}`."),
    "maxLength": ("MAX_LENGTH", "The most characters of `{place}`."),
    "minItems": ("MIN_ITEMS", "The fewest items of `{place}`."),
    "maxItems": ("MAX_ITEMS", "The most items of `{place}`."),
    "x-max-length": ("MAX_LENGTH", "The most characters of `{place}` that the embedded server takes."),
    "x-max-items": ("MAX_ITEMS", "The most items of `{place}` that the embedded server takes."),
    "x-most-to-send": ("MAX", "The most of `{place}` to send in one request; a server may take more."),
    "x-maximum": ("MAX", "The most of `{place}` that a server grants."),
}
TAKEN_NAMES = ("Any", "Client", "Headers", "Model", "None", "RawResponse", "Request", "Response")

Json = dict[str, Any]


class Refused(Exception):
    """The document, or a generator, is not as it has to be."""


class _Constructor(SafeConstructor):
    """Reads times as the text that they are in JSON."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def load(path: Path) -> Json:
    """Read the document. Keys are text, as in JSON; a key that is there twice is refused."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        document: Json = json.loads(json.dumps(yaml.load(path.read_text(encoding="utf-8"))))
    except YAMLError as error:
        raise Refused(f"{path.name} is not valid YAML: {error}") from error
    return document


def compile_document(document: Json) -> bytes:
    """Write the document as canonical JSON."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def operations(document: Json) -> Iterator[tuple[str, Json, list[Json]]]:
    """Give each operation's place, the operation and its parameters, references resolved."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                yield f"{method.upper()} {path}", item[method], [resolve(document, p) for p in parameters]


def resolve(document: Json, item: Json) -> Json:
    """Follow references within the document."""
    while "$ref" in item:
        target: Any = document
        for part in item["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        item = target
    return item


def problems(document: Json) -> Iterator[str]:
    """Name everything that the generators or the templates would silently get wrong."""
    seen: dict[str, str] = {}
    for place, operation, parameters in operations(document):
        name = operation.get("operationId")
        if name is None:
            yield f"{place} has no operationId"
        elif name in seen:
            yield f"{place} has the operationId {name} of {seen[name]}"
        else:
            seen[name] = place
        if len(operation.get("tags", ())) != 1:
            yield f"{place} must have exactly one tag"
        for parameter in parameters:
            yield from parameter_problems(f"{place}, parameter {parameter['name']}", parameter)
        if "requestBody" in operation:
            yield from body_problems(place, resolve(document, operation["requestBody"]))
        yield from response_problems(document, place, operation["responses"])
    for name, schema in document["components"]["schemas"].items():
        if name in TAKEN_NAMES:
            yield f"the schema name {name} would clash with a name of the client"
        for part in children(schema):
            yield from inline(f"schema {name}", part)


def parameter_problems(place: str, parameter: Json) -> Iterator[str]:
    """Name what is wrong with a parameter."""
    if not parameter.get("description"):
        yield f"{place} must have a description"
    if parameter["in"] == "cookie":
        yield f"{place}: the templates know no cookies"
    if parameter["schema"].get("type") not in ("string", "integer", "number", "boolean"):
        yield f"{place} must be a scalar"
    yield from inline(place, parameter["schema"])


def body_problems(place: str, body: Json) -> Iterator[str]:
    """Name what is wrong with a request's body."""
    if not body.get("required") or list(body["content"]) != ["application/json"]:
        yield f"{place}: a request body must be required and JSON"
    if "$ref" not in body["content"].get("application/json", {}).get("schema", {}):
        yield f"{place}: the schema of the request body must be a named one"


def response_problems(document: Json, place: str, responses: Json) -> Iterator[str]:
    """Name what is wrong with an operation's responses."""
    successes = set[str]()
    for status, reference in responses.items():
        if not status.isdigit():
            yield f"{place}: declare each status by its number, not {status}"
        content = resolve(document, reference).get("content", {"": {}})
        for kind, media in content.items():
            schema = media.get("schema", {})
            if kind and not kind.startswith("text/") and "$ref" not in schema:
                yield f"{place}, {status}: the schema of the response must be a named one"
            if status.startswith("2"):
                successes.add(schema.get("$ref", kind))
    if len(successes) != 1:
        yield f"{place}: successes must have one schema, not {', '.join(sorted(successes)) or 'none'}"


def children(schema: Json) -> Iterator[Json]:
    """Give the schemas directly within one."""
    yield from schema.get("properties", {}).values()
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from schema.get(key, ())
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield schema[key]


def inline(place: str, schema: Json) -> Iterator[str]:
    """Name objects and enumerations that are not components: the two generators name them differently."""
    if "properties" in schema or "enum" in schema:
        yield f"{place} has an inline object or enumeration; make it a component"
    for part in children(schema):
        yield from inline(place, part)


def parts(value: Any, place: str = "") -> Iterator[tuple[str, Json]]:
    """Give every object of the document with the name of the parameter or property that it describes."""
    if isinstance(value, dict):
        yield place, value
        named = value.get("name") if "in" in value else None
        for key, item in value.items():
            yield from parts(item, named or (place if key == "schema" else key))
    elif isinstance(value, list):
        for item in value:
            yield from parts(item, place)


def extension_names(document: Json) -> dict[str, str]:
    """Name every extension, by its constant."""
    names = sorted({part[EXTENSION] for _, part in parts(document) if isinstance(part.get(EXTENSION), str)})
    return {name.upper().replace("-", "_"): name for name in names}


def limits(document: Json) -> dict[str, dict[str, Any]]:
    """Give the value and the meaning of each named bound.

    Raises:
        Refused: Two places give one name different values, or a named place has no bound.
    """
    found: dict[str, dict[str, Any]] = {}
    for place, part in parts(document):
        if LIMIT not in part:
            continue
        bounds = {key: part[key] for key in BOUNDS if key in part}
        if not bounds:
            raise Refused(f"{place} has {LIMIT} and no bound")
        for key, value in bounds.items():
            ending, meaning = BOUNDS[key]
            name = f"{part[LIMIT]}_{ending}"
            if found.setdefault(name, {"value": value, "meaning": meaning.format(place=place)})["value"] != value:
                raise Refused(f"{place}: {name} is {value}, and {found[name]['value']} elsewhere")
    return dict(sorted(found.items()))


def located_operations(document: Json) -> dict[str, Json]:
    """Give the method, path, success status and extension of each operation, by its id."""
    located: dict[str, Json] = {}
    for place, operation, _ in operations(document):
        method, path = place.split(" ")
        status = min(status for status in operation["responses"] if status.startswith("2"))
        located[operation["operationId"]] = {
            "method": method,
            "path": path,
            "status": status,
            "extension": operation.get(EXTENSION),
        }
    return dict(sorted(located.items()))


def sent_schemas(document: Json) -> set[str]:
    """Name the schemas of request bodies, and all that they refer to."""
    requests = {
        media["schema"]["$ref"]
        for _, operation, _ in operations(document)
        if "requestBody" in operation
        for media in resolve(document, operation["requestBody"])["content"].values()
    }
    found: set[str] = set()
    while requests:
        reference = requests.pop()
        found.add(reference)
        requests |= set(references(resolve(document, {"$ref": reference}))) - found
    return {reference.rpartition("/")[2] for reference in found}


def prepare(document: Json) -> tuple[Json, dict[str, str]]:
    """Make the document that the models are generated from, and say which base class each needs."""
    prepared: Json = json.loads(json.dumps(document))
    bases: dict[str, str] = {}
    sent = sent_schemas(document)
    for name, schema in prepared["components"]["schemas"].items():
        schema.pop("title", None)
        if schema.get("additionalProperties") is True and not schema.get("properties"):
            schema["additionalProperties"] = {}  # a plain map, not a class
        for field, part in schema.get("properties", {}).items():
            part.pop("title", None)
            if part.get("anyOf", [])[1:] == [{"type": "null"}]:
                # As a union of its own it would get the union mode, which pydantic refuses there.
                part |= {"allOf": part.pop("anyOf")[:1], "nullable": True}
            if (
                name in sent
                and field not in schema.get("required", ())
                and "default" not in part
                and not nullable(document, document["components"]["schemas"][name]["properties"][field])
            ):
                part[NEVER_NULL] = True
                bases[name] = f"{PACKAGE}._model.RequestModel"
    return prepared, bases


def nullable(document: Json, schema: Json) -> bool:
    """Say whether null fits."""
    schema = resolve(document, schema)
    if any(nullable(document, part) for key in ("anyOf", "oneOf") for part in schema.get(key, ())):
        return True
    return "null" in schema.get("type", ("null",) if not children_or_type(schema) else ())


def children_or_type(schema: Json) -> bool:
    """Say whether a schema restricts its values at all."""
    return bool({"type", "anyOf", "oneOf", "allOf", "enum", "const"} & schema.keys())


def references(schema: Json) -> Iterator[str]:
    """Give all references within a schema."""
    if "$ref" in schema:
        yield schema["$ref"]
    for part in children(schema):
        yield from references(part)


def write_models(document: Json, package: Path, scratch: Path) -> None:
    """Run datamodel-code-generator: for all models, and for what is sent also as plain typed dicts."""
    prepared, bases = prepare(document)
    common = """
        --input-file-type openapi --target-python-version 3.11
        --ignore-pyproject --formatters builtin --use-double-quotes --disable-timestamp
        --use-specialized-enum --use-type-alias --strict-nullable
        --use-schema-description --use-field-description --use-single-line-docstring
    """.split()  # noqa: SIM905 - a command line reads best as one
    models = """
        --output-model-type pydantic_v2.BaseModel
        --use-annotated --snake-case-field --remove-special-field-name-prefix --capitalise-enum-members
        --deserialize-default-values enum --union-mode left_to_right --output-datetime-class AwareDatetime
    """.split()  # noqa: SIM905
    source = scratch / "models.json"
    source.write_text(json.dumps(prepared), encoding="utf-8")
    run(
        sys.executable, "-m", "datamodel_code_generator", *common, *models,
        "--input", str(source), "--output", str(package / "models.py"),
        "--custom-file-header", '"""The data of the operations."""',
        "--base-class", f"{PACKAGE}._model.WireModel", "--base-class-map", json.dumps(bases),
        "--field-extra-keys", NEVER_NULL,
        "--import-overrides", json.dumps({"AwareDatetime": f"{PACKAGE}._model"}),
    )  # fmt: skip
    names = sent_schemas(document)
    sent = {name: schema for name, schema in prepared["components"]["schemas"].items() if name in names}
    if sent:
        source.write_text(json.dumps(prepared | {"paths": {}, "components": {"schemas": sent}}), encoding="utf-8")
        run(
            sys.executable, "-m", "datamodel_code_generator", *common, "--output-model-type", "typing.TypedDict",
            "--input", str(source), "--output", str(package / "bodies.py"),
            "--custom-file-header", '"""What is sent, as plain dicts, for whoever makes many."""',
        )  # fmt: skip


def write_operations(document: Json, compiled: bytes, package: Path) -> None:
    """Run openapi-python-client with our templates, and render those that it does not know."""
    config = Config.from_sources(
        ConfigFile(package_name_override=PACKAGE, post_hooks=[]),
        MetaType.NONE,
        document_source="",
        file_encoding="utf-8",
        overwrite=True,
        output_path=package,
    )
    data = GeneratorData.from_dict(document, config=config)
    if isinstance(data, GeneratorError):
        raise Refused(f"{data.header}: {data.detail}")
    project = Project(openapi=data, config=config, custom_template_path=ROOT / "openapi" / "templates")
    schemes = document["components"]["securitySchemes"].values()
    key_headers = [s["name"] for s in schemes if s["type"] == "apiKey" and s["in"] == "header"]
    if len(key_headers) != 1:
        raise Refused("the document must have exactly one security scheme, an API key in a header")
    patterns = {
        (parameter["name"], parameter["schema"]["pattern"])
        for _, _, parameters in operations(document)
        for parameter in parameters
        if parameter["in"] == "path" and "pattern" in parameter["schema"]
    }
    if len(dict(patterns)) < len(patterns):
        raise Refused("path parameters of one name must have one pattern")
    named = {operation["operationId"]: operation for _, operation, _ in operations(document)}
    project.env.globals.update(
        marker=MARKER,
        key_header=key_headers[0],
        document_sha256=hashlib.sha256(compiled).hexdigest(),
        generators={name: version(name) for name in TOOLS},
        path_patterns=json.dumps(dict(patterns), indent=4, sort_keys=True),
        text_media_types={
            name: sorted({m for r in operation["responses"].values() for m in resolve(document, r).get("content", ())})
            for name, operation in named.items()
        },
        descriptions={
            operation["operationId"]: {p["name"]: UntrustedString(p["description"].strip()) for p in parameters}
            for _, operation, parameters in operations(document)
        },
        extensions={
            name: f" (extension `{operation[EXTENSION]}`)" if EXTENSION in operation else ""
            for name, operation in named.items()
        },
        extension_mark=EXTENSION,
        extension_names=extension_names(document),
        limits=limits(document),
        located_operations=located_operations(document),
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it says where it writes, which is scratch
        errors = project.build()
    if errors:
        raise Refused("\n".join(f"{e.header}: {e.detail}" for e in errors))
    shutil.rmtree(package / "models")  # ours is one module
    for name in MODULES:
        (package / name).write_text(project.env.get_template(f"{name}.jinja").render(), encoding="utf-8")
    readme = project.env.get_template("README.md.jinja").render()
    (package.parent / "README.md").write_text(readme, encoding="utf-8")


def generate(source: Path, target: Path, scratch: Path) -> None:
    """Write the whole tree to an empty folder.

    Raises:
        Refused: The document is not as it has to be, or a generator failed.
    """
    document = load(source)
    if found := list(problems(document)):
        raise Refused("\n".join(found))
    compiled = compile_document(document)
    package = target / PACKAGE
    package.mkdir(parents=True)
    write_operations(document, compiled, package)
    write_models(document, package, scratch)
    (package / "openapi.json").write_bytes(compiled)
    (package / "py.typed").touch()
    for path in [*package.rglob("*.py"), package / "py.typed"]:
        path.write_text(f"# {MARKER}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    ruff = (sys.executable, "-m", "ruff")
    settings = ("--config", str(ROOT / "openapi" / "format.toml"), "--no-cache", "--quiet", str(package))
    run(*ruff, "check", "--fix", *settings)
    run(*ruff, "format", *settings)


def run(*command: str) -> None:
    """Run a tool, and show what it said if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{command[2]} failed:\n{done.stdout}{done.stderr}")


def files(tree: Path) -> dict[str, bytes]:
    """Read a tree, apart from what Python leaves in it."""
    paths = [path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in paths}


def difference(present: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    """Write what generating would change as a unified diff."""
    parts = list[str]()
    for name in sorted(present.keys() | wanted.keys()):
        old, new = present.get(name), wanted.get(name)
        if old != new:
            lines = difflib.unified_diff(
                (old or b"").decode("utf-8", "backslashreplace").splitlines(keepends=True),
                (new or b"").decode("utf-8", "backslashreplace").splitlines(keepends=True),
                f"a/{name}" if old is not None else "/dev/null",
                f"b/{name}" if new is not None else "/dev/null",
            )
            parts.append("".join(lines) or f"{name}: {'missing' if old is None else 'differs or is stale'}\n")
    return "".join(parts)


def main() -> int:
    """Generate, or compare; say what is wrong on standard error."""
    parser = argparse.ArgumentParser(description="Generate the client from the OpenAPI document.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if anything would change")
    parser.add_argument("--source", type=Path, default=ROOT / "openapi" / "state-manager.yaml")
    parser.add_argument("--target", type=Path, default=ROOT / "generated_client")
    arguments = parser.parse_args()
    target: Path = arguments.target.resolve()
    # Beside the target, so that the new tree can take its place by renaming.
    with tempfile.TemporaryDirectory(prefix=".generating-", dir=target.parent) as scratch:
        fresh = Path(scratch, "tree")
        try:
            generate(arguments.source, fresh, Path(scratch))
        except Refused as error:
            print(f"nothing was generated:\n{error}", file=sys.stderr)
            return 2
        if arguments.check:
            changes = difference(files(target), files(fresh))
            if changes:
                sys.stdout.write(changes)
                print(
                    f"{target.name} is not what {arguments.source.name} gives: run scripts/generate.sh",
                    file=sys.stderr,
                )
            return 1 if changes else 0
        if target.exists():
            target.rename(Path(scratch, "old"))
        fresh.rename(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
