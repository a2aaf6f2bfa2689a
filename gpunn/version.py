"""The version of the installed package."""

from importlib import metadata


def installed() -> str:
    """Return the installed version, or "0+unknown" in a checkout that is not installed."""
    try:
        return metadata.version("gpunn")
    except metadata.PackageNotFoundError:
        return "0+unknown"


__version__ = installed()
