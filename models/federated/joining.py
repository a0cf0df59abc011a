"""The sites of one process: whose patches they have, and how they are opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data import PatchDataset
from models.errors import DataError
from models.federated.bench import Bench
from models.federated.plan import DataKind
from models.federated.privacy import FeaturePrivacy
from models.federated.site import Site, site_seed
from models.federated.slices import read_slices
from models.federated.sources import PatchSource, SliceSource, Source
from tiling.store import Archive


@dataclass(frozen=True)
class Members:
    """Which slides or volumes a site has; neither names nor numbers of them leave it.

    Attributes:
        name: of the site.
        archive: path or URL.
        slides: IDs.
    """

    name: str
    archive: str
    slides: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"name": self.name, "archive": self.archive, "slides": list(self.slides)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Members":
        """Read JSON values."""
        return cls(document["name"], document["archive"], tuple(document["slides"]))


def find_members(archives: Sequence[str], split: str | None) -> list[Members]:
    """Sort the slides of archives by site; an archive that names no sites is one, by its file name.

    Args:
        archives: paths or URLs.
        split: only slides of this split of the manifest; None takes all.

    Raises:
        DataError: no slide is of the split, or two archives have a site of one name.
        StoreError: there is no such archive.
    """
    found: list[Members] = []
    for archive in archives:
        by_site: dict[str, list[str]] = {}
        for store in Archive.open(archive).stores():
            known = store.attributes
            if split is None or known["labels"]["split"] == split:
                by_site.setdefault(known["site"] or Path(archive).stem, []).append(store.slide_id)
        found += [Members(n, archive, tuple(sorted(ids))) for n, ids in sorted(by_site.items())]
    if not found:
        where = "" if split is None else f" of the split {split!r}"
        raise DataError(f"there are no slides{where} in {', '.join(archives)}")
    names = [members.name for members in found]
    if unsafe := [name for name in names if name in (".", "..") or set(name) & set("/\\\0")]:
        raise DataError(f"the site {unsafe[0]!r} cannot be the name of a folder")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"several archives have slides of the site {twice[0]!r}; make them one")
    return sorted(found, key=lambda members: members.name)


def guess_kind(members: Members) -> DataKind:
    """Say whether a site has slices of volumes or patches of slides."""
    attributes = Archive.open(members.archive)[members.slides[0]].attributes
    return "volumes" if attributes.get("import", {}).get("kind") == "volumes" else "patches"


def open_source(members: Members, bench: Bench) -> Source:
    """Open the patches of a site.

    Raises:
        DataError: they are not what the plan trains on.
        StoreError: they cannot be read.
    """
    plan, device = bench.plan, bench.device
    seed = site_seed(plan.seed, members.name)
    if plan.data == "volumes":
        slices = read_slices(members.archive, members.slides, plan.side_px)
        return SliceSource(slices, plan, seed=seed, device=device)
    patches = PatchDataset(members.archive, members.slides, labels=False)
    return PatchSource(patches, plan, bench.method.encoder, seed=seed, device=device)


def open_site(
    members: Members, bench: Bench, folder: Path, privacy: FeaturePrivacy | None = None
) -> Site:
    """Open a site whose own bank lies in `folder`.

    Raises:
        DataError: its patches are not what the plan trains on.
        StoreError: they cannot be read.
    """
    return Site(members.name, open_source(members, bench), bench, folder, privacy)
