"""The manifests for Kubernetes are valid, and fit the command and each other.

The schema of a `ScaledObject` is the CustomResourceDefinition of KEDA v2.20 (`config/crd/bases` of
kedacore/keda, Apache License 2.0, unchanged); it leaves the settings of a trigger open, so their
names are those in `pkg/scalers` of the same version.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from tests.docs._blocks import ALL_BLOCKS, EXAMPLES
from walnats_anyio.cli._app import app
from walnats_anyio.cli._health._backlog import Backlog, in_json
from walnats_anyio.cli._health._metrics import of_consumers
from walnats_anyio.cli._signals import LAST_RESORT

DIRECTORY = EXAMPLES / "kubernetes"

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times as fast."""

KEDA = Path(__file__).parent / "schemas" / "keda.sh_scaledobjects.yaml"

KUBERNETES = "1.30"
"""The oldest version that the manifests are for; what is in them is in all newer ones."""

TRIGGERS = {
    "metrics-api": {
        "targetValue", "activationTargetValue", "url", "format", "valueLocation", "unsafeSsl",
        "aggregateFromKubeServiceEndpoints", "aggregationType", "timeout",
    },
    "nats-jetstream": {
        "account", "accountID", "stream", "consumer", "lagThreshold", "activationLagThreshold",
        "useHttps", "natsServerMonitoringEndpoint",
    },
}  # fmt: skip


@cache
def resources() -> dict[tuple[str, str], Any]:
    """All resources, by the name of the file and the kind."""
    return {
        (file.name, resource["kind"]): resource
        for file in sorted(DIRECTORY.glob("*.yaml"))
        for resource in yaml.load_all(
            file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    }


def resource(file: str, kind: str) -> Any:
    return resources()[file, kind]


def test_every_file_is_looked_at() -> None:
    assert set(resources()) == {
        ("workers.yaml", "Deployment"),
        ("workers.yaml", "Service"),
        ("hpa.yaml", "HorizontalPodAutoscaler"),
        ("keda-metrics-api.yaml", "ScaledObject"),
        ("keda-nats-jetstream.yaml", "ScaledObject"),
    }


def test_the_pages_show_these_files_and_no_others() -> None:
    shown = {block.text for block in ALL_BLOCKS if block.language == "yaml"}
    assert shown == {file.read_text() for file in DIRECTORY.glob("*.yaml")}


def test_kubernetes_takes_them() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for (_, kind), each in resources().items():
        if kind != "ScaledObject":
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    # It would notice a mistake.
    wrong = resource("workers.yaml", "Service") | {"specs": {}}
    with pytest.raises(Exception, match="specs"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def closed(schema: Any) -> Any:
    """A schema in which no field may have a name that is not in it, as Kubernetes prunes those."""
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(each) for name, each in schema.items()}
    if "properties" in inner:
        inner["properties"] = {name: closed(each) for name, each in schema["properties"].items()}
        if not inner.get("x-kubernetes-preserve-unknown-fields") and inner["properties"]:
            inner.setdefault("additionalProperties", False)
    return inner


@pytest.mark.parametrize("file", ["keda-metrics-api.yaml", "keda-nats-jetstream.yaml"])
def test_keda_takes_them(file: str) -> None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load(KEDA.read_text(), loader)
    [version] = definition["spec"]["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # which is Kubernetes' own
    scaled = resource(file, "ScaledObject")
    jsonschema.validate(scaled, schema)
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.validate({**scaled, "spec": {**scaled["spec"], "minReplicas": 1}}, schema)
    for trigger in scaled["spec"]["triggers"]:
        assert set(trigger["metadata"]) <= TRIGGERS[trigger["type"]]


def pod() -> Any:
    return resource("workers.yaml", "Deployment")["spec"]["template"]["spec"]


def plan(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of the command in the deployment, those of its variables included."""
    [container] = pod()["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    program, command, *words = container["args"]
    assert program == "walnats-anyio"
    with typer.main.get_group(app).commands[command].make_context(command, words) as context:
        return dict(context.params)


def test_the_deployment_fits_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    options = plan(monkeypatch)
    [container] = pod()["containers"]
    [port] = container["ports"]
    assert options["health_port"] == port["containerPort"]
    assert options["health_host"] == "0.0.0.0"
    grace = pod()["terminationGracePeriodSeconds"]
    assert grace > options["shutdown_timeout"] + LAST_RESORT
    # With all workers, and one more while it is recycled, and the supervisor.
    assert options["max_memory"] * (options["workers"] + 1) + 100 * 2**20 < 2**30
    assert container["resources"]["limits"]["memory"] == "1Gi"
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    pages = [container[probe]["httpGet"] for probe in probes]
    assert {each["port"] for each in pages} == {port["name"]}
    assert [each["path"] for each in pages] == ["/readyz", "/readyz", "/livez"]


def test_the_scalers_fit_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    options = plan(monkeypatch)
    service = resource("workers.yaml", "Service")
    deployment = resource("workers.yaml", "Deployment")
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    slots = str(options["workers"] * options["max_jobs"])
    for file, kind in resources():
        if kind in {"ScaledObject", "HorizontalPodAutoscaler"}:
            target = resource(file, kind)["spec"]["scaleTargetRef"]["name"]
            assert target == deployment["metadata"]["name"]
    [api] = resource("keda-metrics-api.yaml", "ScaledObject")["spec"]["triggers"]
    [jetstream] = resource("keda-nats-jetstream.yaml", "ScaledObject")["spec"]["triggers"]
    [metric] = resource("hpa.yaml", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert api["metadata"]["url"] == "http://shop-workers.shop.svc:8080/scale"
    assert api["metadata"]["targetValue"] == jetstream["metadata"]["lagThreshold"] == slots
    assert metric["external"]["target"]["averageValue"] == slots
    # What they name is there.
    backlog = Backlog("pack", "shop.placed", 3, 4, 5.0)
    value: Any = in_json([backlog])
    for name in api["metadata"]["valueLocation"].split("."):
        value = value[name]
    assert value == 7
    assert metric["external"]["metric"]["name"] in {each.name for each in of_consumers([backlog])}
