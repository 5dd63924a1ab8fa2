#include "verify.h"

#include "genesis.h"
#include "hash.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is compared: the runtime's tables and the service's, but for the mark that is being caught up to. */
static const char *const own_tables[] = {"meta", "topic", "inbound", "outbound", "gap", "keyed"};

static const char *const letter_tables[] = {"letter", "held_key", "held"}; /* the last two where the service holds */

#define KEY_COLUMNS_MAX 8

struct shape {             /* of a table, in SQL */
	struct buf select; /* SELECT <key columns>, <the others> FROM table */
	struct buf where;  /* <key column> IS ?1 AND ... */
	struct buf order;  /* the key columns */
};

struct side {
	struct store_statement *rows;
	struct store_value *values; /* of the row: every column is read once */
	int columns;
	bool row;
};

struct compare {
	const struct verify_config *config;
	struct task *file, *folded;
	struct verify_result *result;
	struct arena arena;
	/* the table being compared */
	char table[64];
	int key_columns;                         /* the first ones of the SELECT */
	struct store_value key[KEY_COLUMNS_MAX]; /* of the row that differs; bytes in the arena */
	struct buf row;                          /* what of it is hashed */
	uint64_t hash;
};

/* ---- the shape of a table ---- */

static void shape_fini(struct shape *shape)
{
	buf_fini(&shape->select);
	buf_fini(&shape->where);
	buf_fini(&shape->order);
}

static void add_column(struct compare *compare, struct shape *shape, struct buf *others, const char *name, bool key)
{
	if (key) {
		compare->key_columns++;
		buf_putf(&shape->order, "%s%s", shape->order.len ? ", " : "", name);
		buf_putf(&shape->where, "%s%s IS ?%d", shape->where.len ? " AND " : "", name, compare->key_columns);
	} else if (strcmp(compare->table, "meta") != 0 || strcmp(name, "mark") != 0) {
		buf_putf(others, ", %s", name);
	}
}

static enum status read_shape(struct compare *compare, struct shape *shape, struct err *err)
{
	struct store_statement *s;
	struct buf others = {0};
	enum status status =
		store_prepare(task_store(compare->file),
	                      "SELECT name, pk FROM pragma_table_info(?1) ORDER BY pk = 0, pk, cid", &s, err);
	compare->key_columns = 0;
	if (status == OK)
		store_bind_text(s, 1, compare->table);
	for (bool row = true; status == OK && row;) {
		status = store_step(s, &row, err);
		if (status == OK && row)
			add_column(compare, shape, &others, store_text(s, 0), store_int(s, 1) > 0);
	}
	if (status == OK && (compare->key_columns == 0 || compare->key_columns > KEY_COLUMNS_MAX))
		status = err_set(err, FATAL, "ddl", "table %s has no primary key of at most %d columns", compare->table,
		                 KEY_COLUMNS_MAX);
	buf_putf(&shape->select, "SELECT %s%s FROM %s", buf_text(&shape->order), buf_text(&others), compare->table);
	buf_fini(&others);
	return status;
}

/* ---- a side ---- */

static enum status side_open(struct side *side, struct store *store, struct shape *shape, struct err *err)
{
	*side = (struct side){0};
	enum status status = store_prepare(store, buf_text(&shape->select), &side->rows, err);
	if (status != OK)
		return status;
	side->columns = store_column_count(side->rows);
	side->values = mem_zalloc((size_t)side->columns, sizeof *side->values);
	return OK;
}

static void side_close(struct side *side)
{
	if (side->rows)
		store_done(side->rows);
	mem_free(side->values);
}

static enum status step(struct side *side, struct err *err)
{
	enum status status = store_step(side->rows, &side->row, err);
	for (int i = 0; status == OK && side->row && i < side->columns; i++)
		store_value(side->rows, i, &side->values[i]);
	return status;
}

/* ---- comparing ---- */

static void hash_row(struct compare *compare, const struct side *side)
{
	struct buf *row = &compare->row;
	buf_reset(row);
	buf_put_be64(row, compare->hash);
	buf_put(row, compare->table, strlen(compare->table));
	for (int i = 0; i < side->columns; i++) {
		const struct store_value *value = &side->values[i];
		buf_put_u8(row, (uint8_t)value->kind);
		buf_put_be64(row, value->kind == STORE_INT ? (uint64_t)value->number : value->len);
		if (value->len)
			buf_put(row, value->bytes, value->len);
	}
	compare->hash = hash_bytes(task_seal(compare->file)->key, row->data, row->len);
}

static int compare_keys(const struct compare *compare, const struct side *a, const struct side *b)
{
	int order = 0;
	for (int i = 0; i < compare->key_columns && !order; i++)
		order = store_value_compare(&a->values[i], &b->values[i]);
	return order;
}

