"""Words and options that a command does not know."""

from __future__ import annotations

import pytest
from scrapy.exceptions import UsageError

from anime_crawler.commands import cache, deadletters, deliver, export, health, status, workers


@pytest.mark.parametrize("module", [cache, deadletters, deliver, export, health, status, workers])
def test_an_option_that_is_not_known_is_refused_before_anything_is_done(module):
    """Not ignored: it would have changed what is done, and to which catalogue. No value is repeated."""
    command = module.Command()
    for words in (["-s", "DATABASE_URL=postgresql://me:geheim@host/anime"], ["--rechek"], ["--token=geheim"], ["all"]):
        with pytest.raises(UsageError, match="not understood") as error:
            command.run(words, None)
        assert "geheim" not in str(error.value)
