"""The files of deploy/ as far as tools here can judge them: linted, consistent, and naming what there is."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kanad_server.settings import Settings

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VARIABLES = {f"KANAD_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} | {"KANAD_NAME"}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = DEPLOY / "kanad.service"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def needs(tool: str) -> str:
    """Where a tool is; a test without its tool is skipped with a word."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed here")
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = run(
        str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "style", str(DEPLOY / "Dockerfile")
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_image_is_small_not_roots_and_watched() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert DOCKERFILE.count("\nFROM ") == 3
    assert last.startswith("python:3.12-slim")
    assert re.search(r"^USER 10001", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/health/ready" in last
    assert "--require-hashes" in DOCKERFILE
    assert set(re.findall(r"KANAD_\w+", DOCKERFILE)) <= VARIABLES


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    assert copied
    for name in [*copied, *kept]:
        assert (ROOT / name).exists(), name
        assert name == "." or name.partition("/")[0] in kept, name


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = needs("systemd-analyze")
    unit = tmp_path / "kanad.service"
    text = UNIT.read_text().replace("/opt/kanad/bin/kanad", f"{sys.executable} -m kanad_server")
    unit.write_text(text.replace("=kanad\n", f"={getpass.getuser()}\n"))
    done = run(analyze, "verify", "--man=no", str(unit))
    complaints = [line for line in done.stderr.splitlines() if "kanad.service" in line]
    assert complaints == []


def test_the_unit_shuts_the_server_off_from_the_machine() -> None:
    done = run(needs("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=30", str(UNIT))
    assert done.returncode == 0, done.stdout[-1_500:]


def test_compose_refers_to_what_it_defines() -> None:
    services = COMPOSE["services"]
    assert set(COMPOSE) == {"name", "services", "networks", "volumes", "secrets"}
    for name, service in services.items():
        assert ("image" in service) or ("build" in service)
        assert ":" in service["image"] or name == "kanad"  # no image of another without a version
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
    assert (DEPLOY / services["kanad"]["build"]["context"] / services["kanad"]["build"]["dockerfile"]).exists()
    assert set(re.findall(r"KANAD_[A-Z_]+", (DEPLOY / "compose.yaml").read_text())) <= VARIABLES
    assert services["kanad"]["read_only"]
    assert services["kanad"]["cap_drop"] == ["ALL"]
    assert "ports" not in services["kanad"]  # only the proxy is reached from outside


def test_docker_takes_the_compose_file() -> None:
    docker = needs("docker")
    if run(docker, "compose", "version").returncode:
        pytest.skip("docker compose is not installed here")
    done = run(docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet")
    assert done.returncode == 0, done.stderr


def test_the_proxy_and_prometheus_reach_the_server() -> None:
    caddy = (DEPLOY / "Caddyfile").read_text()
    assert "reverse_proxy kanad:8000" in caddy
    assert caddy.count("{") == caddy.count("}")
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["kanad:8000"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/kanad_metrics_token"
    assert "kanad" in COMPOSE["services"]["kanad"]["environment"]["KANAD_ALLOWED_HOSTS"].split(
        ","
    )  # as it is asked for


def test_caddy_takes_its_file() -> None:
    done = run(needs("caddy"), "validate", "--config", str(DEPLOY / "Caddyfile"))
    assert done.returncode == 0, done.stderr


def test_promtool_takes_the_configuration() -> None:
    done = run(needs("promtool"), "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yaml"))
    assert done.returncode == 0, done.stderr


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/kanad.yaml").read_text())["providers"]
    dashboard = msgspec.json.decode((DEPLOY / "grafana/kanad.json").read_bytes())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/kanad.json" in mounted
