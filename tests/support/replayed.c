#include "replayed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *const replayed_plain[] = {"plain"};

void replayed_topic(struct log *log, const char *name, int32_t partitions)
{
	struct err err = {0};
	const struct log_topic topic = {.name = name, .partitions = partitions, .replicas = 1};
	assert_int_equal(log_topic_create(log, &topic, &err), OK);
}

static void pass_time(void *arg, int timeout_ms)
{
	struct replayed *f = arg;
	f->flow.now_us += timeout_ms * 1000;
}

void replayed_init(struct replayed *f, bool (*stopped)(void))
{
	*f = (struct replayed){.stopped = stopped};
	flow_init(&f->flow, 2, 3);
	log_memory_set_faults(f->flow.memory, &(struct log_memory_faults){.wait = pass_time, .arg = f});
	f->memory = log_memory_new(&f->flow.seam);
	assert_int_equal(log_open("local::memory:", &(struct log_config){.seam = &f->flow.seam, .memory = f->memory},
	                          &f->other, NULL),
	                 OK);
	replayed_topic(f->flow.log, "plain", 2);
	f->selection =
		(struct replay_selection){.topics = replayed_plain, .topic_count = 1, .partition = -1, .to_offset = -1};
}

void replayed_fini(struct replayed *f)
{
	arena_fini(&f->arena);
	log_close(f->other);
	log_memory_free(f->memory);
	flow_fini(&f->flow);
}

void replayed_write(struct replayed *f, int32_t partition, const char *key, const char *value)
{
	static const struct log_header headers[] = {{"h", {"1", 1}}, {"h", {"2", 1}}, {"empty", {NULL, -1}}};
	const struct log_record record = {.partition = partition,
	                                  .key = {key, key ? (int32_t)strlen(key) : -1},
	                                  .value = {value, value ? (int32_t)strlen(value) : -1},
	                                  .headers = headers,
	                                  .header_count = 3};
	f->flow.now_us += 1000000;
	flow_write(&f->flow, "plain", &record);
}

void replayed_fill(struct replayed *f, int n)
{
	for (int i = 0; i < n; i++) {
		char value[16];
		snprintf(value, sizeof value, "v%d", i);
		replayed_write(f, i % 2, i % 3 ? "a" : "b", value);
	}
}

enum status replayed_run(struct replayed *f, const struct replay_sink *sink)
{
	const struct replay_run replay = {.log = f->flow.log,
	                                  .seam = &f->flow.seam,
	                                  .selection = &f->selection,
	                                  .sink = sink,
	                                  .stopped = f->stopped};
	return replay_run(&replay, &f->arena, &f->slices, &f->slice_count, &f->result, &f->err);
}
