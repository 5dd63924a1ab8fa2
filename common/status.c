#include "status.h"

#include "command.h"
#include "record_view.h"
#include "store.h"
#include "task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct reading {
	const struct service *service;
	struct store *store;
	struct log *log;
	const struct seam *seam;
	struct arena *arena;
	struct status_report *out;
	bool glance;
};

typedef void row_function(struct reading *, struct store_statement *, size_t at);

/* Counts first, since the arena gives arrays of a fixed size. */
static enum status read_rows(struct reading *reading, const char *table, const char *columns, size_t item, void **items,
                             size_t *count, row_function *each, struct err *err)
{
	struct store_statement *s;
	const char *counting = arena_format(reading->arena, "SELECT count(*) FROM %s", table);
	const char *selecting = arena_format(reading->arena, "SELECT %s FROM %s ORDER BY 1, 2", columns, table);
	bool row;
	enum status status = store_prepare(reading->store, counting, &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status != OK)
		return status;
	size_t room = (size_t)store_int(s, 0);
	store_done(s);
	*items = arena_alloc(reading->arena, room * item);
	*count = 0;
	status = store_prepare(reading->store, selecting, &s, err);
	while (status == OK && *count < room) {
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		each(reading, s, (*count)++);
	}
	if (status == OK)
		store_done(s);
	return status;
}

static const char *copy_text(struct reading *reading, struct store_statement *s, int column)
{
	const char *text = store_text(s, column);
	return arena_copy(reading->arena, text ? text : "", text ? strlen(text) : 0);
}

static void read_inbound(struct reading *reading, struct store_statement *s, size_t at)
{
	reading->out->inbound[at] =
		(struct status_stream){copy_text(reading, s, 0), (int32_t)store_int(s, 1), store_int(s, 2)};
}

static void read_outbound(struct reading *reading, struct store_statement *s, size_t at)
{
	reading->out->outbound[at] =
		(struct status_stream){copy_text(reading, s, 0), (int32_t)store_int(s, 1), store_int(s, 2)};
}

/* Open for how long? The first record of the gap is in the log, with its time. */
static bool standing(struct reading *reading, int64_t offset)
{
	struct log_record record;
	bool found = false;
	if (!reading->log || log_read_at(reading->log, reading->service->input, reading->out->partition, offset,
	                                 reading->arena, &record, &found, NULL) != OK)
		return true;
	return !found || seam_wall_ms(reading->seam) - record.timestamp_ms > STATUS_STANDING_MS;
}

const char *status_fork_advice(struct arena *arena, const char *service, int32_t source, const char *topic,
                               int32_t partition, int64_t first_missing)
{
	const struct service *known = command_service(service);
	return arena_format(
		arena,
		"%s/%d has sent another history than the one that was taken up to number %lld; whose is wrong? tandem %s"
		" verify --partitions %d. It differs: stop the service's workers, delete that file, tandem %s rebuild"
		" --delete-marks, start them: all is sent again. It is the same: %s/%d has lost records whose outputs %s/%d"
		" has taken; restore it, or begin a new installation (docs/operations.md, Gaps and forks)",
		service, source, (long long)first_missing - 1, service, source, service,
		known ? known->input : "its input", source, topic, partition);
}

