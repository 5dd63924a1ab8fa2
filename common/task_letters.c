/* Dead letters that come back, and what waits behind them.
 *
 *   once    A redrive names its letter: table `letter` has a row for each that was redriven or discarded, so that whatever is
 *           sent again, by whomever and however often, is a repeat. A letter that this task never sent is refused.
 *   order   Where the service holds, a key with an open letter has a queue, in the order in which its publisher's records
 *           came: `held_key` says from where to where, `held` has its items, numbered. An item is an open letter or a record
 *           that waits. The first one is a letter, always: when that is redriven and taken, or discarded, the records behind
 *           it are folded as if they came now, up to the next letter. One of them that is rejected becomes that letter.
 *
 * All of it is rows, and part of the fold. A letter that is redriven before its turn takes its place and waits. */
#include "bytes.h"
#include "events.h"
#include "redrive.h"
#include "task_impl.h"

#include <string.h>

const char *const task_letter_tables[TASK_LETTER_TABLES] = {
	/* offset: of the record that was rejected while it is open, else of the one that has redriven or discarded it. place:
           in the queue of its key while it is open */
	"CREATE TABLE letter (partition INTEGER NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,"
	" offset INTEGER NOT NULL, key BLOB, place INTEGER, PRIMARY KEY (partition, number)) WITHOUT ROWID, STRICT",
	/* places from first on, before next; of them records that wait, and their bytes */
	"CREATE TABLE held_key (key BLOB PRIMARY KEY NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,"
	" held INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID, STRICT",
	/* letter: the open letter's number, or 0 and the record */
	"CREATE TABLE held (key BLOB NOT NULL, place INTEGER NOT NULL, letter INTEGER NOT NULL, offset INTEGER NOT NULL,"
	" timestamp_ms INTEGER NOT NULL, headers BLOB NOT NULL, value BLOB, PRIMARY KEY (key, place)) WITHOUT ROWID, STRICT",
};

enum { LETTER, HELD_KEY, HELD };
enum { LETTER_PARTITION, LETTER_NUMBER, LETTER_STATE, LETTER_OFFSET, LETTER_KEY, LETTER_PLACE, LETTER_COLUMNS };
enum { QUEUE_KEY, QUEUE_FIRST, QUEUE_NEXT, QUEUE_HELD, QUEUE_BYTES, QUEUE_COLUMNS };
enum { ITEM_KEY, ITEM_PLACE, ITEM_LETTER, ITEM_OFFSET, ITEM_TIME, ITEM_HEADERS, ITEM_VALUE, ITEM_COLUMNS };

#define OPEN      "open"
#define REDRIVEN  "redriven"
#define DISCARDED "discarded"

struct queue {
	struct log_bytes key;
	bool exists;
	int64_t first, next, held, bytes;
};

struct letter {
	int32_t partition;
	int64_t number;
	bool known, open;
	struct log_bytes key; /* while it is open: in the arena `decoded` */
	int64_t place;
};

size_t task_letter_table_count(const struct service *service)
{
	return service->holds_rejected_keys ? TASK_LETTER_TABLES : 1;
}

static size_t table(const struct fold *fold, size_t which)
{
	return fold->task->service->table_count + which;
}

static enum status put(struct fold *fold, size_t which, const struct store_value *row, struct err *err)
{
	return rows_put(fold->task->rows, table(fold, which), row, err);
}

static enum status keep(struct fold *fold, enum status status, struct err *err)
{
	return status == OK ? rows_keep(fold->task->rows, err) : status;
}

static struct store_value value_bytes(const struct log_bytes *bytes)
{
	return bytes->len < 0 ? value_null() : value_blob(bytes->data, (size_t)bytes->len);
}

static bool same_bytes(const struct log_bytes *a, const struct log_bytes *b)
{
	return a->len == b->len && (a->len <= 0 || memcmp(a->data, b->data, (size_t)a->len) == 0);
}

/* ---- letters ---- */

