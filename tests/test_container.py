"""Dockerfile and compose.yaml, read as a builder reads them: there is no container engine in the tests."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from fnmatch import fnmatch

import pytest
import yaml

from anime_crawler.config import Config
from tests.guard import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def instructions(name: str) -> list[str]:
    """Arguments of every instruction of that name, in order."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def is_ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps the path out of the build; the last pattern that matches decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").replace("**/", "*")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or fnmatch(path, f"{pattern}/*")):
            ignored = not line.startswith("!")
    return ignored


def test_what_is_copied_exists_and_is_sent_to_the_builder():
    """Every COPY source is in the checkout and not ignored."""
    assert instructions("COPY")
    for line in instructions("COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert not is_ignored(source)


@pytest.mark.parametrize("path", [".env", ".git/config", "var/anime.db", "tests/conftest.py", ".venv/bin/python"])
def test_secrets_and_state_stay_out_of_the_image(path):
    """Neither ``.env`` nor history nor a catalogue is sent to the builder."""
    assert is_ignored(path)


def test_samples_stay_out_of_the_image():
    """They are test material."""
    assert is_ignored("anime_crawler/sources/kodik/samples/a/response.json")
    assert not is_ignored("anime_crawler/sources/kodik/spider.py")


def test_the_image_runs_the_main_job_as_nobody_special():
    """Exec form, so that SIGTERM reaches the crawler; the same command as `make crawl`; a user without rights."""
    command = json.loads(instructions("ENTRYPOINT")[0]) + json.loads(instructions("CMD")[0])
    assert " ".join(command) == "scrapy crawl kodik -s JOBDIR=var/jobs/kodik"
    assert instructions("USER") == ["crawler"]
    assert instructions("VOLUME") == ["/app/var"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert DOCKERFILE.index("USER crawler") < DOCKERFILE.index("ENTRYPOINT")


def test_the_health_check_is_a_command_of_ours(scrapy):
    """It ends with 0 where no run is in progress."""
    command = json.loads(instructions("HEALTHCHECK")[0].split(" CMD ")[1])
    assert command[0] == "scrapy"
    assert scrapy(*command[1:]).returncode == 0


def test_only_what_runs_is_installed(tmp_path):
    """The image's requirements are those above the line for development."""
    step = next(line for line in instructions("RUN") if "runtime.txt" in line).split(" && ")[0]
    (tmp_path / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    subprocess.run(["sh", "-c", step], cwd=tmp_path, check=True)
    runtime = (tmp_path / "runtime.txt").read_text()
    assert "Scrapy==" in runtime
    assert "betamax" not in runtime
    assert "pytest" not in runtime


def test_compose_names_only_settings_that_exist():
    """A misspelt setting would be ignored in silence."""
    known = {name.upper() for name in Config.model_fields}
    for service in ("worker", "backend"):
        assert set(COMPOSE["services"][service]["environment"]) <= known
    assert set(COMPOSE["services"]["scrapyd"]["environment"]) - {"SCRAPYD_PASSWORD"} <= known


def test_compose_starts_each_service_when_the_one_before_is_healthy():
    """Everything that is waited for has a health check."""
    waits = [wait for service in COMPOSE["services"].values() for wait in service.get("depends_on", {}).items()]
    assert waits
    for name, wait in waits:
        assert wait == {"condition": "service_healthy"}
        assert "healthcheck" in COMPOSE["services"][name]


def test_compose_has_no_secret_in_it():
    """Secrets come from the environment; a missing one stops the start and is named."""
    text = (ROOT / "compose.yaml").read_text()
    for name in ("KODIK_API_TOKEN", "INTERNAL_TOKEN", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert f"${{{name}:?set {name}}}" in text


def test_compose_commands_are_commands_of_ours(scrapy):
    """The backend's options exist."""
    command = COMPOSE["services"]["backend"]["command"]
    help_text = scrapy(command[0], "--help").stdout
    options = [word for word in shlex.split(" ".join(command)) if word.startswith("--")]
    assert options
    assert [option for option in options if option not in help_text] == []


def test_our_containers_write_to_their_volumes_only():
    """Root file system read-only, no privileges; every one that keeps something has var/ on a volume."""
    ours = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
    assert set(ours) == {"backend", "worker", "scrapyd"}
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    for name in ("worker", "scrapyd"):
        assert any(volume.endswith("/app/var") for volume in ours[name]["volumes"])


def test_workers_can_be_many():
    """Nothing of a worker may exist only once: no published port, no fixed name, no shared volume."""
    worker = COMPOSE["services"]["worker"]
    assert not {"ports", "container_name", "profiles"} & set(worker)
    assert worker["volumes"] == ["/app/var"]
    assert worker["environment"]["REDIS_URL"].startswith("redis://:${REDIS_PASSWORD")


def test_scrapyd_does_not_start_without_a_password(tmp_path):
    """Its entry point says what is missing; with one, user and password are in its configuration."""
    service = COMPOSE["services"]["scrapyd"]
    command = [word.replace("$$", "$") for word in service["entrypoint"]]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "set SCRAPYD_PASSWORD\n")
    assert "password = ${SCRAPYD_PASSWORD:-}" in COMPOSE["configs"]["scrapyd"]["content"]
    assert service["configs"] == [{"source": "scrapyd", "target": "/etc/scrapyd/scrapyd.conf"}]
