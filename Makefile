# Tandem: event-driven services in C. `make help` lists what there is.
#
# Sources are found by wildcard: a new command, worker, module, test or event is a new file and no edit here.
#   BUILD=DIR        where everything goes (build)
#   SANITIZE=LIST    address,undefined or thread: instruments into a folder of its own
.DEFAULT_GOAL := help
SANITIZE ?=
comma := ,
BUILD ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
CC ?= gcc
PACKAGES := rdkafka jansson sqlite3 libsodium zlib
TEST_PACKAGES := cmocka avro-c
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPTIMIZE ?= -O2
CFLAGS ?= $(OPTIMIZE) -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -pthread -Icommon -I$(BUILD)/gen $(CFLAGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-format-truncation)
# pkg-config is asked once, and only when something is built
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PKG_LIBS)
TEST_LIBS = $(eval TEST_LIBS := $$(shell pkg-config --libs $(TEST_PACKAGES)))$(TEST_LIBS)
COMPILE = $(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c $< -o $@
LINK = $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) -lm

commands := $(sort $(notdir $(basename $(wildcard producers/*.c consumers/*.c))))
command_sources := $(wildcard producers/*.c producers/*/*.c consumers/*.c consumers/*/*.c)
common_sources := $(filter-out common/main.c,$(wildcard common/*.c))
schemas := $(wildcard schemas/*.avsc) $(wildcard schemas/history/*/*.avsc)
unit_tests := $(sort $(notdir $(basename $(wildcard tests/test_*.c))))
test_support := $(wildcard tests/support/*.c)

object = $(addprefix $(BUILD)/,$(1:.c=.o))
lib := $(BUILD)/libtandem.a
bin := $(BUILD)/tandem
schemagen := $(BUILD)/schemagen

##@ Building
all: $(bin) ## build the program: build/tandem

$(bin): $(call object,common/main.c $(command_sources)) $(BUILD)/gen/commands.o $(lib)
	$(LINK)

# What the generator needs of common/ must not include generated code.
schemagen_parts := $(wildcard schemas/*.c) common/schema.c common/err.c common/mem.c common/bytes.c common/json.c
$(schemagen): $(call object,$(schemagen_parts))
	$(LINK)

$(BUILD)/gen/events.c: $(schemagen) $(schemas)
	@mkdir -p $(@D)
	$(schemagen) --out $(BUILD)/gen schemas

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
	ar rcs $@ $^

# Events that only tests have, from tests/schemas: every type there is, and schemas that have evolved.
test_schemas := $(wildcard tests/schemas/*.avsc) $(wildcard tests/schemas/history/*/*.avsc)
$(BUILD)/gen/test_events.c: $(schemagen) $(test_schemas)
	@mkdir -p $(@D)
	$(schemagen) --out $(BUILD)/gen --name test_events tests/schemas
$(BUILD)/gen/test_events.h: $(BUILD)/gen/test_events.c ;

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(COMPILE)

# Everything but the generator and its parts may include events.h.
$(BUILD)/%.o: %.c | $(BUILD)/gen/events.h
	@mkdir -p $(@D)
	$(COMPILE)
$(call object,$(schemagen_parts)): $(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE)

##@ Testing
# A test links every module, every service (without main) and tests/support.
test_objects := $(call object,$(command_sources) $(test_support)) $(BUILD)/gen/commands.o $(BUILD)/gen/test_events.o
$(call object,$(wildcard tests/*.c tests/*/*.c)): | $(BUILD)/gen/test_events.h
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(test_objects) $(lib)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ $(PKG_LIBS) $(TEST_LIBS) -lm

$(addprefix run-,$(unit_tests)): run-%: $(BUILD)/tests/%
	@timeout 300 $<

unit: $(addprefix run-,$(unit_tests)) ## the unit tests

clean: ## remove everything built
	rm -rf build build-*

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: FORCE all unit clean help $(addprefix run-,$(unit_tests))
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
