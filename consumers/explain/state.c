/* What the files of the two workers know of an order. Their tables are those of consumers/order.c and inventory.c. */
#include "story.h"

#include "genesis.h"
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 2000

static enum status position_of(struct story *story, struct store *store, bool *ours, int64_t *next, struct err *err)
{
	struct store_statement *s;
	bool row = false;
	size_t len;
	*ours = false;
	enum status status = store_prepare(store, "SELECT installation, next_offset FROM meta", &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status != OK || !row)
		return status;
	const void *id = store_blob(s, 0, &len);
	*ours = len == sizeof story->genesis.installation && memcmp(id, story->genesis.installation, len) == 0;
	*next = store_int(s, 1);
	store_done(s);
	return OK;
}

/* Takes the file in the place of *best where it came further. */
static enum status consider(struct story *story, const char *path, struct store **best, int64_t *best_next,
                            struct err *err)
{
	struct store *store = NULL;
	int64_t next = 0;
	bool ours = false;
	if (access(path, R_OK) != 0) {
		story_looked(story, "%s: %s", path, strerror(errno));
		return OK;
	}
	const struct store_config config = {.path = path, .mode = STORE_READ, .busy_timeout_ms = BUSY_TIMEOUT_MS};
	enum status status = store_open(&config, &store, err);
	if (status == OK)
		status = position_of(story, store, &ours, &next, err);
	if (status == OK && ours && next > *best_next) {
		store_close(*best);
		*best = store;
		*best_next = next;
		store = NULL;
	}
	if (status == OK)
		story_looked(story, ours ? "%s: up to offset %" PRId64 : "%s: of another installation, or empty", path,
		             next);
	store_close(store);
	return status == OK ? OK : err_context(err, status, "%s", path);
}

/* A file of this installation, of several the one that came furthest; NULL: there is none, and looked_at says why. */
static enum status open_furthest(struct story *story, const char *service, int32_t partition, const char *const *data,
                                 size_t data_count, struct store **out, struct err *err)
{
	enum status status = OK;
	int64_t next = -1;
	*out = NULL;
	for (size_t i = 0; i < data_count && status == OK; i++) {
		const char *path = arena_format(&story->arena, "%s/%s/%" PRId32 ".db", data[i], service, partition);
		status = consider(story, path, out, &next, err);
	}
	return status;
}

/* ---- the order ---- */

/* "0R 3W" */
static void parse_groups(struct story *story, const char *text)
{
	story->groups = arena_alloc(&story->arena, (strlen(text) / 2 + 1) * sizeof *story->groups);
	for (char *end; *text; text = *end == ' ' ? end + 1 : end) {
		long partition = strtol(text, &end, 10);
		if (end == text || !*end)
			return;
		story->groups[story->group_count++] =
			(struct story_group){.partition = (int32_t)partition, .state = *end++};
	}
}

static enum status read_order(struct story *story, struct store *store, struct err *err)
{
	struct store_statement *s;
	enum status status = store_prepare(store,
	                                   "SELECT status, currency, total_minor, line_count, groups, placed_offset,"
	                                   " decided_offset FROM orders WHERE order_id = ?1", &s, err);
	if (status != OK)
		return status;
	store_bind_id(s, 1, story->order_id);
	status = store_step(s, &story->placed, err);
	if (status != OK || !story->placed)
		return status;
	const char *currency = store_text(s, 1);
	story->status = (enum story_status)store_int(s, 0);
	story->currency = arena_copy(&story->arena, currency ? currency : "", currency ? strlen(currency) : 0);
	story->total_minor = store_int(s, 2);
	story->line_count = store_int(s, 3);
	parse_groups(story, store_text(s, 4) ? store_text(s, 4) : "");
	story->placed_offset = store_int(s, 5);
	story->decided_offset = store_is_null(s, 6) ? -1 : store_int(s, 6);
	store_done(s);
	return OK;
}

static enum status read_cancel(struct story *story, struct store *store, struct err *err)
{
	struct store_statement *s;
	enum status status =
		store_prepare(store, "SELECT at_offset FROM cancel_request WHERE order_id = ?1", &s, err);
	if (status != OK)
		return status;
	store_bind_id(s, 1, story->order_id);
	status = store_step(s, &story->cancel_requested, err);
	if (status == OK && story->cancel_requested)
		story->cancel_offset = store_int(s, 0);
	store_done(s);
	return status;
}

static enum status read_reservation(struct story *story, struct store *store, struct story_group *group,
                                    struct err *err)
{
	struct store_statement *s;
	enum status status =
		store_prepare(store, "SELECT at_offset FROM reservation WHERE order_id = ?1", &s, err);
	if (status != OK)
		return status;
	store_bind_id(s, 1, story->order_id);
	status = store_step(s, &group->known, err);
	if (status == OK && group->known)
		group->at_offset = store_int(s, 0);
	store_done(s);
	return status;
}

enum status state_read(struct story *story, const char *const *data, size_t data_count, struct err *err)
{
	struct store *store = NULL;
	enum status status = open_furthest(story, "order", story->partition, data, data_count, &store, err);
	if (status == OK && store)
		status = read_order(story, store, err);
	if (status == OK && store)
		status = read_cancel(story, store, err);
	store_close(store);
	for (size_t i = 0; i < story->group_count && status == OK; i++) {
		struct story_group *group = &story->groups[i];
		status = open_furthest(story, "inventory", group->partition, data, data_count, &store, err);
		if (status == OK && store)
			status = read_reservation(story, store, group, err);
		store_close(store);
	}
	return status;
}
