#!/usr/bin/env bash
# Draws what `make bench` measured: tests/bench/plot.sh BENCH.json FOLDER
#   bench-latency.svg    how long the slowest take, by rate        bench-growth.svg    drain rate over orders in state
#   bench-cpu.svg        CPU an order, by part                     bench-recovery.svg  seconds from a blow to the next outcome
set -euo pipefail
json=$1
folder=$2
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
command -v gnuplot >/dev/null || { echo "plot.sh: gnuplot is missing: apt-get install gnuplot-nox" >&2; exit 1; }

# A file a series: the workload's points.
points() { # WORKLOAD
	jq -r --arg w "$1" '.workloads[] | select(.workload == $w) | .points[] | [.series, .x, .y] | @tsv' "$json"
}
median() { # WORKLOAD NAME: 0 where there is none
	jq -r --arg w "$1" --arg n "$2" \
		'[.workloads[] | select(.workload == $w) | .figures[] | select(.name == $n) | .median] | .[0] // 0' "$json"
}
look() { # SERIES: a colour for whose it is, a dash for the rate or the ids
	local colour dash=1
	case $1 in bare*) colour='#777777' ;; kafka*) colour='#1f6fb4' ;; *) colour='#2a9d4a' ;; esac
	case $1 in *\ 100/s | *random*) dash=3 ;; *\ 1000/s) dash=2 ;; esac
	echo "linecolor rgb '$colour' dashtype $dash linewidth 1.5"
}
curves() { # WORKLOAD: prints gnuplot's plot elements
	local series list='' number=0
	points "$1" >"$data/$1"
	while read -r series; do
		number=$((number + 1))
		awk -F'\t' -v s="$series" '$1 == s { print $2, $3 }' "$data/$1" >"$data/$1-$number"
		list+="${list:+, }'$data/$1-$number' using 1:2 with linespoints pointtype 7 pointsize 0.4 $(look "$series") title '$series'"
	done < <(cut -f1 "$data/$1" | awk '!seen[$0]++')
	[ -z "$list" ] || echo "$list"
}
draw() { # NAME, gnuplot's lines on stdin
	{
		echo "set terminal svg size 760,440 font 'sans-serif,12' background 'white'; set output '$folder/bench-$1.svg'"
		echo "set grid ytics lc rgb '#dddddd'; set border 3; set tics nomirror; set key outside right top"
		cat
	} | gnuplot
	echo "$folder/bench-$1.svg"
}

latency=$(curves latency)
[ -z "$latency" ] || draw latency <<G
set title "Order to outcome: what the slowest take"
set logscale xy
set xrange [*:*] reverse
set xtics ("p50" 0.5, "p90" 0.1, "p99" 0.01, "p99.9" 0.001)
set ylabel "milliseconds"
plot $latency
G

growth=$(curves growth)
[ -z "$growth" ] || draw growth <<G
set title "Drain rate over orders in state"
set xlabel "orders in state"
set ylabel "orders a second"
set yrange [0:*]
set format x "%.0s%c"
plot $growth
G

for of in bare kafka local; do
	for phase in cold warm; do
		name="$of, uniform, $phase"
		all=$(median drain "$name, workers' CPU")
		order=$(median drain "$name, order worker's CPU")
		broker=$(median drain "$name, broker's CPU")
		awk -v n="$of $phase" -v a="$all" -v o="$order" -v b="$broker" 'BEGIN { print "\"" n "\"", o, a - o, b }'
	done
done >"$data/cpu"
draw cpu <<G
set title "CPU an order"
set ylabel "microseconds"
set style data histograms
set style histogram rowstacked
set style fill solid 0.8 border -1
set boxwidth 0.6
set yrange [0:*]
plot '$data/cpu' using 2:xtic(1) title "order", '' using 3 title "inventory", '' using 4 title "broker"
G

for of in bare kafka local; do
	awk -v n="$of" -v k="$(median recovery "$of, kill -9 of the order worker")" \
		-v i="$(median recovery "$of, kill -9 of the inventory worker")" \
		-v d="$(median recovery "$of, files of the order worker deleted")" \
		-v e="$(median recovery "$of, files of the inventory worker deleted")" 'BEGIN { print n, k, i, d, e }'
done >"$data/recovery"
draw recovery <<G
set title "From the blow to the next outcome"
set ylabel "seconds"
set logscale y
set yrange [0.01:*]
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8 border -1
plot '$data/recovery' using 2:xtic(1) title "order killed", '' using 3 title "inventory killed", \
	'' using 4 title "order, no files", '' using 5 title "inventory, no files"
G
