"""One clean catalogue of anime, with its episodes and every dub and subtitle of them."""

from importlib.metadata import version

__version__ = version("anime_crawler")
