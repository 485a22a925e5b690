"""``python -m rlaif.train.launch NAME``: the path of a configuration."""

from __future__ import annotations

import sys

from rlaif.errors import UsageError
from rlaif.train.launch import path

try:
    print(path(" ".join(sys.argv[1:])))
except UsageError as error:
    sys.exit(f"rlaif.train.launch: {error}")
