"""How the sandbox says that its answers are invented."""

SANDBOX_HEADER = "X-Anime-Crawler-Sandbox"
"""In each of its answers, its backend's too. A reference backend that somebody serves alone sends none: it is their
own."""
