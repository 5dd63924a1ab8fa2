#!/usr/bin/env bash
# What `make install` puts there, and that a bash at a terminal completes it: what --help says and nothing else.
set -u
cd "$(dirname "$0")/../.."
sources=$PWD
. tests/support/expect.sh
program=$tandem
make -s -C "$sources" install DESTDIR="$PWD/root" prefix=/usr >make.out 2>&1 || { cat make.out; exit 1; }
root=$PWD/root/usr
expect 0 'the program is installed' cmp "$program" "$root/bin/tandem"
expect 0 'it runs from there' "$root/bin/tandem" --version
for page in tandem tandem-replay tandem-order-run; do
	expect 0 "a man page: $page" grep -q '^\.SH' "$root/share/man/man1/$page.1"
done
completion=$root/share/bash-completion/completions/tandem
expect 0 'the completion is bash' bash -n "$completion"
# shellcheck source=/dev/null
. "$completion"

complete_words() { # WORD...: the last one is being completed
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_tandem 2>/dev/null
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

offers() { # 'what holds' 'WORDS THAT COME' WORD...
	local what=$1 wanted
	wanted=$(tr ' ' '\n' <<<"$2" | sort)
	shift 2
	complete_words "$@" >out
	[ "$(cat out)" = "$wanted" ]
	verdict $? "$what: found other words than ${wanted//$'\n'/ }"
}

# Every option of every command, the way getopt knows them, from the help itself.
places=()
for command in $("$program" --help | awk '/^commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'); do
	actions=$("$program" "$command" --help | awk '/^actions:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')
	[ -n "$actions" ] || places+=("$command")
	for action in $actions; do places+=("$command $action"); done
done
for place in "${places[@]}"; do
	# shellcheck disable=SC2086 # COMMAND ACTION are words
	options=$("$program" $place --help | sed -nE 's/^  (-.), (--[a-z-]+).*/\1 \2/p; s/^      (--[a-z-]+).*/\1/p' | xargs)
	offers "options of tandem $place" "$options" tandem $place -
	offers "levels of tandem $place" 'debug info warning error' tandem $place --log-level ''
done
expect 0 'a dozen places and more' test "${#places[@]}" -gt 12
offers 'commands' 'publish' tandem pu
offers 'actions' 'run resend rebuild' tandem order r
offers 'actions that are operands' 'create check' tandem topics c
offers 'choices behind =' 'receipts' tandem publish --only = r
offers 'a choice of one command alone' 'auto jsonl csv' tandem publish --format ''
offers 'a value that may be anything' '' tandem replay --format ''
mkdir folder
: >file.csv
offers 'folders' 'folder' tandem order run --data f
offers 'files' 'file.csv folder' tandem publish f
offers 'nothing for what is no command' '' tandem nonsense ''

# At a terminal, by the tabulator key.
cat >typed.py <<'PY'
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1="ready> ", TERM="dumb")
    os.execvp("bash", ["bash", "--noprofile", "--norc", "-i"])
seen = b""
def until(text, seconds=60):
    global seen
    limit = time.monotonic() + seconds
    while text not in seen:
        if time.monotonic() > limit:
            sys.exit(f"expected {text!r}, found {seen!r}")
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536)
    seen = seen[seen.index(text) + len(text):]
until(b"ready> ")
os.write(terminal, f". {sys.argv[1]}; echo lo''aded\n".encode())
until(b"loaded")
until(b"ready> ")
for typed, shown in [(b"tandem repl\t", b"tandem replay "), (b"--form\t", b"--format "), (b"\x15tandem order ru\t", b"run "),
                     (b"--log-f\t", b"--log-format "), (b"js\t", b"json "), (b"--da\t", b"--data "), (b"fol\t", b"folder/")]:
    os.write(terminal, typed)
    until(shown)
os.write(terminal, b"\x15exit\n")
os.waitpid(pid, 0)
PY
expect 0 'a bash at a terminal completes by the tabulator key' python3 typed.py "$completion"
make -s -C "$sources" uninstall DESTDIR="$PWD/root" prefix=/usr
expect 0 'uninstall leaves no file' test -z "$(find root -type f)"
finish
