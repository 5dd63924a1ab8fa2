/* The rows of a task's own tables in its file: what is read from them at open, and written at commit. */
#include "task_impl.h"

#include <string.h>

static const char *const own_tables[] = {
	"CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), installation BLOB NOT NULL, service TEXT NOT NULL,"
	" topic TEXT NOT NULL, partition INTEGER NOT NULL, single_replica INTEGER NOT NULL, logic_version INTEGER NOT NULL,"
	" next_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL, last_hash INTEGER NOT NULL,"
	" input_hash INTEGER NOT NULL, output_hash INTEGER NOT NULL, stream_time_ms INTEGER NOT NULL,"
	" applied INTEGER NOT NULL, rejected INTEGER NOT NULL, repeats INTEGER NOT NULL, gaps INTEGER NOT NULL,"
	" forks INTEGER NOT NULL, unknown_sources INTEGER NOT NULL, control INTEGER NOT NULL, mark TEXT NOT NULL) STRICT",
	"CREATE TABLE topic (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, headers TEXT NOT NULL) WITHOUT ROWID, STRICT",
	"CREATE TABLE inbound (service TEXT NOT NULL, partition INTEGER NOT NULL, number INTEGER NOT NULL,"
	" chain INTEGER NOT NULL, PRIMARY KEY (service, partition)) WITHOUT ROWID, STRICT",
	"CREATE TABLE outbound (topic TEXT NOT NULL, partition INTEGER NOT NULL, number INTEGER NOT NULL,"
	" chain INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID, STRICT",
	"CREATE TABLE gap (service TEXT NOT NULL, partition INTEGER NOT NULL, first_missing INTEGER NOT NULL,"
	" highest INTEGER NOT NULL, first_offset INTEGER NOT NULL, count INTEGER NOT NULL, verdict TEXT NOT NULL,"
	" PRIMARY KEY (service, partition)) WITHOUT ROWID, STRICT",
	/* A row where the installation's chains are keyed; files without the table are of public ones. */
	"CREATE TABLE keyed (one INTEGER PRIMARY KEY CHECK (one = 1), forged INTEGER NOT NULL) STRICT",
};

#define COUNTED TASK_HELD /* the verdicts before it have a column in meta */

bool task_blames_file(const struct err *err)
{
	return err_is(err, "corrupt") || err_is(err, "constraint");
}

enum status task_file_advice(enum status status, struct err *err)
{
	struct err found;
	if (status != FATAL || !task_blames_file(err))
		return status;
	found = *err;
	return err_set(err, FATAL, found.code,
	               "%.400s; the file is damaged: delete it (with its -wal and -shm), it is rebuilt from the log",
	               found.text);
}

/* ---- reading ---- */

/* Calls each for every row. */
static enum status read_rows(struct task *task, const char *sql, void (*each)(struct task *, struct store_statement *),
                             struct err *err)
{
	struct store_statement *s;
	enum status status = store_prepare(task->store, sql, &s, err);
	for (bool row = true; status == OK && row;) {
		status = store_step(s, &row, err);
		if (status == OK && row)
			each(task, s);
	}
	return status;
}

static void read_meta(struct task *task, struct store_statement *s)
{
	size_t len;
	const void *installation = store_blob(s, 0, &len);
	memcpy(task->installation, installation, len < sizeof task->installation ? len : sizeof task->installation);
	task->has_genesis = true;
	task->single_replica = store_int(s, 1) != 0;
	task->position = (struct task_position){.logic_version = (int)store_int(s, 2),
	                                        .next_offset = store_int(s, 3),
	                                        .last_offset = store_int(s, 4),
	                                        .last_hash = (uint64_t)store_int(s, 5),
	                                        .input_hash = (uint64_t)store_int(s, 6),
	                                        .output_hash = (uint64_t)store_int(s, 7)};
	task->stream_time_ms = store_int(s, 8);
	for (int i = 0; i < COUNTED; i++)
		task->counts[i] = store_int(s, 9 + i);
	const char *mark = store_text(s, 9 + COUNTED);
	mem_free(task->mark);
	task->mark = mem_strdup(mark ? mark : "");
}

static void read_topic(struct task *task, struct store_statement *s)
{
	bool cloudevents = strcmp(store_text(s, 2), "cloudevents") == 0;
	task_add_topic(task, store_text(s, 0), (int32_t)store_int(s, 1),
	               cloudevents ? HEADERS_CLOUDEVENTS : HEADERS_COMPACT);
}

