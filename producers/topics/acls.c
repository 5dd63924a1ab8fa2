#include "acls.h"

#include "service.h"

#include <stdbool.h>
#include <string.h>

struct making {
	const struct command *const *all;
	size_t count;
	const struct genesis_topic_array *topics;
	const char *name_space;
	struct arena *arena;
	struct acl_list *out;
	size_t room;
};

static void add(struct making *making, const char *role, const char *operation, const char *resource, const char *name,
                const char *use)
{
	struct acl_list *out = making->out;
	if (out->count == making->room) {
		making->room = making->room ? 2 * making->room : 64;
		struct acl *more = arena_alloc(making->arena, making->room * sizeof *more);
		if (out->count)
			memcpy(more, out->items, out->count * sizeof *more);
		out->items = more;
	}
	const char *full = *making->name_space ? arena_format(making->arena, "%s.%s", making->name_space, name) : name;
	out->items[out->count++] = (struct acl){role, operation, resource, full, use};
}

static const char *group_of(struct making *making, const struct service *service)
{
	return arena_format(making->arena, "tandem-%s", service->name);
}

static bool is_dlq_of(const char *topic, const char *input)
{
	size_t len = strlen(input);
	return strncmp(topic, input, len) == 0 && strcmp(topic + len, ".dlq") == 0;
}

static bool writes(const struct service *service, const char *topic)
{
	for (size_t i = 0; i < service->output_count; i++)
		if (strcmp(service->outputs[i], topic) == 0)
			return true;
	return is_dlq_of(topic, service->input);
}

static void add_service(struct making *making, const struct service *service)
{
	const char *role = service->name;
	add(making, role, "Read", "Topic", service->input, "folds it");
	add(making, role, "Read", "Group", group_of(making, service), "its place in the group, and its marks");
	for (size_t i = 0; i < making->topics->count; i++) {
		const char *topic = making->topics->items[i].name;
		bool input = strcmp(topic, service->input) == 0;
		if (writes(service, topic)) {
			add(making, role, "Write", "Topic", topic, "its events");
			add(making, role, "Read", "Topic", topic, "record 0, before the first event is sent there");
		} else if (!input) {
			add(making, role, "Describe", "Topic", topic, "partition counts are compared");
		}
	}
	for (size_t i = 0; i < making->topics->count; i++)
		add(making, role, "DescribeConfigs", "Topic", making->topics->items[i].name,
		    "settings are compared; without it that is not done, and said");
}

/* Do publishers send to it? */
static bool is_published(const struct service *service)
{
	for (size_t i = 0; i < service->handler_count; i++)
		if (service->handlers[i].type->origin == EVENT_PUBLISHER)
			return true;
	return false;
}

static void add_publisher(struct making *making)
{
	for (size_t i = 0; i < making->count; i++) {
		const struct service *service = making->all[i]->service;
		if (!service || !is_published(service))
			continue;
		add(making, "publisher", "Write", "Topic", service->input, "its events");
		add(making, "publisher", "Read", "Topic", service->input, "record 0 (`tandem publish`)");
	}
}

static void add_auditor(struct making *making)
{
	for (size_t i = 0; i < making->topics->count; i++)
		add(making, "auditor", "Read", "Topic", making->topics->items[i].name, "folds and compares");
	for (size_t i = 0; i < making->count; i++)
		if (making->all[i]->service)
			add(making, "auditor", "Describe", "Group", group_of(making, making->all[i]->service), "marks (`audit`, `rebuild`); without it none is seen");
}

static void add_operator(struct making *making)
{
	static const struct {
		const char *operation, *use;
	} topic[] = {{"Create", "topics create"},
	             {"Write", "topics create, resend, dlq"},
	             {"Read", "topics create, resend, dlq"},
	             {"DescribeConfigs", "topics check"},
	             {"Delete", "topics delete"}};
	for (size_t i = 0; i < making->topics->count; i++)
		for (size_t j = 0; j < sizeof topic / sizeof *topic; j++)
			add(making, "operator", topic[j].operation, "Topic", making->topics->items[i].name,
			    topic[j].use);
	for (size_t i = 0; i < making->count; i++)
		if (making->all[i]->service)
			add(making, "operator", "Delete", "Group", group_of(making, making->all[i]->service),
			    "topics delete, rebuild --delete-marks");
}

void acls_list(const struct command *const *all, size_t count, const struct genesis_topic_array *topics,
               const char *name_space, struct arena *arena, struct acl_list *out)
{
	struct making making = {all, count, topics, name_space, arena, out, 0};
	*out = (struct acl_list){0};
	for (size_t i = 0; i < count; i++)
		if (all[i]->service)
			add_service(&making, all[i]->service);
	add_publisher(&making);
	add_auditor(&making);
	add_operator(&making);
}
