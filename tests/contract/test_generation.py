"""The generated tree is what the document gives, and any difference is noticed."""

import ast
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "openapi" / "generate.py"
DOCUMENT = ROOT / "openapi" / "state-manager.yaml"
TREE = ROOT / "generated_client"
PACKAGE = TREE / "exospherehost_client"
MARKER = "generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit"


def _load_driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


driver: Any = _load_driver()


def run_driver(*arguments: str | Path, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DRIVER, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )


def sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREE, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__")))


def small_document(**operation: Any) -> dict[str, Any]:
    """A document with one operation, in the form that the driver accepts."""
    answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Small", "version": "1"},
        "paths": {
            "/things/{name}": {
                "get": {
                    "operationId": "find_things",
                    "summary": "Find things",
                    "tags": ["things"],
                    "parameters": [
                        {
                            "name": "name",
                            "in": "path",
                            "required": True,
                            "description": "A.",
                            "schema": {"type": "string"},
                        },
                        {"name": "after", "in": "query", "description": "B.", "schema": {"type": "integer"}},
                        {"name": "all", "in": "query", "description": "C.", "schema": {"type": "boolean"}},
                    ],
                    "responses": {"200": {"description": "Found.", "content": answer}},
                    **operation,
                }
            }
        },
        "components": {
            "securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "x-key"}},
            "schemas": {"Thing": {"type": "object", "properties": {"size": {"type": "integer"}}}},
        },
    }


def test_the_checked_in_tree_is_what_the_document_gives() -> None:
    done = run_driver("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def edited_document(tmp_path: Path, old: str, new: str) -> Path:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "state-manager.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_a_change_of_the_documents_meaning_is_noticed_and_shown(tmp_path: Path) -> None:
    done = run_driver("--check", "--source", edited_document(tmp_path, "default: 2000", "default: 2001"))
    assert done.returncode == 1
    assert "+++ b/exospherehost_client/openapi.json" in done.stdout
    assert "DOCUMENT_SHA256" in done.stdout
    assert "+    backoff_factor: Annotated[int, Field(gt=0)] = 2001" in done.stdout
    assert "run scripts/generate.sh" in done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: The service is alive.", "description: The service is alive!"),
        ("maximum: 86400000", "maximum: 86400001"),
        ("message: OK", "message: up"),
        ("x-exosphere-extension: lease", "x-exosphere-extension: leash"),
    ],
)
def test_every_part_of_the_documents_meaning_is_in_the_tree(tmp_path: Path, old: str, new: str) -> None:
    compiled = driver.compile_document(driver.load(edited_document(tmp_path, old, new)))
    assert compiled != (PACKAGE / "openapi.json").read_bytes()


def test_comments_and_layout_of_the_document_change_nothing(tmp_path: Path) -> None:
    edited = edited_document(tmp_path, "paths:\n", "# a remark\n\npaths:   # and another\n")
    assert driver.compile_document(driver.load(edited)) == (PACKAGE / "openapi.json").read_bytes()


def test_a_changed_byte_of_the_tree_is_noticed_and_shown(tree: Path) -> None:
    models = tree / "exospherehost_client" / "models.py"
    models.write_text(models.read_text(encoding="utf-8").replace("= 2000", "= 2001"), encoding="utf-8")
    done = run_driver("--check", "--target", tree)
    assert done.returncode == 1
    assert "--- a/exospherehost_client/models.py" in done.stdout
    assert "= 2001" in done.stdout


@pytest.mark.parametrize("name", sorted(driver.files(TREE)))
def test_a_changed_byte_of_any_file_is_a_difference(name: str) -> None:
    wanted: dict[str, bytes] = driver.files(TREE)
    content = wanted[name]
    present = {**wanted, name: content[:-1] + bytes([content[-1] ^ 1])}
    assert name in driver.difference(present, wanted)
    assert driver.difference(wanted, wanted) == ""


@pytest.mark.parametrize(
    "name", ["stale.py", "exospherehost_client/api/gone/__init__.py", "exospherehost_client/x.bin"]
)
def test_a_stale_file_is_noticed(tree: Path, name: str) -> None:
    stale = tree / name
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"")
    assert name in driver.difference(driver.files(tree), driver.files(TREE))


def test_a_missing_file_is_noticed(tree: Path) -> None:
    (tree / "exospherehost_client" / "py.typed").unlink()
    assert "exospherehost_client/py.typed" in driver.difference(driver.files(tree), driver.files(TREE))


def test_what_python_leaves_in_the_tree_is_no_difference(tree: Path) -> None:
    cache = tree / "exospherehost_client" / "__pycache__"
    cache.mkdir()
    (cache / "models.cpython-311.pyc").write_bytes(b"\0")
    assert driver.difference(driver.files(tree), driver.files(TREE)) == ""


