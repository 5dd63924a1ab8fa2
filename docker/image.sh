#!/usr/bin/env bash
# docker/image.sh VERSION: builds the image tandem:local of the working tree, runs it as it is meant to be run, and says how large it is
# and who runs in it. Fails above 15 MB, or where it is root, has a shell, or does not run with a root that may not be written.
#
# By docker where there is one; else by buildah, which needs no engine: as root, in a chroot, over a base that debootstrap makes of
# the distribution's packages and that is kept (TANDEM_CACHE, ~/.cache/tandem). BASE=DIR: a root made by debootstrap before.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?VERSION}
limit=15000000
die() {
	echo "image: $*" >&2
	exit 1
}
say() { # SIZE USER
	echo "image tandem:local, $version: $(awk -v n="$1" 'BEGIN { printf "%.1f", n / 1e6 }') MB, user $2"
}
check() { # SIZE USER VERSION-IT-SAYS
	say "$1" "$2"
	[ "$1" -le $limit ] || die "larger than $((limit / 1000000)) MB"
	[[ $2 == 10001* ]] || die "found user '$2', expected 10001"
	[ "$3" = "tandem $version" ] || die "it says '$3', expected 'tandem $version'"
}

if docker version >/dev/null 2>&1; then
	docker build -q -f docker/Dockerfile --build-arg VERSION="$version" -t tandem:local . >/dev/null
	check "$(docker image inspect -f '{{.Size}}' tandem:local)" \
		"$(docker image inspect -f '{{.Config.User}}' tandem:local)" \
		"$(docker run --rm --read-only --network none --cap-drop ALL tandem:local --version)"
	exit
fi

command -v buildah >/dev/null || die "neither docker nor buildah"
[ "$(id -u)" -eq 0 ] || die "buildah in a chroot needs root"
cache=${TANDEM_CACHE:-${HOME:?}/.cache/tandem}/image
mkdir -p "$cache"
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$cache" "$cache" >"$cache/storage.conf"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot CONTAINERS_STORAGE_CONF=$cache/storage.conf
base=docker.io/library/debian:bookworm-slim

# What the official base is to our Dockerfile: Debian, minimal, its sources in debian.sources.
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
	root=${BASE:-$cache/root}
	[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$root" >"$cache/debootstrap.log" ||
		die "debootstrap failed: $cache/debootstrap.log"
	container=$(buildah from scratch)
	buildah add -q "$container" "$root" / >/dev/null
	awk '$1 == "deb" { printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n", $2, $3, $4 }' \
		"$root/etc/apt/sources.list" >"$cache/debian.sources"
	: >"$cache/sources.list"
	buildah copy -q "$container" "$cache/debian.sources" /etc/apt/sources.list.d/debian.sources >/dev/null
	buildah copy -q "$container" "$cache/sources.list" /etc/apt/sources.list >/dev/null
	buildah commit -q --rm "$container" "$base" >/dev/null
fi

buildah bud -q --pull-never --format docker -f docker/Dockerfile --build-arg VERSION="$version" -t tandem:local . \
	>"$cache/build.log" 2>&1 || { tail -n 40 "$cache/build.log" >&2; die "the build failed: $cache/build.log"; }
buildah rmi --prune --force >/dev/null 2>&1 || true # what this one has replaced
container=$(buildah from --pull-never localhost/tandem:local)
trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
for shell in bin/sh bin/bash usr/bin/env; do
	[ ! -e "$root/$shell" ] || die "found /$shell"
done
inspect() {
	buildah inspect --type image --format "$1" localhost/tandem:local
}
inside() { # COMMAND...: as the image's user, under a root that may not be written, but for /data
	unshare --mount --net --pid --fork bash -c 'mount --bind "$0" "$0"; mount -t tmpfs -o uid=10001,mode=700 none "$0/data"
		mount -o remount,bind,ro "$0"; cd "$0"; for words; do
			read -ra command <<<"$words"; chroot --userspec=10001:10001 "$0" /bin/tandem "${command[@]}" || exit; done' "$root" "$@"
}
check "$(du -sb --apparent-size "$root" | cut -f1)" "$(inspect '{{.Docker.Config.User}}')" "$(inside --version)"
inside 'topics create --log local:/data/log' 'publish --log local:/data/log --orders 100 --stock 100' \
	'order run --log local:/data/log --data /data --until-end' 'order verify --log local:/data/log --data /data' >"$cache/run.log" 2>&1 ||
	{ tail -n 20 "$cache/run.log" >&2; die "it does not work with a root that may not be written"; }
! inside 'topics create --log local:/log' >/dev/null 2>&1 || die "its root was written"
[ "$(inspect '{{.Docker.Config.Healthcheck.Test}}')" = '[CMD /bin/tandem health]' ] || die "it has no health check"
