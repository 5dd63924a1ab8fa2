#include "jsonl.h"

#include "json.h"
#include "nearest.h"
#include "service.h"

#include <string.h>

static const char *publisher_type_name(const void *names, size_t i)
{
	(void)names;
	for (size_t at = 0; at < event_type_count; at++) {
		if (event_types[at]->origin == EVENT_PUBLISHER && i-- == 0)
			return event_types[at]->name;
	}
	return NULL;
}

static enum status find_type(const char *name, const struct event_type **type, struct err *err)
{
	*type = event_type_named(name);
	if (*type && (*type)->origin == EVENT_PUBLISHER)
		return OK;
	if (*type)
		return err_set(err, REJECT, "type", "type: found '%s', which only a worker sends", name);
	const char *near = nearest(name, publisher_type_name, NULL);
	return err_set(err, REJECT, "type", "type: found '%.80s', expected a publisher's event%s%s%s", name,
	               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Identifiers are the same in every event, wherever they stand. */
static bool is_identifier(const char *name)
{
	return !strcmp(name, "order_id") || !strcmp(name, "receipt_id") || !strcmp(name, "sku");
}

static enum status check_identifiers(const json_t *value, struct err *err)
{
	const char *name;
	json_t *member;
	size_t i;
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
	{
		if (is_identifier(name) && json_is_string(member) && !service_id_valid(json_string_value(member)))
			return err_set(err, REJECT, "identifier",
			               "%s: found '%.80s', expected 1 to 64 printable ASCII characters", name,
			               json_string_value(member));
		enum status status = check_identifiers(member, err);
		if (status != OK)
			return err_context(err, status, "%s", name);
	}
	json_array_foreach(value, i, member)
	{
		enum status status = check_identifiers(member, err);
		if (status != OK)
			return err_context(err, status, "[%zu]", i);
	}
	return OK;
}

static enum status parse(const json_t *object, struct arena *arena, const struct event_type **type, const void **event,
                         struct err *err)
{
	const char *name = json_string_value(json_object_get(object, "type"));
	const json_t *body = json_object_get(object, "event");
	if (!name || !body || json_object_size(object) != 2)
		return err_set(err, REJECT, "form",
		               "found %s, expected {\"type\": \"OrderPlaced\", \"event\": {...}} and no other member",
		               json_is_object(object) ? "an object with other members" : "no object");
	enum status status = find_type(name, type, err);
	if (status != OK)
		return status;
	void *decoded = arena_alloc(arena, (*type)->size);
	status = event_from_json(*type, body, arena, decoded, err);
	if (status == OK)
		status = check_identifiers(body, err);
	*event = decoded;
	return status;
}

enum status jsonl_parse(const char *line, size_t len, struct arena *arena, const struct event_type **type,
                        const void **event, struct err *err)
{
	json_error_t wrong;
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &wrong);
	if (!object)
		return err_set(err, REJECT, "json", "column %d: found no JSON: %s", wrong.column, wrong.text);
	enum status status = parse(object, arena, type, event, err);
	json_decref(object);
	return status;
}