static void read_stream(struct task *task, struct streams *streams, struct store_statement *s)
{
	struct task_stream *stream = streams_put(task, streams, store_text(s, 0), (int32_t)store_int(s, 1));
	stream->number = (uint64_t)store_int(s, 2);
	stream->chain = (uint64_t)store_int(s, 3);
}

static void read_inbound(struct task *task, struct store_statement *s)
{
	read_stream(task, &task->inbound, s);
}

static void read_outbound(struct task *task, struct store_statement *s)
{
	read_stream(task, &task->outbound, s);
}

static void read_gap(struct task *task, struct store_statement *s)
{
	struct task_gap *gap = task_add_gap(task, store_text(s, 0), (int32_t)store_int(s, 1));
	gap->first_missing = (uint64_t)store_int(s, 2);
	gap->highest = (uint64_t)store_int(s, 3);
	gap->first_offset = store_int(s, 4);
	gap->count = store_int(s, 5);
	for (int i = 0; i < TASK_VERDICTS; i++)
		if (strcmp(store_text(s, 6), task_verdict_name((enum task_verdict)i)) == 0)
			gap->verdict = (enum task_verdict)i;
}

static void read_keyed(struct task *task, struct store_statement *s)
{
	task->seal.keyed = true;
	task->counts[TASK_FORGED] = store_int(s, 0);
}

static enum status read_file(struct task *task, struct err *err)
{
	enum status status = read_rows(
		task,
		"SELECT installation, single_replica, logic_version, next_offset, last_offset, last_hash, input_hash,"
		" output_hash, stream_time_ms, applied, rejected, repeats, gaps, forks, unknown_sources, control, mark"
		" FROM meta",
		read_meta, err);
	if (status == OK)
		status = read_rows(task, "SELECT forged FROM keyed", read_keyed, err);
	if (status == OK)
		status = read_rows(task, "SELECT name, partitions, headers FROM topic ORDER BY name", read_topic, err);
	if (status == OK)
		status = read_rows(task, "SELECT service, partition, number, chain FROM inbound ORDER BY 1, 2",
		                   read_inbound, err);
	if (status == OK)
		status = read_rows(task, "SELECT topic, partition, number, chain FROM outbound ORDER BY 1, 2",
		                   read_outbound, err);
	if (status == OK)
		status = read_rows(
			task,
			"SELECT service, partition, first_missing, highest, first_offset, count, verdict FROM gap"
			" ORDER BY 1, 2",
			read_gap, err);
	return status;
}

/* ---- opening ---- */

static enum status count_rows(struct task *task, const char *sql, const char *a, const char *b, int64_t c,
                              int64_t *count, struct err *err)
{
	struct store_statement *s;
	bool row;
	enum status status = store_prepare(task->store, sql, &s, err);
	if (status != OK)
		return status;
	if (a)
		store_bind_text(s, 1, a);
	if (b) {
		store_bind_text(s, 2, b);
		store_bind_int(s, 3, c);
	}
	status = store_step(s, &row, err);
	*count = status == OK && row ? store_int(s, 0) : 0;
	store_done(s);
	return status;
}

static enum status check_table(struct task *task, const char *ddl, struct err *err)
{
	int64_t count;
	enum status status =
		count_rows(task, "SELECT count(*) FROM sqlite_schema WHERE sql = ?1", ddl, NULL, 0, &count, err);
	if (status != OK || count == 1)
		return status;
	return err_set(
		err, FATAL, "other_tables",
		"the file's tables are not this program's (expected: %.120s...); run the program that wrote it, or delete"
		" the file: it is rebuilt from the log",
		ddl);
}

static enum status for_tables(struct task *task, enum status (*act)(struct task *, const char *, struct err *),
                              struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < sizeof own_tables / sizeof *own_tables && status == OK; i++)
		status = act(task, own_tables[i], err);
	for (size_t i = 0; i < task->row_table_count && status == OK; i++)
		status = act(task, task->row_tables[i], err);
	return status;
}

static enum status create_table(struct task *task, const char *ddl, struct err *err)
{
	enum status status = store_lint(ddl, err);
	if (status != OK)
		return FATAL;
	return store_exec(task->store, ddl, err);
}

static enum status create_tables(struct task *task, struct err *err)
{
	enum status status = store_begin(task->store, err);
	if (status == OK)
		status = for_tables(task, create_table, err);
	return status == OK ? store_commit(task->store, err) : status;
}

static enum status has_table(struct task *task, const char *name, int64_t *count, struct err *err)
{
	return count_rows(task, "SELECT count(*) FROM sqlite_schema WHERE name = ?1", name, NULL, 0, count, err);
}

