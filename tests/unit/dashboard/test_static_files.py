from __future__ import annotations

import asyncio
import gzip
import re
from importlib.resources import files

import httpx
import pytest

from exospherehost.dashboard import DASHBOARD_PATH, Dashboard

STATIC = files("exospherehost.dashboard").joinpath("static")
INDEX = STATIC.joinpath("index.html").read_text(encoding="utf-8")
ASSETS = re.findall(r'(?:src|href)="/ui/(assets/[^"]+)"', INDEX)


def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=Dashboard())

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as http:
            return await http.request(method, path, headers=headers)

    return asyncio.run(send())


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))}


def test_the_page_has_a_script_a_style_and_an_icon() -> None:
    assert sorted(path.rpartition(".")[2] for path in ASSETS) == ["css", "js", "svg"]
    assert DASHBOARD_PATH == "/ui"


@pytest.mark.parametrize("path", ["/ui/", "/ui/n/billing/runs", "/ui/n/a b/graphs/x", "/ui/api", "/ui/index.html"])
def test_every_address_of_the_page_is_answered_with_the_page(path: str) -> None:
    answer = ask(path)
    assert answer.status_code == 200
    assert answer.text == INDEX
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/ui/", "/ui/api", f"/ui/{ASSETS[0]}", "/ui/assets/none.js"])
def test_nothing_foreign_is_loaded_and_nobody_frames_it(path: str) -> None:
    answer = ask(path)
    found = directives(answer)
    assert found["default-src"] == "'none'"
    assert found["frame-ancestors"] == "'none'"
    assert found["base-uri"] == found["form-action"] == "'none'"
    assert set(found.values()) <= {"'none'", "'self'", "'script'"}
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ASSETS)
def test_an_asset_lasts_and_is_zipped_where_that_is_understood(path: str) -> None:
    body = STATIC.joinpath(path).read_bytes()
    plain, zipped = ask(f"/ui/{path}", **{"accept-encoding": "identity"}), ask(f"/ui/{path}")
    assert plain.content == zipped.content == body
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) == len(gzip.compress(body, mtime=0))
    assert "immutable" in plain.headers["cache-control"]
    assert ask(f"/ui/{path}", **{"if-none-match": plain.headers["etag"]}).status_code == 304


def test_an_asset_that_is_not_there_is_404_and_other_methods_are_405() -> None:
    assert ask("/ui/assets/none.js").status_code == 404
    assert ask("/ui/assets/../../static_files.py").status_code in {200, 404}
    refused = ask("/ui/", "POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/ui/../static_files.py", "/ui/%2e%2e/static_files.py", "/ui//etc/passwd"])
def test_no_other_file_is_served(path: str) -> None:
    assert ask(path).text in {INDEX, "Not Found"}


def test_the_head_of_the_page_is_that_of_the_page() -> None:
    answer = ask("/ui/", "HEAD", **{"accept-encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(INDEX)


def test_the_licences_of_what_is_bundled_are_there() -> None:
    text = STATIC.joinpath("licences.md").read_text(encoding="utf-8")
    for package in ("preact", "@preact/signals", "@dagrejs/dagre", "@tanstack/virtual-core"):
        assert package in text
    assert ask("/ui/licences.md").text == text


def test_the_page_names_no_foreign_origin() -> None:
    scripts = "".join(STATIC.joinpath(path).read_text(encoding="utf-8") for path in ASSETS)
    # Names of XML languages are names, and no addresses.
    assert set(re.findall(r"https?://([\w.-]+)", INDEX + scripts)) <= {"www.w3.org"}