static void read_gap(struct reading *reading, struct store_statement *s, size_t at)
{
	struct status_gap *gap = &reading->out->gaps[at];
	*gap = (struct status_gap){.service = copy_text(reading, s, 0),
	                           .partition = (int32_t)store_int(s, 1),
	                           .first_missing = store_int(s, 2),
	                           .highest = store_int(s, 3),
	                           .first_offset = store_int(s, 4),
	                           .count = store_int(s, 5),
	                           .verdict = copy_text(reading, s, 6)};
	if (strcmp(gap->verdict, task_verdict_name(TASK_FORGED)) == 0)
		reading->out->forged = gap->count;
	gap->standing = standing(reading, gap->first_offset);
	if (!*gap->service)
		gap->what_to_do = arena_format(
			reading->arena, "find who writes records %s: tandem replay -t %s -p %d -o %lld -c 1",
			strcmp(gap->verdict, task_verdict_name(TASK_FORGED)) == 0 ? "that the secret does not verify"
										  : "with a foreign `tandem` header",
			reading->service->input, reading->out->partition, (long long)gap->first_offset);
	else if (strcmp(gap->verdict, "fork") == 0)
		gap->what_to_do =
			status_fork_advice(reading->arena, gap->service, gap->partition, reading->service->input,
		                           reading->out->partition, gap->first_missing);
	else
		gap->what_to_do =
			arena_format(reading->arena, "tandem %s resend --partitions %d --to %s/%d --from %lld",
		                     gap->service, gap->partition, reading->service->input, reading->out->partition,
		                     (long long)gap->first_missing);
}

static void read_held(struct reading *reading, struct store_statement *s, size_t at)
{
	struct status_held *held = &reading->out->held[at];
	struct buf key = {0};
	size_t len;
	const void *bytes = store_blob(s, 0, &len);
	record_view_quoted(&(struct log_bytes){bytes, (int32_t)len}, &key);
	*held = (struct status_held){.key = arena_copy(reading->arena, buf_text(&key), key.len),
	                             .letter = store_int(s, 1),
	                             .records = store_int(s, 2)};
	held->what_to_do = arena_format(reading->arena,
	                                "tandem dlq show -t %s -p %d; its letters are redriven in their order, or"
	                                " discarded: then they go on",
	                                reading->service->input, reading->out->partition);
	buf_fini(&key);
}

static enum status read_held_keys(struct reading *reading, struct err *err)
{
	struct status_report *out = reading->out;
	struct store_statement *s;
	bool row;
	enum status status =
		store_prepare(reading->store, "SELECT count(*), coalesce(sum(held), 0) FROM held_key", &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status != OK)
		return status;
	out->held_keys = store_int(s, 0);
	out->held_records = store_int(s, 1);
	store_done(s);
	return read_rows(reading,
	                 "(SELECT held_key.key AS key, letter, held_key.held AS records FROM held_key JOIN held ON"
	                 " held.key = held_key.key AND place = first ORDER BY 1 LIMIT 20)",
	                 "key, letter, records", sizeof *out->held, (void **)&out->held, &out->held_count, read_held,
	                 err);
}

static enum status read_meta(struct reading *reading, struct err *err)
{
	struct store_statement *s;
	struct status_report *out = reading->out;
	bool row;
	enum status status = store_prepare(reading->store,
	                                   "SELECT next_offset, input_hash, output_hash, applied, rejected, repeats,"
	                                   " logic_version, mark <> '' FROM meta",
	                                   &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status != OK || !row)
		return status;
	out->next_offset = store_int(s, 0);
	out->input_hash = (uint64_t)store_int(s, 1);
	out->output_hash = (uint64_t)store_int(s, 2);
	out->applied = store_int(s, 3);
	out->rejected = store_int(s, 4);
	out->repeats = store_int(s, 5);
	out->logic_version = (int)store_int(s, 6);
	out->catching_up = store_int(s, 7) != 0;
	store_done(s);
	return OK;
}

static enum status count_rows(struct reading *reading, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < reading->service->table_count && status == OK; i++) {
		char name[STORE_NAME_ROOM];
		struct store_statement *s;
		bool row;
		store_table_name(reading->service->tables[i], name);
		status = store_prepare(reading->store, arena_format(reading->arena, "SELECT count(*) FROM %s", name),
		                       &s, err);
		if (status == OK)
			status = store_step(s, &row, err);
		if (status != OK)
			break;
		reading->out->rows += store_int(s, 0);
		store_done(s);
	}
	return status;
}

