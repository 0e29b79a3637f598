"""`Store`: the few operations of a folder or an object store that the library needs, through fsspec."""

from __future__ import annotations

import functools
import getpass
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kling_nb._files import copy_file, parse_object, write_file
from kling_nb._lazy import lazy
from kling_nb.errors import LibraryError

fsspec: Any = lazy("fsspec")

ANSWER_SECONDS = 10.0
"""How long an object store may be silent."""

LARGEST_JSON = 32 * 2**20
_CONDITIONAL = {"s3", "s3a", "gs", "gcs", "file", "local"}
"""Protocols of stores in which `create` never replaces an object, even if two machines write at once."""


class Info(NamedTuple):
    """The size of an object in bytes, and when it was written: unix seconds of the store's clock."""

    size: int
    modified: float


class Store:
    """The objects below one URL. Any thread; a forked child makes a new one.

    Args:
        url: A URL of fsspec, such as `s3://bucket/folder`, or a folder.
        answer: Seconds that an object store may be silent. A silent one is asked twice.

    Attributes:
        name: The URL without user and password.

    Raises:
        LibraryError: By every method: no answer, a refusal, or fsspec has no driver for the URL.
    """

    def __init__(self, url: str, answer: float = ANSWER_SECONDS) -> None:
        self.name = re.sub("//[^/@]*@", "//", url)
        self._url = url
        self._answer = answer

    @functools.cached_property
    def _opened(self) -> tuple[Any, str]:
        """Return fsspec's file system, and the path of the URL in it."""
        options: dict[str, Any] = {}
        protocol = self._url.partition("://")[0]
        if protocol in {"s3", "s3a"}:
            limits = {"connect_timeout": self._answer / 2, "read_timeout": self._answer}
            options = {"config_kwargs": {**limits, "retries": {"total_max_attempts": 1}}}
        try:
            fs, root = fsspec.core.url_to_fs(
                self._url, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            raise LibraryError(
                f"The library {self.name} needs a package that is not installed: {error}.",
                remedy="pip install 'kling_nb[library]'; for other stores than S3 also fsspec's driver.",
            ) from None
        except (ValueError, TypeError) as error:
            raise self._error(error) from None
        if hasattr(fs, "retries"):
            fs.retries = 2
        return fs, root.rstrip("/")

    @property
    def is_conditional(self) -> bool:
        """True if `create` never replaces an object, even if two machines write it at once."""
        protocol = self._opened[0].protocol
        return not _CONDITIONAL.isdisjoint((protocol,) if isinstance(protocol, str) else protocol)

    @property
    def _folder(self) -> Path | None:
        """The folder, if the store is one. It must exist: an unmounted disk would look like an empty one."""
        fs, root = self._opened
        if "file" not in fs.protocol:
            return None
        if not os.path.isdir(root):  # noqa: PTH112 -- Path.is_dir may raise
            raise LibraryError(
                f"The library {self.name} is not there.", remedy="Create the folder, or mount its disk."
            )
        return Path(root)

    def _path(self, key: str) -> str:
        return f"{self._opened[1]}/{key}"

    def _error(self, error: Exception) -> LibraryError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return LibraryError(
            f"The library {self.name} does not work: {reason}",
            remedy="Check the URL, the account and the network: kling-nb library status.\n"
            "To go on without it: KLING_NB_LIBRARY_OPTIONAL=1 (API: configure(library_optional=True)).",
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise each error of a driver as a `LibraryError`. The drivers have no common class of errors."""
        try:
            yield
        except (LibraryError, FileNotFoundError, FileExistsError):
            raise
        except Exception as error:
            raise self._error(error) from error

    def read(self, *keys: str) -> list[dict[str, Any] | None]:
        """Return small JSON objects, fetched at once; None for each that is missing or not JSON."""
        _ = self._folder
        fs, count = self._opened[0], len(keys)
        with self._errors():
            found = fs.cat_ranges(
                [self._path(key) for key in keys], [0] * count, [LARGEST_JSON] * count, on_error="return"
            )
            for data in found:
                if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                    raise data
        return [parse_object(data) if isinstance(data, bytes) else None for data in found]

    def write(self, key: str, data: bytes) -> None:
        """Write a small object. An existing one is replaced in one step, where the store can."""
        with self._writing(key) as path:
            if path is not None:
                write_file(path, data, overwrite=True)
            else:
                self._opened[0].pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object, unless there is one. Return False if there is one.

        If the store cannot write conditionally, another machine may write it at the same moment.
        """
        fs, path = self._opened[0], self._path(key)
        if not self.is_conditional:
            if self.info(key) is not None:
                return False
            self.write(key, data)
            return True
        for attempt in range(3):
            try:
                with self._writing(key) as file:
                    if file is not None:
                        write_file(file, data)
                    else:
                        fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            except LibraryError as error:
                status = _http_status(error)
                if status == 412:  # a store that does not say which condition failed
                    return False
                if status != 409 or attempt == 2:  # 409: another one writes it now
                    raise
                continue
            return True
        raise AssertionError("the last try returns or raises")

    def upload(self, key: str, file: Path) -> None:
        """Store a file."""
        with self._writing(key) as path:
            if path is not None:
                write_file(path, functools.partial(copy_file, file), overwrite=True)
            else:
                self._opened[0].put_file(str(file), self._path(key))

    def download(self, key: str, file: Path) -> None:
        """Fetch an object as a file.

        Raises:
            FileNotFoundError: There is none.
        """
        _ = self._folder
        with self._errors():
            self._opened[0].get_file(self._path(key), str(file))

    @contextmanager
    def _writing(self, key: str) -> Iterator[Path | None]:
        """Raise errors of a write as `LibraryError`. In a folder, yield the path, whose folder exists."""
        try:
            with self._errors():
                path = self._folder and self._folder / key
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                yield path
        except FileNotFoundError as error:  # the bucket does not exist
            raise self._error(error) from error

    def info(self, key: str) -> Info | None:
        """Return the size and time of an object, or None if there is none."""
        _ = self._folder
        with self._errors():
            try:
                return _info(self._opened[0].info(self._path(key)))
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> dict[str, Info]:
        """Return all objects below a folder, by their keys."""
        _ = self._folder
        fs, root = self._opened
        with self._errors():
            try:
                found: Mapping[str, Any] = fs.find(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        start = len(root) + 1
        return {path[start:]: _info(found[path]) for path in sorted(found)}

    def now(self) -> float:
        """Return the unix seconds of the store's clock: the time of a small object that is written for it."""
        key = f"clock/{secrets.token_hex(8)}"
        self.write(key, b"")
        found = self.info(key)
        self.delete(key)
        if found is None:
            raise LibraryError(f"The library {self.name} loses what is written.")
        return found.modified

    def account(self) -> str:
        """Return whose account is used: an ARN of Amazon, a user of this machine, or "account not known"."""
        fs = self._opened[0]
        if self._folder is not None:
            return f"user {getpass.getuser()}"
        if not hasattr(fs, "set_session"):
            return "account not known"

        async def ask() -> str:
            await fs.set_session()
            try:
                async with fs.session.create_client("sts") as client:
                    return str((await client.get_caller_identity())["Arn"])
            except Exception:  # noqa: BLE001 -- other servers than Amazon's have no STS
                found = await fs.session.get_credentials()
                return f"access key …{found.access_key[-4:]}" if found else "anonymous"

        with self._errors():
            return str(fsspec.asyn.sync(fs.loop, ask, timeout=4 * self._answer))

    def check(self) -> tuple[bool, str]:
        """Write and delete a small object.

        Returns:
            True if only one of two machines can create an object; and whose account is used.
        """
        key = f"clock/{secrets.token_hex(8)}"
        try:
            created = [self.create(key, b"{}"), self.create(key, b"{}")]
        finally:
            self.delete(key)
        return self.is_conditional and created == [True, False], self.account()

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._errors():
            try:
                self._opened[0].rm_file(self._path(key))
            except FileNotFoundError:
                return


def _info(found: Mapping[str, Any]) -> Info:
    time = (
        found.get("LastModified") or found.get("last_modified") or found.get("mtime") or found.get("updated")
    )
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return Info(int(found.get("size") or 0), float(time or 0.0))


def _http_status(error: LibraryError) -> int | None:
    """Return the HTTP status behind an error of S3, or None."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status
        cause = cause.__cause__
    return None
