"""The sandbox marks its answers with a header, because they are invented."""

SANDBOX_HEADER = "X-Anime-Crawler-Sandbox"
"""Each answer of the sandbox has this header, and so has each answer of the sandbox's backend. A reference backend that
somebody serves alone does not send it, because its data is their own."""
