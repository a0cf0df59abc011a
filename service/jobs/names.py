"""Places in the client's names: what a job says or leaves never shows a path of the server."""

import re
from collections.abc import Iterable
from typing import Any

_ELSEWHERE = re.compile(
    r"(?<![\w.:/<-])(?:file://)?(?:/[^\s/'\",;:()<>\[\]{}|]+)+/([^\s/'\",;:()<>\[\]{}|]+)"
)
"""A path that starts at the root and has at least two parts; its last part is the name."""

_OPTION = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9]*(-[a-z0-9]+)*)")


def in_words_of_json(text: str) -> str:
    """Put options of the command line into names of fields: --tissue-path becomes tissue_path."""
    return _OPTION.sub(lambda found: found[2].replace("-", "_"), text)


class Names:
    """What stands for which place of the server.

    Args:
        pairs: a path or URL of the server, and what clients call it; what is below it follows.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        known = {server.rstrip("/"): client for server, client in pairs if server.strip("/")}
        # the longest first, so that an archive is not shown as a part of the folder around it
        self._known = dict(sorted(known.items(), key=lambda pair: -len(pair[0])))
        words = "|".join(map(re.escape, self._known))
        self._pattern = re.compile(rf"(?<![\w./-])(?:file://)?({words})(/|(?![\w-]))")

    def told(self, text: str) -> str:
        """Put known places into the client's names, and leave the rest as it is."""
        return self._pattern.sub(self._replace, text) if self._known else text

    def shown(self, text: str) -> str:
        """Put known places into the client's names; of other paths only the last part is left."""
        return _ELSEWHERE.sub(r"…/\1", self.told(text))

    def document(self, value: Any) -> Any:
        """Do that to every text of a JSON document."""
        if isinstance(value, str):
            return self.shown(value)
        if isinstance(value, dict):
            return {self.shown(str(key)): self.document(known) for key, known in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(known) for known in value]
        return value

    def _replace(self, found: "re.Match[str]") -> str:
        client, further = self._known[found[1]], found[2]
        return client + further if client else ("" if further else ".")
