"""The errors of the load harness.

LoadError
+-- BadScenario   the scenario, an option or a condition breaks a rule (exit code 2)
+-- NotReady      the server cannot be loaded: away, or it refuses what the scenario posts (exit code 1)
"""

from __future__ import annotations


class LoadError(Exception):
    """Root of the errors of the load harness."""


class BadScenario(LoadError):
    """The scenario breaks a rule; the message names the field, the rule and the value."""


class NotReady(LoadError):
    """The server cannot be loaded as it stands; the message says what to do."""
