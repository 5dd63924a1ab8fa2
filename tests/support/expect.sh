# The frame of a test in bash, sourced from the root of the sources: a folder of its own that is the working directory, and
# goes at the end with the children that still run; expect and holds, counted; finish, the last line.
tandem=$PWD/${BUILD:-build}/tandem
dir=$(mktemp -d)
children=()
end() {
	[ ${#children[@]} -eq 0 ] || kill -KILL "${children[@]}" 2>/dev/null
	rm -rf "$dir"
}
trap end EXIT
cd "$dir" || exit 1
unset TANDEM_LOG TANDEM_DATA
passed=0 failed=0

verdict() { # OK? 'what is wrong'
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$2"
		head -c 4000 out err
	fi
}

expect() { # STATUS 'what holds' COMMAND...
	local wanted=$1 what=$2 got
	shift 2
	"$@" >out 2>err
	got=$?
	[ "$got" -eq "$wanted" ]
	verdict $? "$what: status $got, expected $wanted: $*"
}

holds() { # 'what holds' TEXT: in what the last command wrote
	grep -qF -- "$2" out err
	verdict $? "$1: '$2' was not written"
}

finish() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