static enum status get_letter(struct fold *fold, int32_t partition, int64_t number, struct letter *letter,
                              struct err *err)
{
	const struct store_value key[] = {value_int(partition), value_int(number)};
	const struct store_value *row;
	*letter = (struct letter){.partition = partition, .number = number};
	enum status status = rows_get(fold->task->rows, table(fold, LETTER), key, &row, err);
	if (status != OK || !row)
		return status;
	const struct store_value *state = &row[LETTER_STATE], *bytes = &row[LETTER_KEY];
	letter->known = true;
	letter->open = state->len == strlen(OPEN) && memcmp(state->bytes, OPEN, state->len) == 0;
	if (letter->open && bytes->kind != STORE_BLOB)
		return err_set(err, FATAL, "corrupt", "an open letter without a key");
	if (letter->open)
		letter->key = (struct log_bytes){arena_copy(&fold->task->decoded, bytes->bytes, bytes->len),
		                                 (int32_t)bytes->len};
	letter->place = letter->open ? row[LETTER_PLACE].number : 0;
	return OK;
}

static enum status close_letter(struct fold *fold, const struct letter *letter, const char *state, struct err *err)
{
	const struct store_value row[LETTER_COLUMNS] = {
		[LETTER_PARTITION] = value_int(letter->partition),
		[LETTER_NUMBER] = value_int(letter->number),
		[LETTER_STATE] = value_text(state),
		[LETTER_OFFSET] = value_int(fold->record->offset),
		[LETTER_KEY] = value_null(),
		[LETTER_PLACE] = value_null(),
	};
	return put(fold, LETTER, row, err);
}

/* Could this task know of the letter, and has it sent it? What another partition has sent cannot be known here: those come to
 * this one because their key belongs to it. */
static bool letter_exists(const struct task *task, const char *topic, int32_t partition, int64_t number)
{
	if (strcmp(topic, task->dead_letter_topic) != 0 || number < 1 || partition < 0 ||
	    partition >= task_partition_count(task, topic))
		return false;
	for (size_t i = 0; i < task->outbound.count && partition == task->partition; i++) {
		const struct task_stream *sent = &task->outbound.items[i];
		if (sent->partition == partition && strcmp(sent->name, topic) == 0)
			return (uint64_t)number <= sent->number;
	}
	return partition != task->partition;
}

/* ---- queues ---- */

/* Held is by keys that belong to this partition: nothing that is well comes here with another. */
static bool may_hold(const struct fold *fold, const struct log_bytes *key)
{
	return fold->task->service->holds_rejected_keys && key->len >= 1 && key->len <= TASK_KEY_BYTES_MAX &&
	       task_owns(fold->task, key->data, (size_t)key->len);
}

static enum status get_queue(struct fold *fold, const struct log_bytes *key, struct queue *queue, struct err *err)
{
	const struct store_value value = value_bytes(key), *row;
	*queue = (struct queue){.key = *key};
	enum status status = rows_get(fold->task->rows, table(fold, HELD_KEY), &value, &row, err);
	if (status != OK || !row)
		return status;
	*queue = (struct queue){.key = *key,
	                        .exists = true,
	                        .first = row[QUEUE_FIRST].number,
	                        .next = row[QUEUE_NEXT].number,
	                        .held = row[QUEUE_HELD].number,
	                        .bytes = row[QUEUE_BYTES].number};
	return OK;
}

static enum status put_queue(struct fold *fold, const struct queue *queue, struct err *err)
{
	const struct store_value row[QUEUE_COLUMNS] = {
		[QUEUE_KEY] = value_bytes(&queue->key),  [QUEUE_FIRST] = value_int(queue->first),
		[QUEUE_NEXT] = value_int(queue->next),   [QUEUE_HELD] = value_int(queue->held),
		[QUEUE_BYTES] = value_int(queue->bytes),
	};
	if (queue->first < queue->next)
		return put(fold, HELD_KEY, row, err);
	return rows_delete(fold->task->rows, table(fold, HELD_KEY), row, err);
}

