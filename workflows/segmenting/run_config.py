"""The config of `microtome segment run`."""

from typing import Any

from pydantic import Field

from workflows.config import WorkflowConfig
from workflows.segmenting.config import MasksName

Options = dict[str, Any]


class SegmentRunConfig(WorkflowConfig):
    """Classify, make pseudo masks, train, evaluate and map, as a config file says.

    Each step is the command of that name, with its options in a table of the file. The same command
    goes on where it was stopped. With several seeds everything is done once for each, and the table
    gives means and standard deviations over seeds.
    """

    archives: tuple[str, ...] = Field(min_length=1)
    """Archives of patches with labels, with true masks where they are judged."""
    out: str
    """Folder of all runs."""
    test_split: str = "test"
    """Slides with true masks that are scored at the end."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """One run each."""
    name: MasksName = "pseudo"
    """Name of the pseudo masks in the archives, not masks; with several seeds each has a number
    behind it."""
    start_from_classifier: bool = False
    """Start the encoder of every segmenter from the classifier's trunk, where it is the same
    network."""
    classify: Options = Field(default={})
    """Options of `segment classify`."""
    train: Options = Field(default={})
    """Options of `segment train`."""
    evaluate: Options = Field(default={})
    """Options of `segment evaluate`."""
    single_layer: bool = False
    """Also train on the masks of the last layer alone, for comparison."""
    supervised: Options | None = None
    """Also train on true masks, with the options of `train` and these; for comparison."""
    map: Options | None = None
    """Options of `map`, with `slides`: maps of them by the first seed's model."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose GPU workers train and map."""
