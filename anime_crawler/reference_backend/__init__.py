"""A backend of our own that serves the import contract, as strict and as awkward as the real service.

Two uses: ``scrapy backend`` for users who have no backend, and the sandbox's backend with its fault switches.
What the contract's clients may use is ``/health`` and three POST paths; everything under ``/_reference`` shows or
switches what the real service hides and is for tests and operators only.
"""

from anime_crawler.reference_backend.app import create_app
from anime_crawler.reference_backend.faults import Fault, Faults

__all__ = ["Fault", "Faults", "create_app"]