/* The letter of this number stands at the place, and waits for somebody. */
static enum status put_letter(struct fold *fold, const struct queue *queue, int64_t place, uint64_t number,
                              struct err *err)
{
	const struct store_value item[ITEM_COLUMNS] = {
		[ITEM_KEY] = value_bytes(&queue->key),
		[ITEM_PLACE] = value_int(place),
		[ITEM_LETTER] = value_int((int64_t)number),
		[ITEM_OFFSET] = value_int(fold->record->offset),
		[ITEM_TIME] = value_int(fold->record->timestamp_ms),
		[ITEM_HEADERS] = value_blob("", 0),
		[ITEM_VALUE] = value_null(),
	};
	const struct store_value letter[LETTER_COLUMNS] = {
		[LETTER_PARTITION] = value_int(fold->task->partition),
		[LETTER_NUMBER] = value_int((int64_t)number),
		[LETTER_STATE] = value_text(OPEN),
		[LETTER_OFFSET] = value_int(fold->record->offset),
		[LETTER_KEY] = value_bytes(&queue->key),
		[LETTER_PLACE] = value_int(place),
	};
	enum status status = put(fold, HELD, item, err);
	return status == OK ? put(fold, LETTER, letter, err) : status;
}

static enum status delete_item(struct fold *fold, const struct queue *queue, int64_t place, struct err *err)
{
	const struct store_value key[] = {value_bytes(&queue->key), value_int(place)};
	return rows_delete(fold->task->rows, table(fold, HELD), key, err);
}

/* ---- records that wait ---- */

static size_t bytes_of(const struct log_record *record)
{
	size_t bytes = record->value.len > 0 ? (size_t)record->value.len : 0;
	for (size_t i = 0; i < record->header_count; i++)
		bytes += 8 + strlen(record->headers[i].name) +
		         (record->headers[i].value.len > 0 ? (size_t)record->headers[i].value.len : 0);
	return bytes;
}

static bool has_room(const struct fold *fold, const struct queue *queue, size_t bytes)
{
	const struct task *task = fold->task;
	return queue->held < TASK_HELD_A_KEY_MAX && task->held_count < TASK_HELD_MAX &&
	       queue->bytes + (int64_t)bytes <= TASK_HELD_A_KEY_BYTES_MAX &&
	       task->held_bytes + (int64_t)bytes <= TASK_HELD_BYTES_MAX;
}

static void count_held(struct fold *fold, struct queue *queue, int records, int64_t bytes)
{
	queue->held += records;
	queue->bytes += bytes;
	fold->task->held_count += records;
	fold->task->held_bytes += bytes;
}

/* name length (4) name value length (4, -1 for null) value */
static void put_headers(const struct log_record *record, struct buf *out)
{
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *header = &record->headers[i];
		size_t len = strlen(header->name);
		buf_put_be32(out, (uint32_t)len);
		buf_put(out, header->name, len);
		buf_put_be32(out, (uint32_t)header->value.len);
		if (header->value.len > 0)
			buf_put(out, header->value.data, (size_t)header->value.len);
	}
}

static bool take_be32(const uint8_t **at, const uint8_t *end, int32_t *out)
{
	if (end - *at < 4)
		return false;
	*out = (int32_t)be32_get(*at);
	*at += 4;
	return *out <= end - *at;
}

static bool get_headers(const uint8_t *at, size_t len, struct arena *arena, struct log_record *out)
{
	const uint8_t *end = at + len;
	struct header_list list;
	header_list_init(&list, arena, 8);
	while (at < end) {
		int32_t name_len, value_len;
		if (!take_be32(&at, end, &name_len) || name_len < 0)
			return false;
		const char *name = arena_copy(arena, at, (size_t)name_len);
		at += name_len;
		if (!take_be32(&at, end, &value_len) || value_len < -1)
			return false;
		header_add(&list, name, at, value_len > 0 ? (size_t)value_len : 0);
		list.items[list.count - 1].value.len = value_len;
		at += value_len > 0 ? value_len : 0;
	}
	out->headers = list.items;
	out->header_count = list.count;
	return true;
}

static enum status put_record(struct fold *fold, struct queue *queue, int64_t place, struct err *err)
{
	const struct log_record *record = fold->record;
	struct buf headers = {0};
	put_headers(record, &headers);
	const struct store_value item[ITEM_COLUMNS] = {
		[ITEM_KEY] = value_bytes(&queue->key),
		[ITEM_PLACE] = value_int(place),
		[ITEM_LETTER] = value_int(0),
		[ITEM_OFFSET] = value_int(record->offset),
		[ITEM_TIME] = value_int(record->timestamp_ms),
		[ITEM_HEADERS] = value_blob(headers.data ? headers.data : (const void *)"", headers.len),
		[ITEM_VALUE] = value_bytes(&record->value),
	};
	enum status status = put(fold, HELD, item, err);
	buf_fini(&headers);
	count_held(fold, queue, 1, (int64_t)bytes_of(record));
	return status;
}

