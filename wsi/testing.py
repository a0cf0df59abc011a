"""For tests of readers and of what is built on them: the contract, and writers of slides."""

from wsi.contract import ReaderTests, fail_reads, region, slow_area_mean
from wsi.synthetic import SvsSpec, grid_pattern, write_pyramid, write_svs

__all__ = [
    "ReaderTests",
    "SvsSpec",
    "fail_reads",
    "grid_pattern",
    "region",
    "slow_area_mean",
    "write_pyramid",
    "write_svs",
]
