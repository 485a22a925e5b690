"""Opening what the user names as a file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """``path`` for reading. Raises OSError, also for a pipe or a device: those may never begin, or never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "a pipe or a device, and no file", str(path))
    return os.fdopen(handle, "rb")


def read_text(path: Path, most: int = 64 << 20) -> str:
    """The text of a UTF-8 file. Raises OSError as ``open_file`` does or where it is too large, and UnicodeDecodeError."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return content.decode("utf-8-sig")