struct item {
	bool exists;
	int64_t letter;
	struct log_record record; /* where letter is 0: in the arena `decoded` */
};

static enum status get_item(struct fold *fold, const struct queue *queue, int64_t place, struct item *item,
                            struct err *err)
{
	const struct store_value key[] = {value_bytes(&queue->key), value_int(place)};
	const struct store_value *row;
	struct arena *arena = &fold->task->decoded;
	*item = (struct item){0};
	enum status status = rows_get(fold->task->rows, table(fold, HELD), key, &row, err);
	if (status != OK || !row)
		return status;
	item->exists = true;
	item->letter = row[ITEM_LETTER].number;
	item->record = (struct log_record){.partition = fold->task->partition,
	                                   .offset = row[ITEM_OFFSET].number,
	                                   .timestamp_ms = row[ITEM_TIME].number,
	                                   .key = queue->key,
	                                   .value = {NULL, -1}};
	if (row[ITEM_VALUE].kind == STORE_BLOB)
		item->record.value = (struct log_bytes){arena_copy(arena, row[ITEM_VALUE].bytes, row[ITEM_VALUE].len),
		                                        (int32_t)row[ITEM_VALUE].len};
	if (!get_headers(row[ITEM_HEADERS].bytes, row[ITEM_HEADERS].len, arena, &item->record))
		return err_set(err, FATAL, "corrupt", "the headers of a held record make no sense");
	return OK;
}

/* ---- folding ---- */

/* A publisher's record, now: applied, or rejected with its dead letter sent, whose number is given then. */
static enum status settle(struct fold *fold, enum task_verdict *verdict, uint64_t *number, struct err *err)
{
	struct err why = {0};
	fold->first_output = fold->task->output_count;
	enum status status = task_fold_publisher(fold, &why);
	*verdict = TASK_APPLIED;
	if (status == REJECT) {
		*verdict = TASK_REJECTED;
		*number = task_send_letter(fold, &why);
		return OK;
	}
	if (status != OK)
		*err = why;
	return status;
}

/* What waits at the head of the queue goes on, up to the next letter. */
static enum status release(struct fold *fold, struct queue *queue, struct err *err)
{
	enum status status = OK;
	while (status == OK && queue->first < queue->next) {
		struct item item;
		enum task_verdict verdict;
		uint64_t number = 0;
		status = get_item(fold, queue, queue->first, &item, err);
		if (status != OK || item.letter)
			break;
		if (!item.exists) { /* it was discarded before its turn */
			queue->first++;
			continue;
		}
		struct fold now = *fold;
		now.record = &item.record;
		status = settle(&now, &verdict, &number, err);
		if (status != OK)
			break;
		fold->task->counts[verdict]++;
		count_held(fold, queue, -1, -(int64_t)bytes_of(&item.record));
		if (verdict == TASK_REJECTED) {
			status = put_letter(&now, queue, queue->first, number, err);
			break;
		}
		status = keep(fold, delete_item(fold, queue, queue->first++, err), err);
	}
	if (status == OK)
		status = put_queue(fold, queue, err);
	return keep(fold, status, err);
}

/* Behind what its key holds. Where there is no room it is a dead letter, which keeps the place. */
static enum status hold(struct fold *fold, struct queue *queue, int64_t place, enum task_verdict *verdict,
                        struct err *err)
{
	enum status status;
	*verdict = TASK_HELD;
	if (has_room(fold, queue, bytes_of(fold->record))) {
		status = put_record(fold, queue, place, err);
	} else {
		struct err why = {0};
		err_set(&why, REJECT, "held_full",
		        "records wait behind a dead letter of their key: %lld of this one, %lld in all; no room for more",
		        (long long)queue->held, (long long)fold->task->held_count);
		*verdict = TASK_REJECTED;
		status = put_letter(fold, queue, place, task_send_letter(fold, &why), err);
	}
	return status;
}

