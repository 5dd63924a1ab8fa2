#include "plan.h"

#include "service.h"

#include <stdlib.h>
#include <string.h>

#define DLQ ".dlq"

/* A dead letter is its record and some headers: it gets 64 KiB more. */
#define MAX_MESSAGE_BYTES     "1048588"
#define MAX_MESSAGE_BYTES_DLQ "1114124"

struct services {
	const struct command *const *all;
	size_t count;
};

static bool is_dlq(const char *topic)
{
	size_t len = strlen(topic), end = strlen(DLQ);
	return len > end && strcmp(topic + len - end, DLQ) == 0;
}

size_t plan_settings(const char *topic, bool single_replica, struct log_setting out[PLAN_SETTINGS_MAX])
{
	size_t count = policy_settings(single_replica, out);
	out[count] =
		(struct log_setting){"max.message.bytes", is_dlq(topic) ? MAX_MESSAGE_BYTES_DLQ : MAX_MESSAGE_BYTES};
	return count + 1;
}

/* The input of a service that writes: its records' keys decide where they go. */
static bool is_keyed_input(const struct services *services, const char *topic)
{
	for (size_t i = 0; i < services->count; i++) {
		const struct service *s = services->all[i]->service;
		if (s && s->output_count && strcmp(s->input, topic) == 0)
			return true;
	}
	return false;
}

static int32_t keyed_count(const struct plan_request *request, const char *topic)
{
	int32_t partitions = request->partitions;
	size_t len = strlen(topic);
	for (size_t i = 0; i < request->partitions_of.count; i++) {
		const char *item = request->partitions_of.items[i];
		if (strncmp(item, topic, len) == 0 && item[len] == '=')
			partitions = (int32_t)strtol(item + len + 1, NULL, 10);
	}
	return partitions;
}

static bool writes(const struct service *service, const char *topic)
{
	for (size_t i = 0; i < service->output_count; i++)
		if (strcmp(service->outputs[i], topic) == 0)
			return true;
	return false;
}

/* The largest count among the inputs of those who write it; nobody does: as any input. */
static int32_t written_count(const struct services *services, const struct plan_request *request, const char *topic)
{
	int32_t partitions = 0;
	for (size_t i = 0; i < services->count; i++) {
		const struct service *s = services->all[i]->service;
		int32_t from = s && writes(s, topic) ? keyed_count(request, s->input) : 0;
		if (from > partitions)
			partitions = from;
	}
	return partitions ? partitions : keyed_count(request, topic);
}

static void add(const struct services *services, const struct plan_request *request, struct arena *arena,
                const char *topic, bool with_dlq, struct genesis_topic_array *out)
{
	bool keyed = is_keyed_input(services, topic);
	int32_t partitions = keyed ? keyed_count(request, topic) : written_count(services, request, topic);
	for (int dlq = 0; dlq <= with_dlq; dlq++) {
		const char *name = dlq ? arena_format(arena, "%s" DLQ, topic) : topic;
		bool there = false;
		for (size_t i = 0; i < out->count; i++)
			there = there || strcmp(out->items[i].name, name) == 0;
		if (!there)
			out->items[out->count++] = (struct genesis_topic){
				name, partitions, dlq || keyed ? HEADER_FORM_COMPACT : HEADER_FORM_CLOUDEVENTS};
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct genesis_topic *)a)->name, ((const struct genesis_topic *)b)->name);
}

static enum status request_check(const struct services *services, const struct plan_request *request, struct err *err)
{
	for (size_t i = 0; i < request->partitions_of.count; i++) {
		const char *item = request->partitions_of.items[i], *equals = strchr(item, '=');
		char topic[256] = "", *end;
		long partitions = equals ? strtol(equals + 1, &end, 10) : 0;
		if (!equals || equals == item || equals - item >= (long)sizeof topic || end == equals + 1 || *end ||
		    partitions < 1 || partitions > PLAN_PARTITIONS_MAX)
			return err_set(err, REJECT, "usage", "--partitions-of %s: expected TOPIC=N, N from 1 to %d",
			               item, PLAN_PARTITIONS_MAX);
		memcpy(topic, item, (size_t)(equals - item));
		if (!is_keyed_input(services, topic))
			return err_set(
				err, REJECT, "usage",
				"--partitions-of %s: %s is no input of a service that writes; its partitions follow others",
				item, topic);
	}
	return OK;
}

enum status plan_topics(const struct command *const *all, size_t count, const struct plan_request *request,
                        struct arena *arena, struct genesis_topic_array *out, struct err *err)
{
	const struct services services = {all, count};
	enum status status = request_check(&services, request, err);
	size_t room = 0;
	for (size_t i = 0; i < count; i++)
		room += all[i]->service ? 2 + all[i]->service->output_count : 0;
	*out = (struct genesis_topic_array){arena_alloc(arena, room * sizeof *out->items), 0};
	for (size_t i = 0; status == OK && i < count; i++) {
		const struct service *s = all[i]->service;
		if (!s)
			continue;
		add(&services, request, arena, s->input, true, out);
		for (size_t j = 0; j < s->output_count; j++)
			add(&services, request, arena, s->outputs[j], false, out);
	}
	qsort(out->items, out->count, sizeof *out->items, by_name);
	return status;
}
