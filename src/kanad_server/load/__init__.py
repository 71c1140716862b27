"""The load harness behind ``kanad load``: it loads a server, and checks every stream while it does.

It speaks the public protocol only, so it runs against any kanad-server.
"""

from kanad_server.load.errors import BadScenario, LoadError, NotReady
from kanad_server.load.scenario import Scenario

__all__ = ["BadScenario", "LoadError", "NotReady", "Scenario"]
