"""A bucket prefix through fsspec: an object appears when its PUT has ended."""

from collections.abc import Sequence

from tiling.errors import StoreError
from tiling.storage.base import Storage


class ObjectStorage(Storage):
    """A bucket prefix through fsspec; an object appears when its PUT has ended."""

    @property
    def _fs(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - fsspec ships no types
        import fsspec

        return fsspec.url_to_fs(self.root)[0]  # instances are cached by fsspec, per process

    def _url(self, key: str) -> str:
        return f"{self.root.rstrip('/')}/{key}"

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        return bytes(self._fs.cat_file(self._url(key)))

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """See `Storage.read_range`."""
        end = None if start < 0 else stop  # by name: the order of s3fs differs from fsspec's
        return bytes(self._fs.cat_file(self._url(key), start=start, end=end))

    def read_ranges(self, keys: list[str], starts: list[int], stops: list[int]) -> list[bytes]:
        """See `Storage.read_ranges`; the requests go out together."""
        found = self._fs.cat_ranges([self._url(key) for key in keys], starts, stops)
        return [bytes(data) for data in found]

    def write(self, key: str, parts: Sequence[bytes]) -> None:
        """See `Storage.write`."""
        try:
            self._fs.pipe_file(self._url(key), b"".join(parts))
        except OSError as err:
            raise StoreError(f"cannot write {self._url(key)}: {err}") from err

    def create(self, key: str, data: bytes) -> bool:
        """See `Storage.create`: a conditional PUT (S3: `If-None-Match: *`)."""
        try:
            self._fs.pipe_file(self._url(key), data, mode="create")
        except FileExistsError:
            return False
        except OSError as err:
            raise StoreError(f"cannot create {self._url(key)}: {err}") from err
        return True

    def exists(self, key: str) -> bool:
        """See `Storage.exists`."""
        fs = self._fs
        fs.invalidate_cache()
        return bool(fs.isfile(self._url(key)))

    def size(self, key: str) -> int:
        """See `Storage.size`."""
        return int(self._fs.info(self._url(key), refresh=True)["size"])

    def names(self, prefix: str) -> list[str]:
        """See `Storage.names`."""
        fs = self._fs
        fs.invalidate_cache()
        try:
            found = fs.ls(self._url(prefix).rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        return sorted({name.rstrip("/").rpartition("/")[2] for name in found})

    def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        fs = self._fs
        fs.invalidate_cache()
        if fs.exists(self._url(prefix)):
            fs.rm(self._url(prefix), recursive=True)

    def prune(self, prefix: str) -> None:
        """See `Storage.prune`: object stores have no folders."""

    def tidy(self, prefix: str) -> None:
        """See `Storage.tidy`: a PUT that is cut off leaves nothing."""

    def staging(self, final: str, token: str) -> str:
        """See `Storage.staging`: in place, since object stores do not rename."""
        del token
        return final

    def publish(self, staged: str, final: str, marker: str, data: bytes) -> None:
        """See `Storage.publish`: the marker is the commit."""
        del staged
        self.write(f"{final}/{marker}", [data])
