"""A Redis that is not wholly ours: users who may do little, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from scrapy.settings import Settings

from anime_crawler import settings as project_settings
from anime_crawler.config import Config
from anime_crawler.frontier.redis.inspect import overview
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.frontier.store import FrontierError
from anime_crawler.rate_limit.limiter import LimiterError
from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.rate_limit.redis_limiter import RedisLimiter
from anime_crawler.redis_words import NEEDED
from anime_crawler.run.shared_run import membership_of, redis_of
from tests.frontier.own_redis import OwnRedis
from tests.services import free_port

PASSWORD = "p@ss/word"
USERS = {
    "needed": NEEDED.strip("`"),
    "crawler": "~anime_crawler:* resetchannels +@all",
    "careful": "~* resetchannels +@all -@dangerous",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """With a user for each of `USERS`, one who may too little, and nobody else."""
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    with server.client() as client:
        for name, rules in {**USERS, "reader": "~* +@read +@connection"}.items():
            client.execute_command("ACL", "SETUSER", name, "on", f">{PASSWORD}", *rules.split())
        client.execute_command("ACL", "SETUSER", "default", "off")
    yield server
    server.kill()


def use(url: str) -> None:
    """All that a crawl does with Redis."""
    settings = Settings()
    settings.setmodule(project_settings)
    config = Config.load({"REDIS_URL": url})
    limiter = RedisLimiter(config.redis_url)
    assert limiter.acquire("kodik", parse_limits("5/s")) is None
    limiter.close()
    membership = membership_of(config, settings, "kodik")
    assert membership.others() == 0
    membership.join("run", {"host": "here"})
    store = RedisStore(redis_of(config, settings), "anime_crawler:frontier:kodik", membership)
    store.open("run")
    assert store.elect() == "start"
    store.started()
    assert store.push(b"1" * 20, "slot", 0, b"{}")
    store.lease_ids(["1"])
    membership.renew({"host": "here"})
    assert len(overview(redis_of(config, settings))["workers"]) == 1
    store.ack(store.pop({}))
    store.clear()
    store.close()
    assert membership.leave(False) == (True, False)


def address(server: OwnRedis, user: str, password: str) -> str:
    return f"redis://{user}:{password}@{urlsplit(server.url).netloc}/0"


@pytest.mark.parametrize("user", USERS)
def test_a_user_who_is_limited_to_our_keys_will_do(server, user):
    """The grants that ``docs/several_workers.md`` names are enough; a password is written with %40 and %2F."""
    use(address(server, user, "p%40ss%2Fword"))


@pytest.mark.parametrize(
    ("user", "password", "advice"),
    [("reader", "p%40ss%2Fword", "grant it `~anime_crawler:*"), ("needed", "other", "in them %40 for @")],
)
def test_who_may_too_little_is_told_what_is_missing(server, user, password, advice):
    """Exit code 2, before anything is asked of an upstream; no password."""
    url = address(server, user, password)
    settings = Settings()
    settings.setmodule(project_settings)
    with pytest.raises(LimiterError, match="REDIS_URL") as of_budgets:
        RedisLimiter(url)
    with pytest.raises(FrontierError, match="REDIS_URL") as of_frontier:
        membership_of(Config.load({"REDIS_URL": url}), settings, "kodik").others()
    for error in (of_budgets.value, of_frontier.value):
        assert (error.exit_code, advice in str(error), "word" in str(error).replace("password", "")) == (2, True, False)


def test_a_cluster_is_refused_by_that_name(tmp_path, scrapy):
    """One sentence, exit code 2, whatever the command."""
    server = OwnRedis(tmp_path / "redis", **{"cluster-enabled": "yes", "cluster-port": str(free_port())})
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    try:
        for command in (("status",), ("workers",)):
            done = scrapy(*command, REDIS_URL=server.url)
            assert done.returncode == 2
            assert "the Redis of REDIS_URL is a cluster, which is not supported" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        server.kill()
