"""Paths that clients name, and everything that would lead out of the folder of slides."""

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.errors import InvalidError, NotFoundError
from service.slides.places import allowed_file, resolve_inside

OUTSIDE = [
    "../secret.svs",
    "more/../../secret.svs",
    "..",
    "more/..",
    "/etc/passwd",
    "//etc/passwd",
    "~/secret.svs",
    "file:///etc/passwd",
    "http://127.0.0.1/a.svs",
    "s3://bucket/a.svs",
    "C:/a.svs",
    "..\\secret.svs",
    "more\\other.svs",
    "cmu.svs\0.png",
    "cmu.svs\n",
    "./cmu.svs",
    "more//other.svs",
    "more/",
    ".hidden.svs",
    ".git/config",
    "more/.hidden.svs",
    "%2e%2e%2fsecret.svs/..",
    "a" * 1001,
    "",
    "more",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "slides"
    (home / "more").mkdir(parents=True)
    (tmp_path / "secret.svs").write_bytes(b"secret")
    for name in ("cmu.svs", "more/other.svs", ".hidden.svs", "more/.hidden.svs"):
        (home / name).write_bytes(b"slide")
    return home


@pytest.mark.parametrize("path", OUTSIDE, ids=range(len(OUTSIDE)))
def test_no_path_leads_out_of_the_folder(root: Path, path: str) -> None:
    with pytest.raises(InvalidError):
        resolve_inside(root, path)


@pytest.mark.parametrize("path", OUTSIDE, ids=range(len(OUTSIDE)))
def test_the_service_refuses_them_and_tells_no_path_of_its_own(
    client: TestClient, slides_root: Path, path: str
) -> None:
    answer = client.post("/api/v1/slides", json={"path": path})
    assert answer.status_code == 422
    assert str(slides_root.parent) not in answer.text


def test_a_plain_path_is_found(root: Path) -> None:
    assert resolve_inside(root, "more/other.svs") == (root / "more" / "other.svs").resolve()


def test_a_missing_file_is_not_found(root: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        resolve_inside(root, "none.svs")


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    (root / "link.svs").symlink_to("more/other.svs")
    assert resolve_inside(root, "link.svs") == (root / "more" / "other.svs").resolve()


@pytest.mark.parametrize("target", ["../secret.svs", "absolute", "folder", "chain", "hidden"])
def test_links_that_lead_out_are_refused(root: Path, target: str) -> None:
    secret, path = root.parent / "secret.svs", "link.svs"
    if target == "../secret.svs":
        (root / "link.svs").symlink_to(target)
    elif target == "absolute":
        (root / "link.svs").symlink_to(secret)
    elif target == "folder":
        (root / "up").symlink_to(root.parent)
        path = "up/secret.svs"
    elif target == "chain":
        (root / "one.svs").symlink_to("two.svs")
        (root / "two.svs").symlink_to(secret)
        path = "one.svs"
    else:
        (root / "link.svs").symlink_to(".hidden.svs")
    with pytest.raises(InvalidError, match="leads out"):
        resolve_inside(root, path)


def test_links_in_a_circle_are_not_found(root: Path) -> None:
    (root / "a.svs").symlink_to("b.svs")
    (root / "b.svs").symlink_to("a.svs")
    with pytest.raises(NotFoundError, match="no file"):
        resolve_inside(root, "a.svs")


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_refused(root: Path, kind: str) -> None:
    path = root / "odd.svs"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(InvalidError, match="is not a file"):
        resolve_inside(root, "odd.svs")


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "linked"
    link.symlink_to(root)
    assert resolve_inside(link, "cmu.svs") == (root / "cmu.svs").resolve()


def test_a_source_counts_only_under_an_allowed_folder(root: Path) -> None:
    roots = (root,)
    assert allowed_file(str(root / "cmu.svs"), roots) == (root / "cmu.svs").resolve()
    assert allowed_file(str(root.parent / "secret.svs"), roots) is None
    assert allowed_file(str(root / ".." / "secret.svs"), roots) is None
    assert allowed_file(str(root / "none.svs"), roots) is None
    assert allowed_file("s3://bucket/cmu.svs", roots) is None
    assert allowed_file("a\0b", roots) is None
    (root / "out.svs").symlink_to(root.parent / "secret.svs")
    assert allowed_file(str(root / "out.svs"), roots) is None


def test_a_registered_path_that_becomes_a_link_out_shows_nothing(
    client: TestClient, slides_root: Path, pyramid_slide: Path
) -> None:
    made = client.post("/api/v1/slides", json={"path": "cmu.svs", "id": "one"})
    assert made.status_code == 201
    (slides_root / "cmu.svs").unlink()
    (slides_root / "cmu.svs").symlink_to(pyramid_slide)
    assert client.get("/api/v1/slides/one_files/0/0_0.jpeg").status_code == 404
    listed = client.get("/api/v1/slides", params={"q": "one"}).json()["items"]
    assert [item["pixels"] for item in listed] == [False]
