"""The manifest's columns, messages and clashes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tiling.errors import ManifestError
from tiling.manifest import ManifestRow, clashes, read_manifest


def write(folder: Path, text: str | bytes, name: str = "slides.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_every_column_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "slide_id,path,patient,site,label,mpp,split,stain\n"
        "S1,a/one.svs,P1,Bonn,tumour,0.25,train,H&E\n"
        "S2,two.svs,,,,,,\n",
    )
    first, second = read_manifest(file)
    assert first == ManifestRow(
        "S1",
        str(tmp_path / "a/one.svs"),
        patient="P1",
        site="Bonn",
        label="tumour",
        mpp=0.25,
        split="train",
        line=2,
        extra={"stain": "H&E"},
    )
    assert second == ManifestRow("S2", str(tmp_path / "two.svs"), line=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("wsi,mpp\nx/a.svs,0.5\n", ("a", "x/a.svs", 0.5), id="TRIDENT"),
        pytest.param(
            "sample_id,image_path,mask_path,spacing_at_level_0\nid1,x/a.svs,m.tif,0.5\n",
            ("id1", "x/a.svs", 0.5),
            id="hs2p",
        ),
        pytest.param("slide_id,process,status\na.svs,1,tbp\n", ("a", "a.svs", None), id="CLAM"),
        pytest.param("PATH\na.svs\n", ("a", "a.svs", None), id="upper case header"),
        pytest.param("path,wsi\na.svs,other\n", ("a", "a.svs", None), id="own name wins"),
    ],
)
def test_manifests_of_other_tools_are_read(
    tmp_path: Path, text: str, expected: tuple[str, str, float | None]
) -> None:
    (row,) = read_manifest(write(tmp_path, text))
    assert (row.slide_id, row.path, row.mpp) == (
        expected[0],
        str(tmp_path / expected[1]),
        expected[2],
    )


def test_unknown_columns_are_kept(tmp_path: Path) -> None:
    (row,) = read_manifest(write(tmp_path, "path,mask_path,note\na.svs,m.tif,\n"))
    assert row.extra == {"mask_path": "m.tif"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbfpath,label\na.svs,x\n", id="BOM"),
        pytest.param(b"path,label\r\na.svs,x\r\n", id="CRLF"),
        pytest.param(b"\r\npath,label\r\n\r\n,\r\na.svs,x\r\n\r\n", id="empty lines"),
        pytest.param(b'"path","label"\n"a.svs","x"\n', id="quoted"),
        pytest.param(b"path;label\na.svs;x\n", id="semicolons"),
        pytest.param(b"path\tlabel\na.svs\tx", id="tabs, no last newline"),
        pytest.param(b" path , label \n a.svs , x \n", id="spaces"),
    ],
)
def test_spellings_of_one_csv(tmp_path: Path, data: bytes) -> None:
    (row,) = read_manifest(write(tmp_path, data))
    assert (row.slide_id, row.label) == ("a", "x")


def test_line_numbers_count_lines_of_quoted_fields(tmp_path: Path) -> None:
    file = write(tmp_path, 'path,label\n"a.svs","two\nlines"\n\nb.svs,x\n')
    assert [row.line for row in read_manifest(file)] == [2, 5]


def test_all_problems_are_in_one_error(tmp_path: Path) -> None:
    file = write(
        tmp_path, "path,mpp\na.svs,abc\n,0.5\nb.svs,-1\nc.svs,0.5,extra\nd.svs,0\ne.svs,1\n"
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    assert str(caught.value).splitlines() == [
        'slides.csv line 2: mpp must be a positive number, got "abc"',
        "slides.csv line 3: path is empty",
        'slides.csv line 4: mpp must be a positive number, got "-1"',
        "slides.csv line 5: 3 values under 2 columns; quote values that hold commas",
        'slides.csv line 6: mpp must be a positive number, got "0"',
    ]


@pytest.mark.parametrize("mpp", ["nan", "inf", "1e400", "0,25"])
def test_an_absurd_mpp_is_refused(tmp_path: Path, mpp: str) -> None:
    with pytest.raises(ManifestError, match="line 2: mpp must be a positive number"):
        read_manifest(write(tmp_path, f'path,mpp\na.svs,"{mpp}"\n'))


def test_many_problems_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path, "path,mpp\n" + "a.svs,x\n" * 50)
    with pytest.raises(ManifestError, match=r"\.\.\. and 30 more problems"):
        read_manifest(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "slides.csv: empty", id="empty"),
        pytest.param("path\n", "no slides, only a header", id="header only"),
        pytest.param("name,mpp\nx,1\n", "line 1: no column path .or wsi", id="no path"),
        pytest.param("path,path\nx,y\n", "line 1: two columns are named 'path'", id="twice"),
        pytest.param("wsi,file\nx,y\n", "wsi and file both mean path", id="two aliases"),
        pytest.param('path\n"a.svs\n', "line 2: not CSV", id="open quote"),
    ],
)
def test_a_broken_file_says_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, text))


def test_text_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(write(tmp_path, "path\nMüller.svs\n".encode("latin-1")))


def test_a_missing_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        read_manifest(tmp_path / "none.csv")


def test_missing_slides_are_reported_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    file = write(tmp_path, "path\na.svs\nb.svs\ns3://bucket/c.svs\n")
    assert len(read_manifest(file)) == 3
    with pytest.raises(ManifestError, match=r"^slides\.csv line 3: no such file: .*b\.svs$"):
        read_manifest(file, check_files=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "slide_id,path\nA,x/a.svs\nB,b.svs\nA,y/a.svs\n",
            'lines 2 and 4 have the same slide_id "A"',
        ),
        ("slide_id,path\nA,x.svs\na,y.svs\n", r'"A" and "a" \(equal where case is ignored\)'),
        (
            "path\nx/s.svs\ny/s.svs\n",
            "lines 2 and 3 have the same slide_id .*x/s.svs and .*y/s.svs",
        ),
        ("path\na.svs\na.svs\n", "lines 2 and 3 name the same slide"),
    ],
)
def test_duplicates_name_both_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, text))


def test_an_unsafe_id_is_made_safe_and_remembered(tmp_path: Path) -> None:
    (row,) = read_manifest(write(tmp_path, "slide_id,path\na/b c,x.svs\n"))
    assert (row.slide_id, row.extra) == ("a__b_c", {"slide_id_given": "a/b c"})


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    file = write(tmp_path, "path\n/abs/a.svs\nb.svs\ns3://bucket/c.svs\n")
    paths = [row.path for row in read_manifest(file)]
    assert paths == ["/abs/a.svs", str(tmp_path / "b.svs"), "s3://bucket/c.svs"]


def test_a_remote_manifest_is_read() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/manifest-test/slides.csv", b"path\nsub/a.svs\n")
    (row,) = read_manifest("memory://manifest-test/slides.csv")
    assert row.path == "memory://manifest-test/sub/a.svs"


def test_rows_without_lines_clash_by_path() -> None:
    rows = [ManifestRow("a", "/x/a.svs"), ManifestRow("A", "/y/A.svs")]
    (problem,) = clashes(rows)
    assert "/x/a.svs and /y/A.svs" in problem


def test_importing_the_manifest_loads_nothing_heavy() -> None:
    code = (
        "import sys, tiling.manifest;"
        "print([m for m in sys.modules if m in ('numpy', 'fsspec', 'wsi')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
