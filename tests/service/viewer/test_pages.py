"""The pages and their files: addresses, headers, and that all of it comes from this server."""

import hashlib
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import service.viewer

STATIC = Path(service.viewer.__file__).parent / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(
    path.relative_to(STATIC).as_posix()
    for path in STATIC.rglob("*")
    if path.is_file() and VENDOR not in path.parents
)
THEIRS = sorted(path.relative_to(VENDOR).as_posix() for path in VENDOR.glob("*/*"))
NAMESPACE = "http://www.w3.org/2000/svg"
LIBRARY = "/viewer/vendor/openseadragon-6.1.1/openseadragon.min.js"


def names_elsewhere(text: str) -> list[str]:
    """Addresses of other servers; the namespace of SVG is a name."""
    found = re.findall(r"(?:\w+:)?//[\w.-]+\.\w+[^\s\"'`)]*", text)
    return [one for one in found if one != NAMESPACE]


@pytest.mark.parametrize("path", ["/", "/docs", "/viewer/js/main.js", "/viewer/css/base.css"])
def test_pages_need_no_token(bare: TestClient, path: str) -> None:
    bare.post("/api/v1/tokens", json={"name": "root", "scopes": ["admin"]})
    assert bare.get("/api/v1/me").status_code == 401
    assert bare.get(path).status_code == 200


@pytest.mark.parametrize("name", OURS)
def test_every_file_is_served_whole_with_its_type(bare: TestClient, name: str) -> None:
    answer = bare.get(f"/viewer/{name}")
    assert answer.content == (STATIC / name).read_bytes()
    kinds = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
    kind = kinds.get(Path(name).suffix, "image/svg+xml")
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs", LIBRARY])
def test_scripts_and_styles_may_only_come_from_this_server(bare: TestClient, path: str) -> None:
    policy = bare.get(path).headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(".html")])
def test_pages_hold_no_inline_script_or_style(name: str) -> None:
    text = (STATIC / name).read_text()
    assert not re.findall(r"<script(?![^>]*\bsrc=)", text)
    assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text)


@pytest.mark.parametrize("name", OURS)
def test_no_file_of_ours_names_another_server(name: str) -> None:
    assert names_elsewhere((STATIC / name).read_text()) == []


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(".js")])
def test_no_script_reads_a_string_as_html_or_code(name: str) -> None:
    text = (STATIC / name).read_text()
    bad = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    assert not re.findall(bad, text)


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith((".js", ".html"))])
def test_everything_that_a_file_asks_for_is_there(name: str) -> None:
    text = (STATIC / name).read_text()
    if name.endswith(".html"):
        found = re.findall(r'(?:src|href)="viewer/([^"]+)"', text)
        asked = [STATIC / one for one in found]
        assert found
    else:
        found = re.findall(r"(?:from|import\(|new URL\()\s*'(\.[^']+\.\w+)'", text)
        asked = [(STATIC / name).parent / one for one in found]
    assert [one for one in asked if not one.resolve().is_file()] == []


def test_the_list_of_files_of_others_is_exact() -> None:
    text = (VENDOR / "README.md").read_text()
    told = dict(re.findall(r"\| `([\w./-]+)` \| `([0-9a-f]{64})` \|", text))
    found = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in THEIRS}
    assert told == found


@pytest.mark.parametrize("folder", sorted({name.split("/")[0] for name in THEIRS}))
def test_what_others_made_lies_beside_its_licence_and_is_described(folder: str) -> None:
    licences = [path for path in (VENDOR / folder).iterdir() if "LICENSE" in path.name]
    assert any(path.stat().st_size > 1000 for path in licences)
    package, version = re.fullmatch(r"(.+)-(\d[\d.]*)", folder).groups()  # type: ignore[union-attr]
    row = rf"\| {package} \| {re.escape(version)} \| (BSD-3-Clause|Apache-2.0)"
    assert re.search(row, (VENDOR / "README.md").read_text())


def test_scripts_of_others_are_the_versions_that_their_folders_say() -> None:
    text = (VENDOR / "openseadragon-6.1.1" / "openseadragon.min.js").read_text()
    assert text.startswith("//! openseadragon 6.1.1\n")
    bundle = (VENDOR / "swagger-ui-dist-5.35.0" / "swagger-ui-bundle.js").read_text()
    assert "5.35.0" in bundle


def test_files_of_others_are_kept_for_a_year_and_ours_are_asked_for_again(
    bare: TestClient,
) -> None:
    assert bare.get(LIBRARY).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for path in ("/", "/docs", "/viewer/js/main.js"):
        assert bare.get(path).headers["Cache-Control"] == "no-cache"


def test_a_file_that_the_client_has_is_not_sent_again(bare: TestClient) -> None:
    first = bare.get("/viewer/js/main.js", headers={"Accept-Encoding": "identity"})
    again = bare.get("/viewer/js/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"
    other = bare.get("/viewer/js/main.js", headers={"If-None-Match": '"another", W/"one"'})
    assert other.status_code == 200


def test_the_tag_of_a_zipped_file_is_known_too(bare: TestClient) -> None:
    first = bare.get(LIBRARY, headers={"Accept-Encoding": "gzip"})
    assert first.headers["ETag"].startswith('W/"')
    again = bare.get(LIBRARY, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_large_files_are_zipped_for_clients_that_can_take_it(bare: TestClient) -> None:
    plain = bare.get(LIBRARY, headers={"Accept-Encoding": "identity"})
    zipped = bare.get(LIBRARY, headers={"Accept-Encoding": "br, gzip"})
    refused = bare.get(LIBRARY, headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) < len(plain.content) / 3
    assert zipped.content == plain.content
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_head_gives_the_same_headers_and_no_body(bare: TestClient) -> None:
    whole, head = bare.get(LIBRARY), bare.head(LIBRARY)
    assert head.content == b""
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "/viewer/",
        "/viewer/nothing.js",
        "/viewer/../files.py",
        "/viewer/%2e%2e/files.py",
        "/viewer/..%2ffiles.py",
        "/viewer//etc/passwd",
        "/viewer/js",
        "/viewer/vendor/../js/main.js/../../../area.py",
    ],
)
def test_what_is_no_file_of_the_viewer_is_not_found(bare: TestClient, path: str) -> None:
    answer = bare.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_path_with_a_nul_is_refused(bare: TestClient) -> None:
    assert bare.get("/viewer/js/main.js%00").status_code in (400, 404)


def test_pages_are_no_part_of_the_api_document(bare: TestClient) -> None:
    paths = bare.get("/api/v1/openapi.json").json()["paths"]
    assert not {"/", "/docs", "/viewer/{path}"} & paths.keys()
