#include "recovery.h"

#include "check.h"
#include "header.h"
#include "seam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define READ_MS 5000

struct keys { /* of records that were published after the fault */
	struct arena arena;
	const char **items;
	size_t count, room;
};

/* True: it has seen enough. */
typedef bool visit(const struct recovery *recovery, const struct log_record *record, struct keys *keys,
                   int64_t *found_ms);

static void read_partition(struct rig *rig, const char *topic, int32_t partition, visit *seen,
                           const struct recovery *recovery, struct keys *keys, int64_t *found_ms)
{
	struct err err = {0};
	struct log_reader *reader;
	int64_t low, high, at = 0;
	check(log_bounds(rig->log, topic, partition, &low, &high, &err), &err);
	check(log_reader_open(rig->log, topic, partition, low, &reader, &err), &err);
	while (at < high) {
		const struct log_record *record;
		check(log_reader_next(reader, READ_MS, &record, &err), &err);
		if (!record || seen(recovery, record, keys, found_ms))
			break;
		at = record->offset + 1;
	}
	log_reader_close(reader);
}

static bool note_published(const struct recovery *recovery, const struct log_record *record, struct keys *keys,
                           int64_t *found_ms)
{
	struct header_stream stream;
	(void)found_ms;
	if (record->timestamp_ms <= recovery->fault_ms || record->key.len <= 0 ||
	    header_stream_parse(record, &stream) == HEADER_VALID)
		return false;
	if (keys->count == keys->room) {
		keys->room = keys->room ? 2 * keys->room : 256;
		keys->items = mem_realloc(keys->items, keys->room * sizeof *keys->items);
	}
	keys->items[keys->count++] = arena_copy(&keys->arena, record->key.data, (size_t)record->key.len);
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool find_outcome(const struct recovery *recovery, const struct log_record *record, struct keys *keys,
                         int64_t *found_ms)
{
	if (record->timestamp_ms <= recovery->fault_ms || record->key.len <= 0)
		return false;
	const char *key = arena_copy(&keys->arena, record->key.data, (size_t)record->key.len);
	if (!bsearch(&key, keys->items, keys->count, sizeof *keys->items, by_text))
		return false;
	*found_ms = record->timestamp_ms;
	return true;
}

/* When the first outcome in this partition came of something published after the fault; -1: nothing was. */
static int64_t first_outcome_ms(struct rig *rig, const struct recovery *recovery, int32_t partition)
{
	struct keys keys = {0};
	int64_t found_ms = -1;
	read_partition(rig, "orders", partition, note_published, recovery, &keys, NULL);
	if (keys.count) {
		qsort(keys.items, keys.count, sizeof *keys.items, by_text);
		read_partition(rig, "order-events", partition, find_outcome, recovery, &keys, &found_ms);
	}
	mem_free(keys.items);
	arena_fini(&keys.arena);
	return found_ms;
}

static const char *seconds(struct rig *rig, int64_t from_ms, int64_t to_ms)
{
	return to_ms < 0 ? "-" : arena_format(&rig->arena, "%.2f", (double)(to_ms - from_ms) / 1000);
}

/* build/recovery.tsv, where the test is build/tests/system/NAME */
static const char *file_path(struct rig *rig)
{
	const char *given = getenv("TANDEM_RECOVERY");
	char program[4096];
	if (given)
		return given;
	snprintf(program, sizeof program, "%s", rig->program);
	*strrchr(program, '/') = 0;
	return arena_format(&rig->arena, "%s/recovery.tsv", program);
}

void recovery_begin(struct recovery *recovery, const char *test, const char *fault)
{
	*recovery = (struct recovery){.test = test, .fault = fault, .fault_ms = seam_wall_ms(&seam_system)};
}

void recovery_end(struct rig *rig, const struct recovery *recovery)
{
	int64_t drained_ms = seam_wall_ms(&seam_system), first_ms = -1, everywhere_ms = -1;
	for (int32_t p = 0; p < rig->orders; p++) {
		int64_t at_ms = first_outcome_ms(rig, recovery, p);
		if (at_ms >= 0 && (first_ms < 0 || at_ms < first_ms))
			first_ms = at_ms;
		if (at_ms > everywhere_ms)
			everywhere_ms = at_ms;
	}
	const char *line = arena_format(&rig->arena, "%s\t%s\t%s\t%s\t%s\n", recovery->test, recovery->fault,
	                                seconds(rig, recovery->fault_ms, first_ms),
	                                seconds(rig, recovery->fault_ms, everywhere_ms),
	                                seconds(rig, recovery->fault_ms, drained_ms));
	print_message("recovery\t%s", line);
	FILE *file = fopen(file_path(rig), "a");
	if (!file || fputs(line, file) < 0 || fclose(file) != 0)
		fail_msg("%s cannot be written", file_path(rig));
}
