"""Symbolic decoding by ODX files (ISO 22901-1) with `odxtools`, which is heavy: imported only where a folder is set."""

from importlib.util import find_spec
from pathlib import Path


def check_odx_folder(folder: Path | None) -> Path | None:
    """The setting ODX_PATH. Raises ValueError that says what is wrong with it."""
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no directory")
    if folder is not None and find_spec("odxtools") is None:
        raise ValueError("odxtools is not installed: pip install 'sovd-webapp[odx]'")
    return folder
