"""Reads manifests (kustomize's output) on stdin and says what is wrong with them: manifests.py NAME

Every resource strictly by Kubernetes' own schema, custom ones by custom.json (their fields that are used here); then what no schema
says: that each container is bounded, pinned and without rights, and that names, labels, ports and claims meet. Status 1: something is wrong."""
import json, os, re, sys

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.34"
wrong = []


def check_schemas(resource, name):
    kind = f"{resource['apiVersion']}/{resource['kind']}"
    if kind in custom:
        extra = set(resource) - {"apiVersion", "kind", "metadata", "spec"}
        if extra:
            wrong.append(f"{name}: unknown {', '.join(extra)}")
        for error in jsonschema.Draft202012Validator(custom[kind]).iter_errors(resource.get("spec")):
            wrong.append(f"{name}: {error.json_path}: {error.message}")
        return
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        wrong.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError as error:
        wrong.append(f"{name}: {error.message}")


def check_container(container, pod, name):
    security, limits = container.get("securityContext", {}), container.get("resources", {}).get("limits", {})
    host, _, tag = container["image"].partition("@")[0].rpartition(":")
    if not host or tag in ("", "latest") or "/" in tag:
        wrong.append(f"{name}: the image {container['image']} has no version")
    if not {"cpu", "memory"} <= set(limits):
        wrong.append(f"{name}: found limits {sorted(limits)}, expected cpu and memory")
    if pod.get("securityContext", {}).get("runAsNonRoot") is not True or not pod["securityContext"].get("runAsUser"):
        wrong.append(f"{name}: it may be root")
    if pod.get("securityContext", {}).get("seccompProfile", {}).get("type") != "RuntimeDefault":
        wrong.append(f"{name}: without seccomp's profile")
    if security.get("allowPrivilegeEscalation") is not False or security.get("capabilities", {}).get("drop") != ["ALL"]:
        wrong.append(f"{name}: it keeps privileges")
    if "tandem" in container["image"] and security.get("readOnlyRootFilesystem") is not True:
        wrong.append(f"{name}: its root can be written")
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        by = container.get(probe, {}).get("httpGet") or container.get(probe, {}).get("tcpSocket")
        if by and by["port"] not in ports:
            wrong.append(f"{name}: {probe} asks port {by['port']}, which it does not name")
        if not by and name.startswith("StatefulSet"):
            wrong.append(f"{name}: it has no {probe}")


def matches(selector, labels):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def check_pod(resource, name):
    template = resource["spec"]["template"]
    pod, volumes = template["spec"], {v["name"] for v in template["spec"].get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])}
    for container in pod["containers"]:
        check_container(container, pod, name)
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                wrong.append(f"{name}: there is no volume {mount['name']}")
        for source in container.get("envFrom", []):
            if ("ConfigMap", source["configMapRef"]["name"]) not in by_name:
                wrong.append(f"{name}: there is no ConfigMap {source['configMapRef']['name']}")
    if pod.get("serviceAccountName") and ("ServiceAccount", pod["serviceAccountName"]) not in by_name:
        wrong.append(f"{name}: there is no ServiceAccount {pod['serviceAccountName']}")
    if pod.get("automountServiceAccountToken") is not False:
        wrong.append(f"{name}: it is given a token of the cluster")
    if resource["kind"] == "StatefulSet":
        if ("Service", resource["spec"]["serviceName"]) not in by_name:
            wrong.append(f"{name}: there is no Service {resource['spec']['serviceName']}")
        if not matches(resource["spec"]["selector"], template["metadata"]["labels"]):
            wrong.append(f"{name}: it does not select its own pods")


def check_selects(resource, name, selector, what):
    chosen = [r for r in pods if matches(selector, r["spec"]["template"]["metadata"]["labels"])]
    if selector and not chosen:
        wrong.append(f"{name}: {what} selects no pod")
    return chosen


def check_relations(resource, name):
    kind, spec = resource["kind"], resource.get("spec", {})
    if kind in ("StatefulSet", "Job"):
        check_pod(resource, name)
    elif kind == "Service":
        for chosen in check_selects(resource, name, {"matchLabels": spec["selector"]}, "it"):
            ports = {p["name"] for c in chosen["spec"]["template"]["spec"]["containers"] for p in c.get("ports", [])}
            if not {port["targetPort"] for port in spec["ports"]} <= ports:
                wrong.append(f"{name}: a port that the pod does not have")
    elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
        check_selects(resource, name, spec["selector"] if kind == "PodDisruptionBudget" else spec["podSelector"], "it")
    elif kind == "ScaledObject":
        if (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) not in by_name:
            wrong.append(f"{name}: there is no {spec['scaleTargetRef']['name']}")
    elif kind == "ServiceMonitor":
        services = [r for r in resources if r["kind"] == "Service" and matches(spec["selector"], r["metadata"].get("labels", {}))]
        if not any(port["name"] == spec["endpoints"][0]["port"] for s in services for port in s["spec"]["ports"]):
            wrong.append(f"{name}: it selects no Service with its port")


def check_whole():
    kinds = {r["kind"] for r in resources}
    if "StatefulSet" not in kinds:
        return
    needed = {"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "ScaledObject", "Service", "ConfigMap"}
    if not needed <= kinds:
        wrong.append(f"missing: {', '.join(sorted(needed - kinds))}")
    denies = [r for r in resources if r["kind"] == "NetworkPolicy" and r["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    if not denies:
        wrong.append("no NetworkPolicy denies what is not allowed")


with open(os.path.join(os.path.dirname(__file__), "custom.json")) as file:
    custom = json.load(file)
resources = [r for r in yaml.safe_load_all(sys.stdin) if r]
by_name = {(r["kind"], r["metadata"]["name"]) for r in resources}
pods = [r for r in resources if r["kind"] in ("StatefulSet", "Job")]
if not resources:
    wrong.append("there is nothing")
if len(by_name) != len(resources):
    wrong.append("two of one kind and name")
for r in resources:
    where = f"{r['kind']}/{r['metadata']['name']}"
    check_schemas(r, where)
    try:
        check_relations(r, where)
    except (KeyError, TypeError, AttributeError) as error:
        wrong.append(f"{where}: {error!r}")
check_whole()
for line in wrong:
    print(f"{sys.argv[1]}: {line}")
print(f"{sys.argv[1]}: {len(resources)} resources, {len(wrong)} wrong")
sys.exit(bool(wrong))
