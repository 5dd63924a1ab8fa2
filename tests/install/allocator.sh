#!/usr/bin/env bash
# Which malloc the program has: jemalloc with our settings, over which the environment's win; glibc's where it was built with
# ALLOCATOR= or for a sanitizer.
set -u
cd "$(dirname "$0")/../.."
. tests/support/expect.sh
settings=(opt.narenas:\ 1 opt.dirty_decay_ms:\ 100 opt.muzzy_decay_ms:\ 0 opt.thp:\ '"never"' opt.background_thread:\ false)

expect 0 'its settings are understood' "$tandem" --version
[ ! -s err ]
verdict $? 'something was written to standard error'
expect 0 'it can be asked what it has' env MALLOC_CONF=stats_print:true "$tandem" --version
if [ "${ALLOCATOR-jemalloc}" = jemalloc ]; then
	for setting in "${settings[@]}"; do holds 'a setting of ours' "$setting"; done
	expect 0 'an operator sets another one' env MALLOC_CONF=stats_print:true,dirty_decay_ms:7 "$tandem" --version
	holds 'the environment wins' 'opt.dirty_decay_ms: 7'
	holds 'the others stay' 'opt.narenas: 1'
else
	[ ! -s err ]
	verdict $? 'jemalloc answers'
fi
finish
