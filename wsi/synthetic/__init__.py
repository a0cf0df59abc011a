"""Writers of synthetic slides, for tests and benchmarks: known pyramids, and SVS files."""

from wsi.synthetic.pyramid import grid_pattern, write_pyramid
from wsi.synthetic.svs import SvsSpec, write_svs

__all__ = ["SvsSpec", "grid_pattern", "write_pyramid", "write_svs"]
