"""Labelling: rows and a critic in, a preference dataset out. ``rlaif.label(…)`` is ``rlaif.api.labelling.label``."""

import sys

from rlaif.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