/* A file of a program that did not know that letters come back, or that chains may be keyed: none has, and they are not. */
static enum status add_later_tables(struct task *task, struct err *err)
{
	int64_t letters = 1, keyed = 1;
	enum status status = has_table(task, "letter", &letters, err);
	if (status == OK)
		status = has_table(task, "keyed", &keyed, err);
	if (status != OK || (letters && keyed))
		return status;
	status = store_begin(task->store, err);
	for (size_t i = task->service->table_count; i < task->row_table_count && !letters && status == OK; i++)
		status = create_table(task, task->row_tables[i], err);
	if (!keyed && status == OK)
		status = create_table(task, own_tables[sizeof own_tables / sizeof *own_tables - 1], err);
	return status == OK ? store_commit(task->store, err) : status;
}

static void read_held(struct task *task, struct store_statement *s)
{
	task->held_count = store_int(s, 0);
	task->held_bytes = store_int(s, 1);
}

static enum status check_owner(struct task *task, struct err *err)
{
	int64_t others;
	enum status status =
		count_rows(task, "SELECT count(*) FROM meta WHERE NOT (service = ?1 AND topic = ?2 AND partition = ?3)",
	                   task->service->name, task->service->input, task->partition, &others, err);
	if (status != OK || others == 0)
		return status;
	return err_set(
		err, FATAL, "foreign_file",
		"the file is of another service, topic or partition, expected %s on %s/%d; put the right file here, or"
		" delete it: it is rebuilt from the log",
		task->service->name, task->service->input, task->partition);
}

static enum status prepare_own(struct task *task, struct err *err)
{
	const struct {
		struct store_statement **out;
		const char *sql;
	} list[] = {
		{&task->put_meta,
	         "INSERT OR REPLACE INTO meta VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
	         " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"},
		{&task->put_topic, "INSERT OR REPLACE INTO topic VALUES (?1, ?2, ?3)"},
		{&task->put_inbound, "INSERT OR REPLACE INTO inbound VALUES (?1, ?2, ?3, ?4)"},
		{&task->put_outbound, "INSERT OR REPLACE INTO outbound VALUES (?1, ?2, ?3, ?4)"},
		{&task->put_keyed, "INSERT OR REPLACE INTO keyed VALUES (1, ?1)"},
		{&task->put_gap, "INSERT OR REPLACE INTO gap VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
		{&task->delete_gap, "DELETE FROM gap WHERE service = ?1 AND partition = ?2"},
	};
	enum status status = OK;
	for (size_t i = 0; i < sizeof list / sizeof *list && status == OK; i++)
		status = store_prepare(task->store, list[i].sql, list[i].out, err);
	return status;
}

enum status task_open_file(struct task *task, const struct task_config *config, struct err *err)
{
	const size_t share = (config->memory_bytes ? config->memory_bytes : TASK_MEMORY_BYTES) / 7 * 3;
	struct store_config store = {.path = config->path,
	                             .mode = config->scratch || !config->path ? STORE_SCRATCH : STORE_WRITE,
	                             .full_sync = config->full_sync,
	                             .deterministic = true,
	                             .reverse = config->reverse,
	                             .vfs = config->vfs,
	                             .cache_kib = (int)(share / 1024 / 4 * 3)}; /* a page and its head take 5 KB */
	int64_t tables;
	enum status status = store_open(&store, &task->store, err);
	if (status == OK && store.mode == STORE_WRITE)
		status = store_check_length(task->store, err);
	if (status == OK)
		status = count_rows(task, "SELECT count(*) FROM sqlite_schema", NULL, NULL, 0, &tables, err);
	if (status != OK)
		return status;
	status = tables == 0 ? create_tables(task, err) : add_later_tables(task, err);
	if (status == OK && tables)
		status = for_tables(task, check_table, err);
	if (status == OK)
		status = check_owner(task, err);
	if (status == OK)
		status = prepare_own(task, err);
	if (status == OK)
		status = read_file(task, err);
	if (status == OK && task->has_genesis)
		status = seal_open(task->installation, task->seal.keyed, task->secret, &task->seal, err);
	if (status == OK)
		status = rows_open(task->store, task->row_tables, task->row_table_count,
		                   config->held_bytes ? config->held_bytes : share, &task->rows, err);
	if (status == OK && task->service->holds_rejected_keys)
		status = read_rows(task, "SELECT coalesce(sum(held), 0), coalesce(sum(bytes), 0) FROM held_key",
		                   read_held, err);
	return status;
}

/* ---- committing ---- */

static enum status write_meta(struct task *task, struct err *err)
{
	struct store_statement *s = task->put_meta;
	const struct task_position *position = &task->position;
	int at = 1;
	store_bind_blob(s, at++, task->installation, sizeof task->installation);
	store_bind_text(s, at++, task->service->name);
	store_bind_text(s, at++, task->service->input);
	store_bind_int(s, at++, task->partition);
	store_bind_int(s, at++, task->single_replica);
	store_bind_int(s, at++, position->logic_version);
	store_bind_int(s, at++, position->next_offset);
	store_bind_int(s, at++, position->last_offset);
	store_bind_int(s, at++, (int64_t)position->last_hash);
	store_bind_int(s, at++, (int64_t)position->input_hash);
	store_bind_int(s, at++, (int64_t)position->output_hash);
	store_bind_int(s, at++, task->stream_time_ms);
	for (int i = 0; i < COUNTED; i++)
		store_bind_int(s, at++, task->counts[i]);
	store_bind_text(s, at, task->mark);
	return store_run(s, err);
}

static enum status write_keyed(struct task *task, struct err *err)
{
	if (!task->seal.keyed)
		return OK;
	store_bind_int(task->put_keyed, 1, task->counts[TASK_FORGED]);
	return store_run(task->put_keyed, err);
}

static enum status write_topics(struct task *task, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < task->topic_count && task->topics_dirty && status == OK; i++) {
		store_bind_text(task->put_topic, 1, task->topics[i].name);
		store_bind_int(task->put_topic, 2, task->topics[i].partitions);
		store_bind_text(task->put_topic, 3,
		                task->topics[i].form == HEADERS_CLOUDEVENTS ? "cloudevents" : "compact");
		status = store_run(task->put_topic, err);
	}
	return status;
}

