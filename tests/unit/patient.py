"""Hypothesis for a busy machine: an example takes as long as it takes; what it keeps is with the other caches."""

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase

HOME = Path(__file__).resolve().parents[2] / ".cache/hypothesis"

set_hypothesis_home_dir(HOME)
settings.register_profile("patient", deadline=None, database=DirectoryBasedExampleDatabase(HOME / "examples"))
settings.load_profile("patient")
