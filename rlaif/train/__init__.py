"""Training from a dataset: pure losses, rows and tokens, and one loop on ``transformers.Trainer``. ``rlaif.train(…)`` is
``rlaif.api.training.train``."""

import sys

from rlaif.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
