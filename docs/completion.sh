#!/bin/bash
# completion.sh PROGRAM: completion of `tandem` for bash, on stdout, from what its --help says, so that the two never differ.
# What it makes needs bash alone, not the package bash-completion.
set -eu
program=$1

words_of() { # SECTION: first words of a section of --help on stdin
	awk -v section="$1" '$0 == section ":" { on = 1; next } /^$/ { on = 0 } on { print $1 }'
}

# A line an option: its names, and what it takes: "" nothing, files, dirs, urls, "any", or the words it may be.
options_of() {
	awk '
		function flush() {
			if (names == "") return
			sub(/ \(default [^)]*\)$/, "", text)
			if (taken == "") takes = ""
			else if (match(text, /: [a-z0-9_-]+(, [a-z0-9_-]+)+$/)) {
				takes = substr(text, RSTART + 2)
				gsub(/,/, "", takes)
			} else if (taken == "FILE") takes = "files"
			else if (taken == "DIR") takes = "dirs"
			else if (taken == "URL") takes = "urls"
			else takes = "any"
			print names "|" takes
			names = ""
		}
		/^(common )?options:$/ { on = 1; next }
		/^$/ { flush(); on = 0 }
		!on { next }
		/^  (-.,|   ) --/ {
			flush()
			left = substr($0, 3)
			text = ""
			if (match(left, /  +[^ -]/)) { # two spaces or more part it from its help
				text = substr(left, RSTART)
				left = substr(left, 1, RSTART - 1)
			} else if (length(left) > 28 && match(left, /^(-., )?( *)--[a-z-]+ [^ ]+ /)) {
				text = substr(left, RLENGTH)
				left = substr(left, 1, RLENGTH)
			}
			gsub(/,/, "", left)
			count = split(left, part, " ")
			names = taken = ""
			for (i = 1; i <= count; i++)
				if (part[i] ~ /^-/) names = names (names == "" ? "" : " ") part[i]
				else taken = part[i]
			next
		}
		{ sub(/^ +/, ""); text = text $0 }
		END { flush() }'
}

# Where a word stands in COMMAND [ACTION]: what may come there, which options there are, what they take.
place() {
	local help options names takes words="" all="" values=""
	# shellcheck disable=SC2086 # COMMAND ACTION are words
	help=$("$program" $1 --help)
	words=$(words_of actions <<<"$help" | xargs)
	[ -n "$1" ] || words="$(words_of commands <<<"$help" | xargs) --help --version"
	[ -n "$words" ] || words=$(sed -nE '1s/.* ([a-z]+(\|[a-z]+)+)$/\1/p' <<<"$help" | tr '|' ' ')
	[ -n "$words" ] || ! sed -n 1p <<<"$help" | grep -qE '\] \[?(FILE|[A-Z]+\.csv)' || words=files
	options=$(options_of <<<"$help")
	while IFS='|' read -r names takes; do
		[ -n "$names" ] || continue
		all+="${all:+ }$names"
		[ -z "$takes" ] || values+="	'$1 ${names// /\' | \'$1 }') takes='$takes' ;;"$'\n'
	done <<<"$options"
	[ -n "$all" ] || all=--help
	places+="	'$1') words='$words' options='$all' ;;"$'\n'
	takings+=$values
}

places="" takings=""
place ""
for command in $("$program" --help | words_of commands); do
	place "$command"
	for action in $("$program" "$command" --help | words_of actions); do
		place "$command $action"
	done
done

cat <<'SH'
# Completion of tandem for bash. Made from what --help says; not to be edited.
_tandem_place() { # 'COMMAND ACTION'
	case $1 in
SH
printf '%s' "$places"
cat <<'SH'
	*) return 1 ;;
	esac
}

_tandem_takes() { # 'COMMAND ACTION OPTION'
	takes=""
	case $1 in
SH
printf '%s' "$takings"
cat <<'SH'
	esac
}

_tandem_reply() { # KIND-OR-WORDS
	case $1 in
	files) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
	dirs) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
	urls) mapfile -t COMPREPLY < <(compgen -W 'local kafka' -- "$current") ;;
	any) ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current") ;;
	esac
}

_tandem() {
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} at="" words options takes i
	COMPREPLY=()
	if [ "$current" = = ]; then # --name=value is three words to readline
		current=""
	elif [ "$before" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD && i < 3; i++)); do
		if ! _tandem_place "$at${at:+ }${COMP_WORDS[i]}"; then
			[ -n "$at" ] || return # no command
			break
		fi
		at+=${at:+ }${COMP_WORDS[i]}
	done
	_tandem_place "$at" || return
	_tandem_takes "$at $before"
	if [ -n "$takes" ]; then
		_tandem_reply "$takes"
	elif [[ $current == -* ]]; then
		_tandem_reply "$options"
	else
		_tandem_reply "$words"
	fi
	[ "$takes" != urls ] || compopt -o nospace 2>/dev/null
}
complete -o filenames -F _tandem tandem
SH
