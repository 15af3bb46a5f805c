"""`reference_backend` serves the import contract, and is as strict and as awkward as the real service.

It has two uses: ``scrapy backend`` for users who have no backend, and the sandbox's backend with its fault switches.
Clients of the contract may use ``/health`` and three POST paths. The paths under ``/_reference`` are for tests and
operators: they show or switch what the real service hides.
"""

from anime_crawler.reference_backend.app import create_app
from anime_crawler.reference_backend.faults import Fault, Faults

__all__ = ["Fault", "Faults", "create_app"]