static enum status write_streams(struct streams *streams, struct store_statement *put, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < streams->count && status == OK; i++) {
		if (!streams->dirty[i])
			continue;
		const struct task_stream *stream = &streams->items[i];
		store_bind_text(put, 1, stream->name);
		store_bind_int(put, 2, stream->partition);
		store_bind_int(put, 3, (int64_t)stream->number);
		store_bind_int(put, 4, (int64_t)stream->chain);
		status = store_run(put, err);
	}
	return status;
}

static enum status write_gap(struct task *task, size_t i, struct err *err)
{
	const struct task_gap *gap = &task->gaps[i];
	struct store_statement *s = task->gap_rows[i].gone ? task->delete_gap : task->put_gap;
	store_bind_text(s, 1, gap->service);
	store_bind_int(s, 2, gap->partition);
	if (!task->gap_rows[i].gone) {
		store_bind_int(s, 3, (int64_t)gap->first_missing);
		store_bind_int(s, 4, (int64_t)gap->highest);
		store_bind_int(s, 5, gap->first_offset);
		store_bind_int(s, 6, gap->count);
		store_bind_text(s, 7, task_verdict_name(gap->verdict));
	}
	return store_run(s, err);
}

static enum status write_gaps(struct task *task, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < task->gap_count && status == OK; i++)
		if (task->gap_rows[i].dirty)
			status = write_gap(task, i, err);
	return status;
}

/* Only after COMMIT: what was written is clean now. */
static void clean(struct task *task)
{
	task->topics_dirty = false;
	if (task->inbound.count)
		memset(task->inbound.dirty, 0, task->inbound.count * sizeof *task->inbound.dirty);
	if (task->outbound.count)
		memset(task->outbound.dirty, 0, task->outbound.count * sizeof *task->outbound.dirty);
	size_t kept = 0;
	for (size_t i = 0; i < task->gap_count; i++) {
		if (task->gap_rows[i].gone)
			continue;
		task->gaps[kept] = task->gaps[i];
		task->gap_rows[kept++] = (struct gap_row){0};
	}
	task->gap_count = kept;
}

enum status task_commit(struct task *task, struct err *err)
{
	/* SQLite rolls back behind some errors: that nothing is open does not say that nothing is lost. */
	enum status status = store_check(task->store, err);
	if (status != OK || !store_in_transaction(task->store))
		return status;
	status = rows_flush(task->rows, err);
	if (status == OK)
		status = write_meta(task, err);
	if (status == OK)
		status = write_keyed(task, err);
	if (status == OK)
		status = write_topics(task, err);
	if (status == OK)
		status = write_streams(&task->inbound, task->put_inbound, err);
	if (status == OK)
		status = write_streams(&task->outbound, task->put_outbound, err);
	if (status == OK)
		status = write_gaps(task, err);
	if (status == OK)
		status = store_commit(task->store, err);
	if (status == OK)
		clean(task);
	return task_file_advice(status, err);
}