/* A publisher's record whose turn it is by its place in the log. */
static enum status arrive(struct fold *fold, enum task_verdict *verdict, struct err *err)
{
	struct queue queue = {0};
	uint64_t number = 0;
	bool holds = may_hold(fold, &fold->record->key);
	enum status status = holds ? get_queue(fold, &fold->record->key, &queue, err) : OK;
	if (status != OK)
		return status;
	if (queue.exists)
		status = hold(fold, &queue, queue.next++, verdict, err);
	else
		status = settle(fold, verdict, &number, err);
	if (status != OK || !holds || (!queue.exists && *verdict != TASK_REJECTED))
		return status;
	if (!queue.exists)
		status = put_letter(fold, &queue, queue.next++, number, err);
	return keep(fold, status == OK ? put_queue(fold, &queue, err) : status, err);
}

/* The letter is gone from the queue of its key; what waited for it goes on. */
static enum status leave(struct fold *fold, const struct letter *letter, struct err *err)
{
	struct queue queue;
	enum status status = get_queue(fold, &letter->key, &queue, err);
	if (status == OK)
		status = keep(fold, delete_item(fold, &queue, letter->place, err), err);
	return status == OK ? release(fold, &queue, err) : status;
}

/* In the letter's place: now, if it is the first, else when its turn comes. */
static enum status take_place(struct fold *fold, const struct letter *letter, enum task_verdict *verdict,
                              struct err *err)
{
	struct queue queue;
	uint64_t number = 0;
	enum status status = get_queue(fold, &letter->key, &queue, err);
	if (status != OK)
		return status;
	if (letter->place != queue.first) {
		status = hold(fold, &queue, letter->place, verdict, err);
		return keep(fold, status == OK ? put_queue(fold, &queue, err) : status, err);
	}
	status = settle(fold, verdict, &number, err);
	if (status != OK)
		return status;
	if (*verdict == TASK_REJECTED)
		return keep(fold, put_letter(fold, &queue, letter->place, number, err), err);
	status = keep(fold, delete_item(fold, &queue, letter->place, err), err);
	return status == OK ? release(fold, &queue, err) : status;
}

static enum status take_redrive(struct fold *fold, const struct redrive *redrive, enum task_verdict *verdict,
                                struct err *err)
{
	struct letter letter;
	if (!letter_exists(fold->task, redrive->topic, redrive->partition, (int64_t)redrive->number))
		return err_set(err, REJECT, "unknown_letter",
		               "it says that it is dead letter %llu of %s/%d, which was never sent",
		               (unsigned long long)redrive->number, redrive->topic, redrive->partition);
	enum status status = get_letter(fold, redrive->partition, (int64_t)redrive->number, &letter, err);
	if (status != OK)
		return status;
	if (letter.known && !letter.open) {
		*verdict = TASK_REPEAT;
		return OK;
	}
	status = keep(fold, close_letter(fold, &letter, REDRIVEN, err), err);
	if (status == OK && letter.open && same_bytes(&letter.key, &fold->record->key))
		return take_place(fold, &letter, verdict, err);
	if (status == OK)
		status = arrive(fold, verdict, err);
	return status == OK && letter.open ? leave(fold, &letter, err) : status;
}

enum status task_fold_letter(struct fold *fold, enum task_verdict *verdict, struct err *err)
{
	struct redrive redrive;
	switch (redrive_parse(fold->record, &redrive)) {
	case HEADER_NONE:
		return arrive(fold, verdict, err);
	case HEADER_VALID:
		return take_redrive(fold, &redrive, verdict, err);
	default:
		return err_set(err, REJECT, "bad_redrive", "a `%s` header that is doubled, cut or of another version",
		               REDRIVE_HEADER);
	}
}

enum status task_discard_letter(struct fold *fold, const struct letter_discarded *event, struct err *err)
{
	struct letter letter;
	if (!letter_exists(fold->task, event->topic, event->partition, event->number))
		return OK;
	enum status status = get_letter(fold, event->partition, event->number, &letter, err);
	if (status != OK || (letter.known && !letter.open))
		return status;
	status = keep(fold, close_letter(fold, &letter, DISCARDED, err), err);
	return status == OK && letter.open ? leave(fold, &letter, err) : status;
}