static void note(struct compare *compare, const struct side *at, const char *column, const char *file,
                 const char *folded)
{
	struct verify_difference *difference = &compare->result->difference;
	struct buf key = {0};
	compare->result->same = false;
	for (int i = 0; i < compare->key_columns; i++) {
		const struct store_value *value = &at->values[i];
		buf_putf(&key, "%s%s=%s", i ? " " : "", store_column_name(at->rows, i),
		         store_value_text(value, &compare->arena));
		compare->key[i] = *value;
		if (value->len)
			compare->key[i].bytes = arena_copy(&compare->arena, value->bytes, value->len);
	}
	snprintf(difference->table, sizeof difference->table, "%s", compare->table);
	snprintf(difference->key, sizeof difference->key, "%s", buf_text(&key));
	snprintf(difference->column, sizeof difference->column, "%s", column);
	snprintf(difference->file, sizeof difference->file, "%s", file);
	snprintf(difference->folded, sizeof difference->folded, "%s", folded);
	difference->offset = -1;
	buf_fini(&key);
}

static void compare_columns(struct compare *compare, const struct side *file, const struct side *folded)
{
	for (int i = compare->key_columns; i < file->columns && compare->result->same; i++) {
		const struct store_value *a = &file->values[i], *b = &folded->values[i];
		if (!store_value_equal(a, b))
			note(compare, file, store_column_name(file->rows, i), store_value_text(a, &compare->arena),
			     store_value_text(b, &compare->arena));
	}
}

/* Both sides in key order, as a merge. */
static enum status compare_rows(struct compare *compare, struct side *file, struct side *folded, struct err *err)
{
	enum status status = step(file, err);
	if (status == OK)
		status = step(folded, err);
	while (status == OK && compare->result->same && (file->row || folded->row)) {
		int order = !file->row ? 1 : !folded->row ? -1 : compare_keys(compare, file, folded);
		if (order < 0) {
			note(compare, file, "", "a row", "no row");
		} else if (order > 0) {
			note(compare, folded, "", "no row", "a row");
		} else {
			compare_columns(compare, file, folded);
			hash_row(compare, file);
			status = step(file, err);
			if (status == OK)
				status = step(folded, err);
		}
	}
	return status;
}

static enum status compare_table(struct compare *compare, const char *table, struct err *err)
{
	struct shape shape = {0};
	struct side file = {0}, folded = {0};
	snprintf(compare->table, sizeof compare->table, "%s", table);
	enum status status = read_shape(compare, &shape, err);
	buf_putf(&shape.select, " ORDER BY %s", buf_text(&shape.order));
	if (status == OK)
		status = side_open(&file, task_store(compare->file), &shape, err);
	if (status == OK)
		status = side_open(&folded, task_store(compare->folded), &shape, err);
	if (status == OK)
		status = compare_rows(compare, &file, &folded, err);
	side_close(&file);
	side_close(&folded);
	shape_fini(&shape);
	return status;
}

static enum status compare_tables(struct compare *compare, struct err *err)
{
	const struct service *service = compare->config->service;
	enum status status = OK;
	/* The worker's own first: what is wrong there is what people ask about. */
	for (size_t i = 0; i < service->table_count && status == OK && compare->result->same; i++) {
		char name[STORE_NAME_ROOM];
		store_table_name(service->tables[i], name);
		status = compare_table(compare, name, err);
	}
	for (size_t i = 0; i < (service->holds_rejected_keys ? 3 : 1) && status == OK && compare->result->same; i++)
		status = compare_table(compare, letter_tables[i], err);
	for (size_t i = 0; i < sizeof own_tables / sizeof *own_tables && status == OK && compare->result->same; i++)
		status = compare_table(compare, own_tables[i], err);
	return status;
}

enum status verify_tasks(struct task *file, struct task *folded, struct verify_result *result, struct err *err)
{
	*result = (struct verify_result){.same = true};
	const struct verify_config config = {.service = task_service(file)};
	struct compare compare = {.config = &config, .file = file, .folded = folded, .result = result};
	enum status status = compare_tables(&compare, err);
	result->state_hash = compare.hash;
	arena_fini(&compare.arena);
	buf_fini(&compare.row);
	return status;
}

/* ---- who wrote it ---- */

static enum status row_hash(struct compare *compare, struct side *row, uint64_t *hash, struct err *err)
{
	for (int i = 0; i < compare->key_columns; i++)
		store_value_bind(row->rows, i + 1, &compare->key[i]);
	enum status status = step(row, err);
	compare->hash = 0;
	if (status == OK && row->row)
		hash_row(compare, row);
	store_done(row->rows);
	*hash = compare->hash;
	return status;
}

static bool is_own(const char *table)
{
	for (size_t i = 0; i < sizeof own_tables / sizeof *own_tables; i++)
		if (strcmp(own_tables[i], table) == 0)
			return true;
	return false;
}

static enum status watch_row(struct compare *compare, struct refold *again, struct side *row, struct err *err)
{
	uint64_t before = 0, now = 0;
	bool folded = true;
	enum status status = OK;
	while (status == OK && folded) {
		status = refold_next(again, compare->result->next_offset, 0, &folded, err);
		task_store(refold_task(again)); /* what waits to be written is in the tables */
		if (status == OK && folded)
			status = row_hash(compare, row, &now, err);
		if (status == OK && folded && now != before) {
			struct task_position position;
			task_position(refold_task(again), &position);
			compare->result->difference.offset = position.last_offset;
			before = now;
		}
	}
	return status;
}