def test_generating_replaces_the_tree_and_depends_on_no_hash_seed(tree: Path, tmp_path: Path) -> None:
    (tree / "stale.py").touch()
    assert run_driver("--target", tree, hash_seed="1").returncode == 0
    other = tmp_path / "other"
    assert run_driver("--target", other, hash_seed="2").returncode == 0
    assert driver.files(tree) == driver.files(other) == driver.files(TREE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tree"]


@pytest.mark.parametrize("path", [*sources(), PACKAGE / "py.typed"], ids=lambda path: path.relative_to(TREE).as_posix())
def test_every_file_begins_with_the_marker(path: Path) -> None:
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"# {MARKER}"


def test_the_readme_begins_with_the_marker() -> None:
    assert (TREE / "README.md").read_text(encoding="utf-8").splitlines()[0] == f"<!-- {MARKER} -->"


def test_the_document_and_the_generators_are_recorded() -> None:
    recorded = dict[str, Any]()
    exec((PACKAGE / "_generation.py").read_text(encoding="utf-8"), recorded)  # noqa: S102 - it holds two constants
    compiled = (PACKAGE / "openapi.json").read_bytes()
    assert recorded["DOCUMENT_SHA256"] == hashlib.sha256(compiled).hexdigest()
    assert compiled == driver.compile_document(driver.load(DOCUMENT))
    assert recorded["GENERATORS"] == {name: version(name) for name in recorded["GENERATORS"]}
    assert sorted(recorded["GENERATORS"]) == ["datamodel-code-generator", "openapi-python-client", "ruff"]


def test_the_client_needs_only_httpx_and_pydantic() -> None:
    used: dict[str, set[str]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                used.setdefault(name.partition(".")[0], set()).add(path.name)
    foreign = {name: files for name, files in used.items() if name not in sys.stdlib_module_names}
    assert sorted(foreign) == ["exospherehost_client", "httpx", "pydantic", "pydantic_core", "typing_extensions"]
    assert foreign["httpx"] == {"client.py"}


def test_building_and_parsing_load_no_httpx() -> None:
    code = """
import sys
from exospherehost_client.api.states import enqueue_states
from exospherehost_client.models import EnqueueStatesRequest
enqueue_states.build_request("billing", body=EnqueueStatesRequest(nodes=["Read"], batch_size=1))
sys.exit("httpx" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def write(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


INLINE = {"type": "object", "properties": {"x": {"type": "string"}}}
JSON_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"operationId": None}, "has no operationId"),
        ({"tags": []}, "exactly one tag"),
        ({"tags": ["a", "b"]}, "exactly one tag"),
        ({"responses": {"default": {"description": "Any."}}}, "declare each status by its number"),
        (
            {"responses": {"200": {"description": "X.", "content": {"application/json": {"schema": INLINE}}}}},
            "the schema of the response must be a named one",
        ),
        (
            {
                "responses": {
                    "200": {"description": "X.", "content": JSON_BODY},
                    "201": {"description": "X.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                }
            },
            "successes must have one schema",
        ),
        ({"requestBody": {"content": JSON_BODY}}, "a request body must be required and JSON"),
        (
            {"requestBody": {"required": True, "content": {"application/json": {"schema": INLINE}}}},
            "the schema of the request body must be a named one",
        ),
        (
            {"parameters": [{"name": "p", "in": "cookie", "description": "P.", "schema": {"type": "string"}}]},
            "the templates know no cookies",
        ),
        (
            {"parameters": [{"name": "p", "in": "query", "description": "P.", "schema": {"type": "array"}}]},
            "must be a scalar",
        ),
        (
            {
                "parameters": [
                    {"name": "p", "in": "query", "description": "P.", "schema": {"type": "string", "enum": ["a"]}}
                ]
            },
            "inline object or enumeration",
        ),
        ({"parameters": [{"name": "p", "in": "query", "schema": {"type": "string"}}]}, "must have a description"),
    ],
)
def test_what_the_generators_would_get_wrong_is_refused(
    tmp_path: Path, operation: dict[str, Any], message: str
) -> None:
    document = driver.load(write(tmp_path, small_document(**operation)))
    assert any(message in problem for problem in driver.problems(document))


def test_a_well_formed_document_is_not_refused(tmp_path: Path) -> None:
    assert list(driver.problems(driver.load(write(tmp_path, small_document())))) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"inner": INLINE}},
        {"type": "object", "properties": {"kind": {"type": "string", "enum": ["a", "b"]}}},
        {"type": "array", "items": INLINE},
        {"type": "object", "additionalProperties": INLINE},
    ],
)
def test_inline_objects_and_enumerations_are_refused(tmp_path: Path, schema: dict[str, Any]) -> None:
    document = small_document()
    document["components"]["schemas"]["Thing"] = schema
    problems = driver.problems(driver.load(write(tmp_path, document)))
    assert any("inline object or enumeration" in problem for problem in problems)


def test_a_duplicate_operation_id_is_refused_and_the_tree_is_left_alone(tree: Path, tmp_path: Path) -> None:
    document = small_document()
    document["paths"]["/others/{name}"] = document["paths"]["/things/{name}"]
    before = driver.files(tree)
    done = run_driver("--source", write(tmp_path, document), "--target", tree)
    assert done.returncode == 2
    assert "GET /others/{name} has the operationId find_things of GET /things/{name}" in done.stderr
    assert driver.files(tree) == before


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "document.yaml"
    path.write_text("openapi: 3.1.0\npaths: {}\npaths: {}\n", encoding="utf-8")
    with pytest.raises(driver.Refused, match="duplicate key"):
        driver.load(path)


def test_query_parameters_and_empty_responses_are_generated(tmp_path: Path) -> None:
    document = small_document()
    item = document["paths"]["/things/{name}"]
    empty = {"operationId": "remove_thing", "responses": {"204": {"description": "Gone."}}}
    item["delete"] = {**item["get"], **empty, "security": [{"Key": []}], "parameters": item["get"]["parameters"][:1]}
    target = tmp_path / "small"
    assert run_driver("--source", write(tmp_path, document), "--target", target).returncode == 0
    code = """
from exospherehost_client.api.things import find_things, remove_thing
from exospherehost_client.types import RawResponse
print(find_things.build_request("a/b", after=3, all_=True).target)
print(find_things.build_request(".").target)
print(remove_thing.parse_response(RawResponse(204, {}, b"")).parsed)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert done.stdout.split() == ["/things/a%2Fb?after=3&all=true", "/things/%2E", "None"]
