"""What docker/compose.yml says, for who runs it without Docker: compose.py check|properties|environment|command [SERVICE]

check: what no schema says of it. properties: the broker's settings, as the image makes them of its environment. environment and
command: of a service, a word a line."""
import os, re, sys

import yaml

path = "docker/compose.yml"
with open(path) as file:
    text = file.read()
compose = yaml.safe_load(text)
services = compose["services"]
with open("docker/Dockerfile") as file:
    own_health = re.search(r"^HEALTHCHECK .*CMD", file.read(), re.M) is not None


def has_health(service):
    given = service.get("healthcheck", {})
    return "test" in given or ("build" in service and own_health and not given.get("disable"))


def wrong_of(name, service):
    named, _, digest = service["image"].partition("@")
    image, tag = named.rpartition(":")[::2]
    if not image or tag == "latest" or "/" in tag:
        yield f"the image {service['image']} has no version"
    by_version = f"image: {service['image']} # by version alone\n" in text
    if "build" not in service and not by_version and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        yield f"the image {service['image']} has no digest"
    for other, how in (service.get("depends_on") or {}).items() if isinstance(service.get("depends_on"), dict) else []:
        if other not in services:
            yield f"it waits for {other}, which is not there"
        elif how["condition"] == "service_healthy" and not has_health(services[other]):
            yield f"it waits for the health of {other}, which says nothing of it"
        elif how["condition"] == "service_completed_successfully" and services[other].get("restart"):
            yield f"it waits for the end of {other}, which is started again"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            if not os.path.isfile(os.path.join("docker", source)):
                yield f"there is no file {source}"
        elif source not in compose["volumes"]:
            yield f"there is no volume {source}"
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            yield f"port {port} is open to everybody"
    if "build" in service:
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"] or service["user"].startswith("0"):
            yield "it has rights that it does not need"
    for host in re.findall(r"://([a-z-]+):\d", " ".join(map(str, (service.get("environment") or {}).values()))):
        if host not in services and host != "localhost":
            yield f"its settings name {host}, which is not there"


def check():
    found = [f"{name}: {text}" for name, service in services.items() for text in wrong_of(name, service)]
    used = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    found += [f"nobody uses the volume {v}" for v in compose["volumes"] if v not in used]
    if "version" in compose:
        found.append("version: is obsolete")
    print("\n".join(found + [f"{len(services)} services, {len(found)} wrong"]))
    return bool(found)


def properties():
    for name, value in services["kafka"]["environment"].items():
        if name != "KAFKA_HEAP_OPTS":
            print(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}")


what = sys.argv[1]
if what == "check":
    sys.exit(check())
elif what == "properties":
    properties()
elif what == "environment":
    print("\n".join(f"{k}={v}" for k, v in services[sys.argv[2]]["environment"].items()))
else:
    print("\n".join(services[sys.argv[2]]["command"]))
