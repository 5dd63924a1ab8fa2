#!/usr/bin/env bash
# The manifests of docker/k8s: built by kustomize, held against the schemas and against each other (manifests.py). And each of these
# checks can fail: manifests that are wrong in one way are refused, with the reason.
set -u
cd "$(dirname "$0")/../.."
sources=$PWD
python=$PWD/${VENV:-build/venv}/bin/python
kustomize=${KUSTOMIZE:?a program that builds a folder}
. tests/support/expect.sh

check() { # NAME: of manifests on stdin
	"$python" "$sources/tests/deploy/manifests.py" "$1"
}
refused() { # 'what is wrong' SED-EXPRESSION 'what is said': of the production overlay
	sed -E "$2" production.yaml >changed.yaml
	expect 1 "$1: something was changed" cmp production.yaml changed.yaml
	expect 1 "$1 is refused" check "$1" <changed.yaml
	holds "$1, with the reason" "$3"
}

for overlay in one-broker production; do
	expect 0 "$overlay is built" "$kustomize" "$sources/docker/k8s/$overlay"
	cp out $overlay.yaml
	expect 0 "$overlay holds" check $overlay <$overlay.yaml
done
expect 0 'the Application holds' check argocd <"$sources/docker/k8s/argocd.yaml"
expect 0 'and names a folder that is there' test -f "$sources/$(sed -n 's/^    path: //p' "$sources/docker/k8s/argocd.yaml")/kustomization.yaml"

refused 'a number that is none' 's/^  replicas: 3/  replicas: three/' "'three' is not of type"
refused 'an unknown field' 's/^  podManagementPolicy:/  podManagmentPolicy:/' 'podManagmentPolicy'
refused 'an unknown kind' 's/^kind: Job/kind: Jop/' "Couldn't find schema"
refused 'no limit' 's/^( +)limits:/\1limit:/' 'limit'
refused 'a user that may be root' 's/runAsNonRoot: true/runAsNonRoot: false/' 'it may be root'
refused 'a root that can be written' 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' 'its root can be written'
refused 'an image without a version' 's#(image: images.internal/tandem):.*#\1#' 'has no version'
refused 'a service that is not there' 's/^  serviceName: order-worker/  serviceName: worker/' 'there is no Service worker'
refused 'a port that is not there' 's/^( +)port: http$/\1port: https/' 'which it does not name'
refused 'a target that is not there' 's/^    name: order-worker$/    name: worker/' 'there is no worker'
refused 'a field that KEDA does not have' 's/lagThreshold/lagTreshold/' 'lagTreshold'
refused 'a budget for nobody' '/^kind: PodDisruptionBudget/,/^---/s/(app.kubernetes.io.name: )tandem/\1nobody/' 'selects no pod'
refused 'nothing denied' 's/^  name: deny$/  name: open/; /^  podSelector: \{\}/,/^---/s/^  - Ingress$//' 'denies what is not allowed'
finish
