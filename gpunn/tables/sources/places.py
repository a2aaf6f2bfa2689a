"""Find Parquet files: by path, pattern, folder or URL, on any filesystem that pyarrow or fsspec knows.

Several places are written as one string, with commas between them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.names import counted, one_line

SUFFIXES = ".parquet", ".pq"
WILD = "*?["
PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
    "hf": "huggingface_hub",
}


@dataclass(frozen=True)
class Files:
    """Files on one filesystem.

    Attributes:
        paths: the files, as the filesystem knows them, in the order in which they are read.
        filesystem: of fsspec; None for local files.
        alone: whether one file was named, so that its folders say nothing of its rows.
    """

    paths: tuple[str, ...]
    filesystem: Any = None
    alone: bool = False


def join(places: Sequence[str | os.PathLike[str]]) -> str:
    """Write several places as one string. Raises ValueError if one has a comma."""
    texts = [os.fspath(place) for place in places]
    if len(texts) > 1 and (wrong := [text for text in texts if "," in text]):
        raise ValueError(f"{wrong[0]}: a place with a comma can only be given by itself; rename it")
    return ",".join(texts)


def split(text: str) -> list[str]:
    """Return the places that a string names."""
    alone = "," not in text or os.path.exists(text)
    return [os.path.expanduser(part) for part in ([text] if alone else text.split(",")) if part]


def url(path: os.PathLike[str]) -> str:
    """Return a path as it was written: as a path, a URL loses one of its two slashes."""
    return re.sub(r"^([A-Za-z][\w+.-]+):/(?!/)", r"\1://", os.fspath(path))


def local(paths: Sequence[os.PathLike[str]]) -> list[Path]:
    """Return the local files of these places, in so far as they are Parquet files."""
    texts = [text for text in map(url, paths) if not is_url(text) and names_files(text)]
    return [Path(path) for text in texts for path in _local(text)]


def is_url(text: str) -> bool:
    return "://" in text


def is_wild(text: str) -> bool:
    return any(mark in text for mark in WILD) and not os.path.exists(text)


def names_files(text: str) -> bool:
    """Return whether a string names Parquet files other than by the path of one file."""
    places = split(text)
    return (len(places) > 1 and all(map(_may_be, places))) or (len(places) == 1 and _is_several(places[0]))


def _is_several(place: str) -> bool:
    if is_url(place):
        return True
    return (is_wild(place) and place.lower().endswith(SUFFIXES)) or (
        os.path.isdir(place) and _holds_files(place)
    )


def _holds_files(folder: str) -> bool:
    """Return whether a folder has Parquet files, or else the first folder in it, and so on."""
    try:
        with os.scandir(folder) as entries:
            named = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return False
    found = sorted((name, is_folder) for name, is_folder in named if not name.startswith((".", "_")))
    if any(_is_data(name) for name, is_folder in found if not is_folder):
        return True
    first = next((name for name, is_folder in found if is_folder), None)
    return first is not None and _holds_files(os.path.join(folder, first))


def _may_be(place: str) -> bool:
    return is_url(place) or place.lower().endswith(SUFFIXES) or os.path.isdir(place)


def absolute(text: str) -> str:
    """Return the places with absolute paths, so that they are found from any folder."""
    return join([place if is_url(place) else os.path.abspath(place) for place in split(text)])


def short(text: str) -> str:
    """Return a name of the places for a file or a folder: the last part that is no pattern."""
    first = split(text)[0].rstrip("/\\")
    parts = [part for part in first.replace("\\", "/").split("/") if part and not is_wild(part)]
    return Path(parts[-1]).stem if parts and not parts[-1].endswith(":") else "table"


def find(text: str) -> Files:
    """Find the files of the places that a string names.

    Raises ValueError if a place has no Parquet file, if the places are on several filesystems, or if the
    package of a filesystem is missing.
    """
    places = split(text)
    kinds = {place.partition("://")[0] if is_url(place) else "" for place in places}
    if len(kinds) > 1:
        raise ValueError(f"{text}: all files must be on one filesystem, not on {counted(len(kinds), 'one')}")
    scheme = kinds.pop()
    filesystem = _filesystem(places[0], scheme) if scheme else None
    found = [path for place in places for path in _files_of(place, filesystem)]
    return Files(tuple(dict.fromkeys(found)), filesystem, alone=found == places)


def _filesystem(url: str, scheme: str) -> Any:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise _lacking(url, scheme) from None
    try:
        return url_to_fs(url)[0]
    except ImportError:
        raise _lacking(url, scheme) from None
    except Exception as error:
        raise ValueError(f"{url} cannot be opened: {one_line(error)}") from None


def _lacking(url: str, scheme: str) -> ValueError:
    package = f"fsspec {PACKAGES[scheme]}" if scheme in PACKAGES else "fsspec, and its package for this place"
    return ValueError(f"{url}: {scheme}:// needs a package that is missing: pip install {package}")


def _files_of(place: str, filesystem: Any) -> list[str]:
    """Return the Parquet files of a place, sorted."""
    try:
        if filesystem is None:
            found = _local(place)
        else:
            path = filesystem._strip_protocol(place)
            if any(mark in path for mark in WILD):
                found = sorted(filesystem.glob(path))
            elif filesystem.isdir(path):
                found = sorted(filter(_is_data, filesystem.find(path)))
            else:
                found = [path] if filesystem.exists(path) else []
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error.strerror or one_line(error)}") from None
    except Exception as error:  # of the packages of filesystems, such as for missing credentials
        if filesystem is None:
            raise
        raise ValueError(f"{place} cannot be read: {one_line(error)}") from None
    if not found:
        what = "no file matches" if any(m in place for m in WILD) else "there is no Parquet file here"
        raise ValueError(f"{place}: {what}; check the path")
    return found


def _local(place: str) -> list[str]:
    if os.path.isdir(place):
        return sorted(_in_folder(place))
    if os.path.exists(place):
        return [place]
    return sorted(path for path in glob.glob(place, recursive=True) if os.path.isfile(path))


def _in_folder(folder: str) -> Any:
    """Yield the Parquet files below a folder, except for hidden ones and those beginning with "_"."""
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        yield from (os.path.join(at, name) for name in sorted(files) if _is_data(name))


def _is_data(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return name.lower().endswith(SUFFIXES) and not name.startswith((".", "_"))
