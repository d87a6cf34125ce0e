"""The examples of the generated client's README run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "generated_client" / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

# What stands before each example: the service's answers, from the document's examples.
SERVICE = """
import json
import re
from importlib.resources import files
import httpx
import respx

document = json.loads(files("exospherehost_client").joinpath("openapi.json").read_text(encoding="utf-8"))
service = respx.mock(base_url="http://127.0.0.1:8000", assert_all_called=False)
service.start()
for path, item in sorted(document["paths"].items(), key=lambda item: item[0].count("{")):
    for method in item.keys() - {"parameters"}:
        (kind, media), *_ = next(iter(item[method]["responses"].values()))["content"].items()
        example = media["example"] if "example" in media else next(iter(media["examples"].values()))["value"]
        body = example if isinstance(example, str) else json.dumps(example)
        headers = {"content-type": kind, "x-exosphere-request-id": "id-of-the-request"}
        pattern = "^" + re.sub(r"{\\w+}", "[^/]+", path) + "$"
        service.request(method.upper(), path__regex=pattern).respond(200, text=body, headers=headers)
"""


OUTPUTS = {
    "calling": "0b0c5f0e-9f5b-4d0e-8a5e-0d3b1f6d2f11",
    "asyncio": "id-of-the-request [<RunStatus",
    "errors": "",
    "stream": "event: state",
}


@pytest.mark.parametrize(("block", "output"), list(zip(BLOCKS, OUTPUTS.values(), strict=True)), ids=OUTPUTS)
def test_an_example_runs(block: str, output: str) -> None:
    done = subprocess.run([sys.executable, "-c", SERVICE + block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output in done.stdout
