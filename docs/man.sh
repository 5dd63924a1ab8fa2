#!/bin/bash
# man.sh PROGRAM OUT: a man page of each command, from what its --help says, so that the two never differ. Needs help2man.
set -eu
program=$1 out=$2
mkdir -p "$out"
# help2man knows "Usage:" and asks for --version as well; a worker's actions have both.
wrapper=$(mktemp)
trap 'rm -f "$wrapper"' EXIT
cat >"$wrapper" <<SH
#!/bin/bash
"$program" "\$@" | sed -e 's/^usage: */Usage: /' -e 's/^\([a-z][a-z ]*\):\$/\u\1:/'
SH
chmod +x "$wrapper"

page() { # page "publish" "what it does"
	local name=tandem${1:+-${1// /-}}
	help2man --no-info --name "$2" --version-string "$("$program" --version)" --section 1 \
		--output "$out/$name.1" "$wrapper $1"
	sed -i "1,3s/^\.TH [^ ]*/.TH \"${name^^}\"/" "$out/$name.1"
}

page "" "event-driven services over Kafka, or over a log on this machine"
"$program" --help | awk '/^commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' | while read -r command; do
	page "$command" "$("$program" --help | sed -n "s/^  $command  *//p")"
	"$program" "$command" --help | awk '/^actions:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' | while read -r action; do
		page "$command $action" "$("$program" "$command" --help | sed -n "s/^  $action  *//p" | head -n 1)"
	done
done
