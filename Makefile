# Tandem: event-driven services in C. `make help` lists what there is.
#
# Sources are found by wildcard: a new command, worker, module, test or event is a new file and no edit here.
#   BUILD=DIR        where everything goes (build)
#   SANITIZE=LIST    address,undefined or thread: instruments into a folder of its own
#   ALLOCATOR=       links no jemalloc: glibc's malloc (with a BUILD of its own)
#   V=1              shows the commands
#   JOBS=N           tests and lints at a time (2)
#   TANDEM_SETUP=no  installs nothing; says what is missing (.ci/setup)
.DEFAULT_GOAL := help
SANITIZE ?=
comma := ,
BUILD ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
CC ?= gcc
PACKAGES := rdkafka avro-c jansson sqlite3 libsodium zlib libmicrohttpd libcurl
TEST_PACKAGES := cmocka
# Of the program alone: tests, the simulator and what valgrind counts have glibc's. A sanitizer brings its own.
ALLOCATOR ?= $(if $(SANITIZE),,jemalloc)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPTIMIZE ?= -O2
CFLAGS ?= $(OPTIMIZE) -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -pthread -Icommon -I$(BUILD)/gen $(CFLAGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer $(FALSE_ALARMS))
# gcc 12 sees NULL and unset variables behind branches that a sanitizer has added.
FALSE_ALARMS := -Wno-format-truncation -Wno-maybe-uninitialized
# pkg-config is asked once, and only when something is built
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PKG_LIBS)
TEST_LIBS = $(eval TEST_LIBS := $$(shell pkg-config --libs $(TEST_PACKAGES)))$(TEST_LIBS)
brief = $(if $(V),,@printf '  %-4s %s\n' $1 $@;)
COMPILE = $(call brief,CC)$(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c $< -o $@
LINK = $(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(ALLOCATOR_LIBS) $(PKG_LIBS) -lm

commands := $(sort $(notdir $(basename $(wildcard producers/*.c consumers/*.c))))
command_sources := $(wildcard producers/*.c producers/*/*.c consumers/*.c consumers/*/*.c)
common_sources := $(filter-out common/main.c,$(wildcard common/*.c))
schemas := $(wildcard schemas/*.avsc) $(wildcard schemas/history/*/*.avsc)
unit_tests := $(sort $(notdir $(basename $(wildcard tests/test_*.c))))
test_support := $(wildcard tests/support/*.c)

JOBS ?= 2
venv := build/venv

object = $(addprefix $(BUILD)/,$(1:.c=.o))
lib := $(BUILD)/libtandem.a
bin := $(BUILD)/tandem
schemagen := $(BUILD)/schemagen

# What a step needs of the distribution, looked at once a build folder.
$(BUILD)/setup-%: .ci/setup
	@mkdir -p $(@D)
	@ALLOCATOR=$(ALLOCATOR) .ci/setup $*
	@touch $@

##@ Building
all: $(bin) ## build the program: build/tandem

$(bin): private ALLOCATOR_LIBS = $(addprefix -l,$(ALLOCATOR))
$(bin): $(call object,common/main.c $(command_sources)) $(BUILD)/gen/commands.o $(lib)
	$(LINK)

# What the generator needs of common/ must not include generated code.
schemagen_parts := $(wildcard schemas/*.c) common/schema.c common/err.c common/mem.c common/bytes.c common/json.c \
	common/wire.c common/event_avro.c
$(schemagen): $(call object,$(schemagen_parts))
	$(LINK)

$(BUILD)/gen/events.c: $(schemagen) $(schemas)
	@mkdir -p $(@D)
	$(call brief,GEN)$(schemagen) --out $(BUILD)/gen schemas

$(BUILD)/gen/events.h: $(BUILD)/gen/events.c ;

$(BUILD)/gen/commands.c: $(wildcard producers consumers) $(wildcard producers/*.c consumers/*.c) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "command.h"'; \
	for c in $(subst -,_,$(commands)); do echo "extern const struct command $${c}_command;"; done; \
	echo 'const struct command *const commands[] = {'; \
	for c in $(subst -,_,$(commands)); do echo "	&$${c}_command,"; done; echo '};'; \
	echo 'const size_t command_count = sizeof commands / sizeof *commands;'; } > $@

# Rewritten only when the version changes.
$(BUILD)/gen/version.c: FORCE
	@mkdir -p $(@D)
	@printf '#include "version.h"\nconst char tandem_version[] = "%s";\n' '$(VERSION)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(lib): $(call object,$(common_sources)) $(BUILD)/gen/events.o $(BUILD)/gen/version.o
	@rm -f $@
	$(call brief,AR)ar rcs $@ $^

# Events that only tests have, from tests/schemas: every type there is, and schemas that have evolved.
test_schemas := $(wildcard tests/schemas/*.avsc) $(wildcard tests/schemas/history/*/*.avsc)
$(BUILD)/gen/test_events.c: $(schemagen) $(test_schemas)
	@mkdir -p $(@D)
	$(call brief,GEN)$(schemagen) --out $(BUILD)/gen --name test_events tests/schemas
$(BUILD)/gen/test_events.h: $(BUILD)/gen/test_events.c ;

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c | $(BUILD)/setup-build
	$(COMPILE)

# Everything but the generator and its parts may include events.h.
$(BUILD)/%.o: %.c | $(BUILD)/gen/events.h $(BUILD)/setup-build
	@mkdir -p $(@D)
	$(COMPILE)
$(call object,$(schemagen_parts)): $(BUILD)/%.o: %.c | $(BUILD)/setup-build
	@mkdir -p $(@D)
	$(COMPILE)

##@ Testing
# A test links every module, every service (without main) and tests/support.
test_objects := $(call object,$(command_sources) $(test_support)) $(BUILD)/gen/commands.o $(BUILD)/gen/test_events.o
$(call object,$(wildcard tests/*.c tests/*/*.c)): | $(BUILD)/gen/test_events.h $(BUILD)/setup-test
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

$(BUILD)/tests/test_allocation: $(call object,tests/fuzz/memory.c tests/fuzz/input.c) # counts what malloc gives
unit_programs := $(addprefix $(BUILD)/tests/,$(unit_tests))
$(addprefix run-,$(unit_tests)): run-%: $(BUILD)/tests/%
	@tests/run $<

# One suite for every log behind the interface: what one promises all promise.
conformance := $(BUILD)/conformance
$(conformance): $(call object,$(wildcard tests/conformance/*.c) tests/support/log_locks.c) $(lib)
	$(LINK)

conformance-memory conformance-local: conformance-%: $(conformance)
	@$(TANDEM_WRAP) $(conformance) $*

conformance-memory: ## what every log promises, tried on local::memory:
conformance-local: ## the same on local:DIR (as root: it mounts a small disk)
conformance-kafka: $(conformance) ## the same on a broker: KAFKA=host:port
	@[ -n "$(KAFKA)" ] || { echo "conformance-kafka: say which broker: make conformance-kafka KAFKA=host:port" >&2; exit 1; }
	@KAFKA=$(KAFKA) $(conformance) kafka

# The real code over a simulated log, time and disk, from one seed. SEEDS=N of them from SEED=S on.
sim := $(BUILD)/sim
SEEDS ?= 2000
SEED ?= 1
# It has a table of commands of its own.
$(sim): $(call object,$(wildcard tests/sim/*.c) $(command_sources)) $(lib)
	$(LINK)

sim: $(sim) ## the simulator: SEEDS=2000 seeds from SEED=1 on, and those of tests/sim/seeds.txt
	@TANDEM_TEST_SECONDS=1800 TANDEM_TEST_SAYS=14 tests/run '$(sim) --list tests/sim/seeds.txt' \
		'$(sim) --seeds $(SEEDS) --seed $(SEED) --jobs $(JOBS) --keep-going'

sim-quick: $(sim)
	@TANDEM_TEST_SECONDS=1800 tests/run '$(sim) --list tests/sim/seeds.txt' '$(sim) --seeds 100 --jobs $(JOBS)'

mutants: $(sim) ## each patch of tests/mutants breaks the code in one way: is it caught?
	@BUILD=$(BUILD) JOBS=$(JOBS) tests/mutants/run.sh

unit: $(unit_programs) $(conformance) ## the unit tests, and what every log promises on memory and local
	@tests/run -j $(JOBS) $(unit_programs) '$(conformance) memory' '$(conformance) local'

flow: $(bin) $(BUILD)/tests/system/flow
	@env -u KAFKA tests/run $(BUILD)/tests/system/flow

installed: $(bin) man $(BUILD)/tandem.bash
	@BUILD=$(BUILD) ALLOCATOR=$(ALLOCATOR) tests/run $(wildcard tests/install/*.sh)

check: unit fuzz-corpus sim-quick flow installed house compat ## the quick part: unit tests, the flow as processes, what is installed, the house's rules and the schemas' history; no broker

compat: $(schemagen) ## is every schema fully compatible with its published versions?
	@$(schemagen) --check schemas

$(BUILD)/tests/peers/%: $(BUILD)/tests/peers/%.o $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

peers: $(BUILD)/tests/peers/avro_peer $(venv)/ready ## other implementations read what we wrote, and we what they wrote
	@BUILD=$(BUILD) VENV=$(venv) tests/run $(wildcard tests/peers/*.sh)

# Programs that run Tandem's as processes, over local: or, where KAFKA says so, a broker.
$(BUILD)/tests/system/%: $(BUILD)/tests/system/%.o $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

with_kafka := tests/system/kafka/with-kafka.sh
system_programs := $(patsubst %.c,$(BUILD)/%,$(filter-out %/whole.c,$(wildcard tests/system/*.c)))
system-local: $(bin) $(system_programs) | $(BUILD)/setup-disk ## processes, crashes, failing disks and wrong inputs over local:
	@env -u KAFKA TANDEM_TEST_SECONDS=900 tests/run $(filter-out %/groups,$(system_programs))

system-kafka: $(bin) $(system_programs) $(conformance) $(venv)/ready | $(BUILD)/setup-system $(BUILD)/setup-observe ## the same over Kafka, a broker started for it or KAFKA=host:port
	@BUILD=$(BUILD) VENV=$(venv) TANDEM_TEST_SECONDS=900 $(with_kafka) tests/run '$(conformance) kafka' \
		$(filter-out %/inputs %/ways %/many,$(system_programs)) $(wildcard tests/system/*.sh) tests/peers/traces.sh

observe: $(bin) | $(BUILD)/setup-observe ## what workers show of themselves, over local: (system-kafka has it, too)
	@env -u KAFKA BUILD=$(BUILD) tests/run tests/system/observe.sh

whole: $(bin) $(BUILD)/tests/system/whole | $(BUILD)/setup-system ## all of Online Retail over local: and over Kafka: RETAIL=online-retail.csv.xz
	@env -u KAFKA $(BUILD)/tests/system/whole
	@$(with_kafka) $(BUILD)/tests/system/whole

# A controller and three brokers that misbehave, under load: one program, one cluster.
cluster := $(BUILD)/cluster
ROUNDS ?= 1
$(cluster): $(call object,$(wildcard tests/cluster/*.c)) $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

system-cluster: $(bin) $(cluster) | $(BUILD)/setup-system ## brokers that die, hang, restart, are cut off, lose what they acknowledged: ROUNDS=1
	@BUILD=$(BUILD) TANDEM_ROUNDS=$(ROUNDS) TANDEM_TEST_SECONDS=$$((1800 * $(ROUNDS))) tests/run $(cluster) tests/cluster/replace.sh; status=$$?; $(recovery_table); exit $$status

# A broker that wants to know who asks: certificates, passwords, access control.
secure := $(BUILD)/secure
$(secure): $(call object,$(wildcard tests/secure/*.c)) $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

system-secure: $(bin) $(secure) | $(BUILD)/setup-system ## TLS, client certificates, SASL and access control on a broker
	@TANDEM_TEST_SECONDS=900 tests/system/kafka/with-secure.sh tests/run $(secure)

system-scram: $(bin) $(secure) | $(BUILD)/setup-system ## SCRAM, on the last Kafka that librdkafka before 2.6.1 can log in to
	@KAFKA_VERSION=3.9.2 SCRAM=1 TANDEM_TEST_SECONDS=900 tests/system/kafka/with-secure.sh tests/run $(secure)

recovery_table = tests/support/recovery.sh $(BUILD)/recovery.tsv

system: ## all of them, and how long it took to recover from each fault
	@rm -f $(BUILD)/recovery.tsv; status=0; \
	for suite in system-local system-kafka system-secure system-cluster; do $(MAKE) --no-print-directory $$suite || status=1; done; \
	$(recovery_table); exit $$status

test: ## everything that is tested; the last line says what passed
	@mkdir -p $(BUILD); rm -f $(BUILD)/tally
	@export TANDEM_TALLY=$(BUILD)/tally; status=0; \
	$(MAKE) --no-print-directory -k check || status=1; \
	$(MAKE) --no-print-directory sim || status=1; \
	$(MAKE) --no-print-directory mutants || status=1; \
	$(MAKE) --no-print-directory -k peers || status=1; \
	$(MAKE) --no-print-directory -k deploy || status=1; \
	$(MAKE) --no-print-directory -k system || status=1; \
	tests/run --sum $(BUILD)/tally && exit $$status

.PHONY: sim sim-quick mutants soak fuzz-programs
SOAK_MIN ?= 10
soak: $(sim) $(bin) $(system_programs) fuzz-programs | $(BUILD)/setup-system ## fresh seeds for SOAK_MIN=10 minutes: the simulator, and beside it fuzz and real processes
	@BUILD=$(BUILD) tests/soak.sh $(SOAK_MIN)

# Unordered rows come in reverse: a fold that leans on SQLite's order fails.
sanitize: ## these under the address, undefined behaviour and thread sanitizers
	@TANDEM_REVERSE=1 $(MAKE) --no-print-directory SANITIZE=address,undefined unit fuzz-corpus
	@TANDEM_REVERSE=1 $(MAKE) --no-print-directory SANITIZE=thread unit

# Targets of tests/fuzz, each twice: replayed, an ordinary test of the corpus in the repository; and, by clang, as fuzzers.
fuzz_targets := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_programs := $(filter-out tests/fuzz/fuzz_%.c,$(wildcard tests/fuzz/*.c))
fuzz_parts := $(call object,$(filter-out %/replay.c %/seeds.c,$(fuzz_programs))) $(test_objects)
$(BUILD)/tests/fuzz/fuzz-%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(fuzz_parts) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm
$(BUILD)/tests/fuzz/libfuzzer-%: $(BUILD)/tests/fuzz/fuzz_%.o $(fuzz_parts) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

FUZZ_S ?= 60
FUZZ ?= $(fuzz_targets)
fuzzers: $(addprefix $(BUILD)/tests/fuzz/libfuzzer-,$(FUZZ))
# clang knows not all of gcc's warnings, which every other build has on
fuzz-programs: | $(BUILD)/setup-fuzz
	@$(MAKE) --no-print-directory CC=clang BUILD=build-fuzz SANITIZE=fuzzer-no-link,address,undefined WARNINGS=-w FALSE_ALARMS= \
		fuzzers
fuzz: fuzz-programs ## hostile bytes: libFuzzer, FUZZ_S=60 seconds each target, FUZZ="event task" only these
	@tests/fuzz/run.sh -j $(JOBS) -s $(FUZZ_S) $(FUZZ)

# Seeds come from this program; what libFuzzer found is kept where it reaches code that nothing before it does.
$(BUILD)/tests/fuzz/seeds: $(BUILD)/tests/fuzz/seeds.o $(fuzz_parts) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm
fuzz-seeds: $(BUILD)/tests/fuzz/seeds
	@$< tests/fuzz/corpus
fuzz-keep:
	@tests/fuzz/keep.sh $(FUZZ)

fuzz-corpus: $(addprefix $(BUILD)/tests/fuzz/fuzz-,$(fuzz_targets)) ## every input of tests/fuzz/corpus as a test
	@tests/run -j $(JOBS) $^

valgrind: $(unit_programs) | $(BUILD)/setup-valgrind ## the unit tests under valgrind
	@TANDEM_TEST_SECONDS=1800 TANDEM_WRAP="valgrind -q --leak-check=full --error-exitcode=99" \
		tests/run -j $(JOBS) $(unit_programs)

##@ Measuring
# One program a workload, and what they share. bench-drain, ...: that one alone, figures on stderr.
bench_shared := tests/bench/bench.c tests/bench/side.c tests/bench/pace.c tests/bench/bare_state.c
bench_programs := $(patsubst %.c,$(BUILD)/%,$(filter-out $(bench_shared),$(wildcard tests/bench/*.c)))
bench_workloads := drain latency recovery growth verify footprint
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(call object,$(bench_shared)) $(test_objects) $(lib)
	$(call brief,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

# What make bench runs, each behind what it takes from the environment; one broker for all of it, as Kafka ships it.
bench_kafka := KAFKA_JVM=shipped $(with_kafka)
bench_run = rm -rf $(BUILD)/bench; mkdir -p $(BUILD)/bench; \
	tests/bench/micro.sh $(BUILD)/tests/bench/micro $(BUILD)/bench/counted >/dev/null || true; \
	BENCH_OUT=$(BUILD)/bench MICRO_COUNTED=$(BUILD)/bench/counted BENCH_SECONDS=$1 \
		$(bench_kafka) tests/bench/run.sh $(BUILD)/tests/bench $(bench_workloads) micro

bench: $(bin) $(bench_programs) | $(BUILD)/setup-system $(BUILD)/setup-valgrind ## every workload, targets beside the figures; build/bench.json. RETAIL=online-retail.csv.xz
	@$(call bench_run,1200)

bench-quick: $(bin) $(bench_programs) | $(BUILD)/setup-system $(BUILD)/setup-valgrind ## the same, small: does it run, roughly how fast
	@WARM=10 N=30000 ROUNDS=1 SPAN=1 WIPED=30000 WIPES=1 ORDERS=60000 BATCH=10000 STARTS=2 IDLE=2 KILLS=1 TAKEOVER=3; \
	export WARM N ROUNDS SPAN WIPED WIPES ORDERS BATCH STARTS IDLE KILLS TAKEOVER; $(call bench_run,300)

bench-plot: | $(BUILD)/setup-plot ## docs/bench-*.svg, of what make bench measured last
	@tests/bench/plot.sh $(BUILD)/bench.json docs

# One alone; its figures are on stderr.
$(addprefix bench-,$(bench_workloads)): bench-%: $(bin) $(bench_programs) | $(BUILD)/setup-system
	@BENCH_OUT=$(BUILD)/bench $(bench_kafka) tests/bench/run.sh $(BUILD)/tests/bench $*

bench-micro: $(BUILD)/tests/bench/micro | $(BUILD)/setup-valgrind ## instructions of each step, held against tests/bench/micro.baseline; KEEP=1 keeps new ones
	@tests/bench/micro.sh $< $(BUILD)/micro.counted

##@ Checking
generated := $(BUILD)/gen/events.h $(BUILD)/gen/test_events.h
checked_sources := $(wildcard common/*.c producers/*.c producers/*/*.c consumers/*.c consumers/*/*.c schemas/*.c) \
	$(wildcard tests/*.c tests/*/*.c)
headers := $(wildcard common/*.h producers/*/*.h consumers/*/*.h schemas/*.h tests/*/*.h)
# clang does not know all of gcc's warnings
TIDY_FLAGS = -std=c11 -D_GNU_SOURCE -pthread -Icommon -I$(BUILD)/gen $(PKG_CFLAGS)

house: $(generated) | $(BUILD)/setup-build
	@tests/lint/house.sh $(CC) $(filter-out -Werror,$(ALL_CFLAGS)) $(PKG_CFLAGS)

$(BUILD)/tidy/%.ok: %.c $(headers) .clang-tidy | $(BUILD)/setup-lint $(generated)
	@mkdir -p $(@D)
	$(call brief,TIDY)clang-tidy --quiet $< -- $(TIDY_FLAGS) 2>$@.err || { grep -v 'warnings generated' $@.err; exit 1; }
	@mv $@.err $@

tidy: $(addprefix $(BUILD)/tidy/,$(checked_sources:.c=.ok))

lint: house ## clang-tidy, headers alone, owners of libraries, which way includes go
	@$(MAKE) --no-print-directory -k -j $(JOBS) tidy

# The guide shows revenue.c word for word, in blocks of its own.
formatted := $(filter-out consumers/revenue.c tests/test_revenue.c,$(checked_sources) $(headers))
format: | $(BUILD)/setup-lint ## lay the sources out as .clang-format says
	clang-format -i $(formatted)

lint-docker: $(venv)/ready ## the Dockerfile
	$(venv)/bin/hadolint docker/Dockerfile

# kustomize, of kubectl where that is there; else built by Go, once a machine.
kustomize_version := v5.0.3
tools := $(or $(TANDEM_CACHE),$(HOME)/.cache/tandem)/tools
kustomize := $(BUILD)/kustomize
$(kustomize): | $(BUILD)/setup-deploy
	@mkdir -p $(@D) $(tools); set -e; \
	if command -v kustomize >/dev/null; then how='kustomize build'; \
	elif kubectl kustomize --help >/dev/null 2>&1; then how='kubectl kustomize'; \
	else how='$(tools)/kustomize-$(kustomize_version)/kustomize build'; [ -x $(tools)/kustomize-$(kustomize_version)/kustomize ] || \
		GOFLAGS= GOBIN=$(tools)/kustomize-$(kustomize_version) go install sigs.k8s.io/kustomize/kustomize/v5@$(kustomize_version); fi; \
	printf '#!/bin/sh\nexec %s "$$1"\n' "$$how" > $@; chmod +x $@

manifests: $(venv)/ready $(kustomize) ## docker/k8s, built by kustomize and held against Kubernetes' schemas and each other
	@VENV=$(venv) KUSTOMIZE=$(CURDIR)/$(kustomize) tests/run tests/deploy/manifests.sh

compose: $(bin) $(venv)/ready | $(BUILD)/setup-deploy ## docker/compose.yml: its schema, its settings, and its services started as processes
	@BUILD=$(BUILD) VENV=$(venv) tests/run tests/deploy/compose.sh

# The OpenTelemetry Collector of compose.yml's version, built once a machine (minutes), by a newer Go than Debian 12's: not in deploy.
collector_version = $(shell sed -nE 's/.*image: otel.opentelemetry-collector:([0-9.]+)@.*/\1/p' docker/compose.yml)
otelcol := $(BUILD)/otelcol
$(otelcol): tests/deploy/collector.yaml docker/compose.yml
	@version=$(collector_version); folder=$(tools)/otelcol-$$version-$$(cksum < $< | cut -d' ' -f1); mkdir -p $(@D) $$folder; set -e; \
	[ -x $$folder/otelcol ] || { sed "s/VERSION/$$version/" $< > $$folder/build.yaml; cd $$folder; export GOFLAGS= GOBIN=$$folder; \
		go install go.opentelemetry.io/collector/cmd/builder@v$$version && ./builder --config build.yaml > build.log 2>&1 || \
		{ tail -n 20 build.log; echo "collector: it needs Go 1.26 or newer, found: $$(go version)" >&2; exit 1; }; cd $(CURDIR); }; \
	ln -sf $$folder/otelcol $@

collector: $(bin) $(otelcol) ## docker/compose/collector.yaml in a real collector, between workers and another one
	@BUILD=$(BUILD) COLLECTOR=$(CURDIR)/$(otelcol) tests/run tests/deploy/collector.sh

deploy: ## both of docker/k8s and docker/compose.yml
	@status=0; for part in manifests compose; do $(MAKE) --no-print-directory $$part || status=1; done; exit $$status

image: | $(BUILD)/setup-image ## the image by docker or buildah (minutes): prints size and user, fails above 15 MB
	@docker/image.sh '$(VERSION)'

# Programs and libraries from PyPI that we are compared with, each at one version.
$(venv)/ready: tests/requirements.txt | $(BUILD)/setup-test
	@python3 -m venv --clear $(venv)
	$(call brief,PIP)$(venv)/bin/pip -q --disable-pip-version-check install -r $<
	@touch $@

compile_commands.json: Makefile $(BUILD)/gen/events.h ## for editors
	@{ echo '['; sep=; for c in $(sort $(command_sources) $(checked_sources) common/main.c); do \
	printf '%s{"directory": "%s", "file": "%s", "command": "%s"}\n' "$$sep" '$(CURDIR)' $$c \
	'$(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) -c '$$c; sep=,; done; echo ']'; } > $@

pictures: $(bin) | $(BUILD)/setup-pictures ## docs/prometheus.png and what docs/operations.md shows of tandem top: workers under load, a real browser
	@BUILD=$(BUILD) TANDEM_TEST_SECONDS=900 tests/run docs/pictures.sh

##@ Using
demo: $(bin) ## the main job on real orders: LOCAL=DIR keeps the folder, KAFKA=host:port uses a broker
	@$(bin) demo $(if $(LOCAL),--local $(LOCAL)) $(if $(KAFKA),-b $(KAFKA)) tests/data/online-retail-sample.csv

prefix ?= /usr/local
completions := $(DESTDIR)$(prefix)/share/bash-completion/completions
install: $(bin) man $(BUILD)/tandem.bash ## install program, man pages and completion: DESTDIR= prefix=/usr/local
	install -D -m 755 $(bin) $(DESTDIR)$(prefix)/bin/tandem
	install -D -m 644 $(BUILD)/tandem.bash $(completions)/tandem
	install -d $(DESTDIR)$(prefix)/share/man/man1
	install -m 644 $(BUILD)/man/*.1 $(DESTDIR)$(prefix)/share/man/man1/

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(prefix)/bin/tandem $(DESTDIR)$(prefix)/share/man/man1/tandem.1 $(DESTDIR)$(prefix)/share/man/man1/tandem-*.1 \
		$(completions)/tandem

man: $(BUILD)/man/tandem.1 ## a man page a command, in build/man: man -l build/man/tandem-order-run.1
$(BUILD)/man/tandem.1: $(bin) docs/man.sh | $(BUILD)/setup-docs
	@rm -rf $(BUILD)/man
	@docs/man.sh $(bin) $(BUILD)/man

$(BUILD)/tandem.bash: $(bin) docs/completion.sh
	@docs/completion.sh $(bin) > $@.new && mv $@.new $@

clean: ## remove everything built
	rm -rf build build-* compile_commands.json

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z_.-]+:.*## / { sub(/:.*/, "", $$1); printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: FORCE all observe bench bench-quick bench-micro bench-plot $(addprefix bench-,$(bench_workloads)) format unit conformance-memory conformance-local conformance-kafka check installed compat peers system test sanitize valgrind house \
	fuzz fuzzers fuzz-corpus fuzz-seeds fuzz-keep tidy lint lint-docker manifests compose collector deploy image pictures demo install uninstall man clean help \
	$(addprefix run-,$(unit_tests))
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