/* Folds once more, watching the row: the last record after which it was another. The runtime's own tables are written at
 * commit, so no single record is to blame there. */
static enum status find_writer(struct compare *compare, struct err *err)
{
	const struct verify_config *config = compare->config;
	const struct refold_config refold = {
		.service = config->service, .log = config->log, .partition = config->partition};
	struct shape shape = {0};
	struct refold *again = NULL;
	struct side row = {0};
	if (is_own(compare->table))
		return OK;
	enum status status = read_shape(compare, &shape, err);
	buf_putf(&shape.select, " WHERE %s", buf_text(&shape.where));
	if (status == OK)
		status = refold_open(&refold, &again, err);
	if (status == OK)
		status = side_open(&row, task_store(refold_task(again)), &shape, err);
	if (status == OK)
		status = watch_row(compare, again, &row, err);
	side_close(&row);
	refold_close(again);
	shape_fini(&shape);
	return status;
}

/* ---- one partition ---- */

static enum status open_copy(const struct verify_config *config, const char *live, const char *copy, struct task **out,
                             struct err *err)
{
	if (access(live, F_OK) != 0)
		return err_set(err, REJECT, "no_file", "%s does not exist: there is nothing to verify", live);
	unlink(copy);
	enum status status = store_copy(live, copy, err);
	const struct task_config task = {.service = config->service,
	                                 .partition = config->partition,
	                                 .path = copy,
	                                 .scratch = true,
	                                 .secret = log_secret(config->log)};
	return status == OK ? task_open(&task, out, err) : status;
}

static enum status same_installation(const struct verify_config *config, const struct task *file, struct err *err)
{
	struct arena arena = {0};
	struct genesis genesis;
	enum status status =
		genesis_read(config->log, config->service->input, config->partition, &arena, &genesis, err);
	if (status == OK)
		status = task_check_genesis(file, &genesis, err);
	arena_fini(&arena);
	return status;
}

static void note_position(struct verify_result *result, const char *column, int64_t file, int64_t folded)
{
	struct verify_difference *difference = &result->difference;
	result->same = false;
	*difference = (struct verify_difference){.offset = -1};
	snprintf(difference->table, sizeof difference->table, "meta");
	snprintf(difference->key, sizeof difference->key, "one=1");
	snprintf(difference->column, sizeof difference->column, "%s", column);
	snprintf(difference->file, sizeof difference->file, "%lld", (long long)file);
	snprintf(difference->folded, sizeof difference->folded, "%lld", (long long)folded);
}

static enum status fold_and_compare(struct compare *compare, struct refold *refold, struct err *err)
{
	struct task_position file, folded;
	task_position(compare->file, &file);
	compare->result->next_offset = file.next_offset;
	enum status status = refold_to(refold, file.next_offset, err);
	compare->result->records = refold_records(refold);
	if (status != OK)
		return status;
	compare->folded = refold_task(refold);
	task_position(compare->folded, &folded);
	if (folded.next_offset != file.next_offset) { /* the log has lost its tail */
		note_position(compare->result, "next_offset", file.next_offset, folded.next_offset);
		return OK;
	}
	status = compare_tables(compare, err);
	compare->result->state_hash = compare->hash;
	return status == OK && !compare->result->same ? find_writer(compare, err) : status;
}

enum status verify_partition(const struct verify_config *config, struct verify_result *result, struct err *err)
{
	char *live = mem_format("%s/%s/%d.db", config->data, config->service->name, config->partition);
	char *copy =
		mem_format("%s/%s/.verify-%d-%d", config->data, config->service->name, config->partition, getpid());
	char *fresh = mem_format("%s-fold", copy);
	*result = (struct verify_result){.same = true};
	struct compare compare = {.config = config, .result = result};
	struct refold *refold = NULL;
	enum status status = open_copy(config, live, copy, &compare.file, err);
	if (status == OK && !task_has_genesis(compare.file))
		status = err_set(err, REJECT, "no_file", "%s is empty: nothing was folded yet", live);
	if (status == OK)
		status = same_installation(config, compare.file, err);
	const struct refold_config fold = {.service = config->service,
	                                   .log = config->log,
	                                   .partition = config->partition,
	                                   .path = fresh,
	                                   .scratch = true,
	                                   .reverse = config->reverse,
	                                   .memory_bytes = config->memory_bytes,
	                                   .progress = config->progress,
	                                   .arg = config->arg};
	unlink(fresh);
	if (status == OK)
		status = refold_open(&fold, &refold, err);
	if (status == OK)
		status = fold_and_compare(&compare, refold, err);
	refold_close(refold);
	task_close(compare.file);
	arena_fini(&compare.arena);
	buf_fini(&compare.row);
	unlink(copy);
	unlink(fresh);
	mem_free(live);
	mem_free(copy);
	mem_free(fresh);
	return status;
}
