"""Files that are whole or not there: the one atomic writer."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read it. Raises OSError, also for a pipe or a device, which would be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Is no file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            # Of a disk that cannot be read; whatever else the body does names its file itself.
            if error.filename is None:
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise


def content(path: Path) -> bytes:
    """Return what is in a file. Raises OSError as `opened` does."""
    with opened(path) as file:
        return file.read()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put the whole `content` at `path`, or leave there what was there before, also when the power goes out.

    Texts are written as UTF-8. The umask decides who may read the file, as for any other. Raises OSError, which names
    `path`."""
    try:
        _replace(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        # A full disk names no file, and nobody knows the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    sync_folder(path.parent)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_tree(folder: Path) -> None:
    """Put on the disk for good what others wrote into a folder, its names last. Raises OSError."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last: a rename is only on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # Some network file systems sync no folders; the file itself was synced.
        pass
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Take away a file, or a folder with all that is in it, if there is one. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def synced_sha256(path: Path) -> str:
    """Put on the disk for good what others wrote to a file, and return its hash. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
