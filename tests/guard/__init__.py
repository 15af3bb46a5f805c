"""Keeps tests off the network and away from the settings of whoever runs them, also in the processes they start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from anime_crawler.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours or of an outer make, kept off the network, plus `extra`."""
    ours = {*(name.upper() for name in Config.model_fields), "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    guard = str(Path(__file__).parent)  # Python imports sitecustomize.py from here at its start
    return {**kept, "PYTHONPATH": os.pathsep.join([guard, str(ROOT)]), **(extra or {})}