/* A worker that starts makes the file first and its tables then: until they are there, there is no file to speak of. */
static enum status find_tables(struct reading *reading, struct err *err)
{
	struct store_statement *s;
	bool row;
	enum status status =
		store_prepare(reading->store, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'", &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status != OK)
		return status;
	reading->out->has_file = store_int(s, 0) > 0;
	store_done(s);
	return OK;
}

static enum status read_streams(struct reading *reading, struct err *err)
{
	struct status_report *out = reading->out;
	enum status status = read_rows(reading, "inbound", "service, partition, number", sizeof *out->inbound,
	                               (void **)&out->inbound, &out->inbound_count, read_inbound, err);
	if (status == OK)
		status = read_rows(reading, "outbound", "topic, partition, number", sizeof *out->outbound,
		                   (void **)&out->outbound, &out->outbound_count, read_outbound, err);
	return status;
}

static enum status read_tables(struct reading *reading, struct err *err)
{
	struct status_report *out = reading->out;
	enum status status = read_meta(reading, err);
	if (status == OK && !reading->glance)
		status = read_streams(reading, err);
	if (status == OK)
		status = read_rows(reading, "gap",
		                   "service, partition, first_missing, highest, first_offset, count, verdict",
		                   sizeof *out->gaps, (void **)&out->gaps, &out->gap_count, read_gap, err);
	if (status != OK || reading->glance)
		return status;
	if (reading->service->holds_rejected_keys)
		status = read_held_keys(reading, err);
	return status == OK ? count_rows(reading, err) : status;
}

static enum status read_file(struct reading *reading, const char *path, struct err *err)
{
	const struct store_config config = {.path = path, .mode = STORE_READ, .busy_timeout_ms = 1000};
	enum status status = store_open(&config, &reading->store, err);
	if (status != OK)
		return status;
	/* One read transaction, so that all of it is of one moment. */
	status = store_exec(reading->store, "BEGIN", err);
	if (status == OK)
		status = find_tables(reading, err);
	if (status == OK && reading->out->has_file)
		status = read_tables(reading, err);
	store_close(reading->store);
	return status;
}

static void ask_log(struct reading *reading)
{
	int64_t low;
	struct err err = {0};
	struct status_report *out = reading->out;
	out->end = out->lag = -1;
	if (!reading->log)
		return;
	if (log_bounds(reading->log, reading->service->input, out->partition, &low, &out->end, &err) == OK) {
		out->lag = out->end > out->next_offset ? out->end - out->next_offset : 0;
		return;
	}
	out->end = -1;
	out->log_error = arena_copy(reading->arena, err.text, strlen(err.text));
}

static enum status look(struct reading *reading, const char *data, int32_t partition, struct err *err)
{
	const struct service *service = reading->service;
	struct arena *arena = reading->arena;
	struct status_report *out = reading->out;
	*out = (struct status_report){.partition = partition};
	const char *path = arena_format(arena, "%s/%s/%d.db", data, service->name, partition);
	out->running = lock_holder(arena_format(arena, "%s/%s/%d.lock", data, service->name, partition), &out->pid,
	                           &out->state);
	out->halted =
		halt_read(arena_format(arena, "%s/%s/%d.halt", data, service->name, partition), arena, &out->halt);
	out->has_file = access(path, F_OK) == 0;
	enum status status = out->has_file ? read_file(reading, path, err) : OK;
	ask_log(reading);
	return status;
}

enum status status_read(const struct service *service, const char *data, int32_t partition, struct log *log,
                        const struct seam *seam, struct arena *arena, struct status_report *out, struct err *err)
{
	struct reading reading = {.service = service, .log = log, .seam = seam, .arena = arena, .out = out};
	return look(&reading, data, partition, err);
}

enum status status_glance(const struct service *service, const char *data, int32_t partition, struct log *log,
                          const struct seam *seam, struct arena *arena, struct status_report *out, struct err *err)
{
	struct reading reading = {
		.service = service, .log = log, .seam = seam, .arena = arena, .out = out, .glance = true};
	return look(&reading, data, partition, err);
}

const char *status_state_text(const struct status_report *report)
{
	if (report->halted)
		return "halted";
	if (!report->running)
		return report->has_file ? "stopped" : "no file";
	return report->catching_up ? "catching up" : lock_state_name(report->state);
}
