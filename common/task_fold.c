/* The fold of one record. The order of the steps is the protocol's:
 *
 *   1. the running input hash and the position take the record, whatever it is;
 *   2. where chains are keyed, a record that claims to be a worker's or a control record and does not verify is forged: it is
 *      counted, and nothing else. A control record is obeyed or halts the task;
 *   3. a record with a `tandem` header is numbered: its number and its chain decide whether it is applied, dropped as a
 *      repeat, or consumed as a gap, a fork or an unknown source. What is applied is answered by the handler, or halts;
 *   4. any other record is a publisher's: it is applied, or becomes a dead letter; one that is a dead letter sent again is
 *      taken once, and one whose key waits for such a one may have to wait too (task_letters.c);
 *   5. the handler runs; only when it has returned OK are its rows kept, and its events numbered, chained and shown to the
 *      caller. A rejection undoes its rows and emits the dead letter alone.
 *
 * inbound's number and chain are no rows of the handler's: a numbered event that was consumed stays consumed. */
#include "task.h"

#include "events.h"
#include "genesis.h"
#include "redrive.h"
#include "task_impl.h"

#include <stdio.h>
#include <string.h>

/* ---- what a handler may ask for ---- */

enum status fold_get(struct fold *fold, size_t table, const struct store_value *key, const struct store_value **row,
                     struct err *err)
{
	return rows_get(fold->task->rows, table, key, row, err);
}

enum status fold_put(struct fold *fold, size_t table, const struct store_value *row, struct err *err)
{
	return rows_put(fold->task->rows, table, row, err);
}

enum status fold_delete(struct fold *fold, size_t table, const struct store_value *key, struct err *err)
{
	return rows_delete(fold->task->rows, table, key, err);
}

struct store_value value_text(const char *text)
{
	return (struct store_value){.kind = STORE_TEXT, .len = (uint32_t)strlen(text), .bytes = text};
}

struct store_value value_id(struct fold *fold, const char *id)
{
	return store_value_of_id(id, &fold->task->decoded);
}

int64_t fold_stream_time_ms(const struct fold *fold)
{
	return fold->stream_time_ms;
}

int64_t fold_offset(const struct fold *fold)
{
	return fold->record->offset;
}

int32_t fold_partition(const struct fold *fold)
{
	return fold->task->partition;
}

int32_t fold_partition_of(const struct fold *fold, const char *topic, const char *key)
{
	int32_t count = task_partition_count(fold->task, topic);
	return count ? log_partition_of(key, strlen(key), count) : -1;
}

int32_t fold_source_partition(const struct fold *fold)
{
	return fold->source_partition;
}

struct arena *fold_arena(struct fold *fold)
{
	return &fold->task->decoded;
}

uint64_t fold_content_hash(const struct fold *fold, const struct event_type *type, const void *event)
{
	return event_content_hash(type, event, fold->task->seal.key);
}

bool task_owns(const struct task *task, const void *key, size_t len)
{
	int32_t count = task_partition_count(task, task->service->input);
	return count > 0 && log_partition_of(key, len, count) == task->partition;
}

bool fold_owns(const struct fold *fold, const char *key)
{
	return task_owns(fold->task, key, strlen(key));
}

bool service_id_valid(const char *id)
{
	size_t len = strnlen(id, 65);
	if (len < 1 || len > 64)
		return false;
	for (size_t i = 0; i < len; i++)
		if (id[i] < 0x20 || id[i] > 0x7e)
			return false;
	return true;
}

static struct task_output *add_output(struct task *task)
{
	if (task->output_count == task->output_room) {
		task->output_room = task->output_room ? 2 * task->output_room : 16;
		task->outputs = mem_realloc(task->outputs, task->output_room * sizeof *task->outputs);
	}
	struct task_output *output = &task->outputs[task->output_count++];
	*output = (struct task_output){0};
	return output;
}

static bool writes_to(const struct service *service, const char *topic)
{
	for (size_t i = 0; i < service->output_count; i++)
		if (strcmp(service->outputs[i], topic) == 0)
			return true;
	return false;
}

enum status fold_emit(struct fold *fold, const char *topic, int32_t partition, const char *key,
                      const struct event_type *type, const void *event, struct err *err)
{
	struct task *task = fold->task;
	const struct topic *known = task_topic(task, topic);
	if (!writes_to(task->service, topic) || !known || partition < 0 || partition >= known->partitions)
		return err_set(
			err, FATAL, "handler",
			"%s emits %s to %s/%d, which is none of its outputs: a fault of this program; run one without it",
			task->service->name, type->name, topic, partition);
	struct buf *value = &task->encoded;
	buf_reset(value);
	enum status status = event_encode(type, event, value, err);
	if (status != OK)
		return err_context(
			err, FATAL,
			"%s emits a %s that its schema cannot hold, a fault of this program; run one without it",
			task->service->name, type->name);
	struct task_output *output = add_output(task);
	output->topic = known->name;
	output->partition = partition;
	output->type = type;
	size_t key_len = strlen(key);
	output->record = (struct log_record){
		.partition = partition,
		.key = {arena_copy(&task->emitted, key, key_len), (int32_t)key_len},
		.value = {arena_copy(&task->emitted, value->data, value->len), (int32_t)value->len},
	};
	return OK;
}

/* ---- outputs ---- */

static void know_source(struct task *task)
{
	struct arena arena = {0};
	task->ce_id = mem_format("%s-%d-", task->service->input, task->partition);
	task->ce_source = mem_format("/tandem/%s/%s/%d", genesis_id_text(task->installation, &arena),
	                             task->service->name, task->partition);
	arena_fini(&arena);
}

/* `<topic>-<partition>-<offset>-<index of the output>`. */
static void add_id(struct header_list *list, const struct fold *fold, size_t index)
{
	size_t len = strlen(fold->task->ce_id);
	char *text = arena_alloc(list->arena, len + 42), *at = text + len;
	memcpy(text, fold->task->ce_id, len);
	at += decimal_put(at, (uint64_t)fold->record->offset);
	*at++ = '-';
	at += decimal_put(at, index);
	*at = 0;
	header_add_constant(list, "ce_id", text);
}

static void add_cloudevents(struct header_list *list, const struct fold *fold, const struct task_output *output,
                            size_t index)
{
	char number[20];
	if (!fold->task->ce_source)
		know_source(fold->task);
	header_add_constant(list, "ce_specversion", "1.0");
	add_id(list, fold, index);
	header_add_constant(list, "ce_source", fold->task->ce_source);
	header_add_constant(list, "ce_type", output->type ? output->type->full_name : "tandem.DeadLetter");
	header_add_constant(list, "content-type", "application/avro");
	header_add(list, "ce_sequence", number, decimal_put(number, output->number));
}

/* The span of an output: a hash of its source and number, so that a second fold gives the same. */
static uint64_t span_of(const struct task *task, const struct task_output *output)
{
	return hash_running_output(task->seal.key, output->chain, output->topic, output->partition, output->number, 0);
}

static void number_output(struct fold *fold, struct task_output *output, size_t index, struct header_list *headers)
{
	struct task *task = fold->task;
	struct task_stream *stream = streams_put(task, &task->outbound, output->topic, output->partition);
	if (stream->number == 0)
		stream->chain = hash_chain_start(task->seal.key, task->service->name, task->partition, output->topic,
		                                 output->partition);
	const struct log_bytes *value = &output->record.value;
	size_t skip = output->type ? EVENT_HEADER_BYTES : 0;
	uint64_t fingerprint = output->type ? output->type->fingerprint : 0;
	size_t len = value->len > 0 ? (size_t)value->len : 0;
	stream->number++;
	stream->chain = hash_chain(task->seal.key, stream->chain, stream->number, fingerprint, &output->record.key,
	                           len ? (const uint8_t *)value->data + skip : NULL, len - (len ? skip : 0));
	streams_touch(&task->outbound, stream);
	output->number = stream->number;
	output->chain = stream->chain;
	output->cause = fold->record->offset;
	task->position.output_hash = hash_running_output(task->seal.key, task->position.output_hash, output->topic,
	                                                 output->partition, output->number, output->chain);

	task->own.number = output->number;
	task->own.chain = output->chain;
	task->own.keyed = task->seal.keyed;
	header_add_stream(headers, &task->own);
	const struct topic *topic = task_topic(task, output->topic);
	if (topic && topic->form == HEADERS_CLOUDEVENTS && output->type)
		add_cloudevents(headers, fold, output, index);
	const struct log_header *trace = header_find(fold->record, HEADER_TRACE);
	if (trace && output->type && header_trace_valid(trace))
		header_add_trace(headers, trace, span_of(task, output));
	seal_list(&task->seal, &task->own, output->topic, &output->record, headers);
	output->record.headers = headers->items;
	output->record.header_count = headers->count;
}

static void number_outputs(struct fold *fold)
{
	struct task *task = fold->task;
	for (size_t i = fold->first_output; i < task->output_count; i++) {
		struct header_list headers;
		header_list_init(&headers, &task->emitted, 8);
		number_output(fold, &task->outputs[i], i - fold->first_output, &headers);
	}
}

/* The record as it was, its headers kept and `tandem` renamed, with Spring's headers beside our own. */
uint64_t task_send_letter(struct fold *fold, const struct err *why)
{
	struct task *task = fold->task;
	const struct log_record *record = fold->record;
	task->rejection = *why;
	struct task_output *output = add_output(task);
	const struct topic *known = task_topic(task, task->dead_letter_topic);
	output->topic = known ? known->name : task->dead_letter_topic;
	output->partition = task->partition;
	struct log_record copy;
	log_record_copy(&copy, record, &task->emitted);
	output->record = (struct log_record){.partition = task->partition, .key = copy.key, .value = copy.value};
	struct header_list headers;
	header_list_init(&headers, &task->emitted, copy.header_count + 10);
	for (size_t i = 0; i < copy.header_count; i++) {
		headers.items[headers.count] = copy.headers[i];
		if (strcmp(copy.headers[i].name, HEADER_STREAM) == 0)
			headers.items[headers.count].name = HEADER_STREAM_ORIGINAL;
		headers.count++;
	}
	header_add_text(&headers, "kafka_dlt-original-topic", "%s", task->full_input);
	header_add_be32(&headers, "kafka_dlt-original-partition", task->partition);
	header_add_be64(&headers, "kafka_dlt-original-offset", record->offset);
	header_add_be64(&headers, "kafka_dlt-original-timestamp", record->timestamp_ms);
	header_add_text(&headers, "kafka_dlt-original-consumer-group", "tandem-%s", task->service->name);
	header_add_text(&headers, "kafka_dlt-exception-fqcn", "%s", why->code ? why->code : "rejected");
	header_add_text(&headers, "kafka_dlt-exception-message", "%s", why->text);
	number_output(fold, output, 0, &headers);
	return output->number;
}

/* ---- handling ---- */

/* REJECT: everything the handler did is undone. */
static enum status handle(struct fold *fold, const struct service_handler *handler, const void *event, struct err *err)
{
	struct task *task = fold->task;
	struct err why = {0};
	enum status status = handler->handle(fold, event, &why);
	/* What was decided in spite of an error, or on a value that could not be read, was not decided: nothing of it goes out. */
	if (status == OK || status == REJECT) {
		enum status sound = store_check(task->store, &why);
		status = sound == OK ? status : sound;
	}
	if (status == OK) {
		status = rows_keep(task->rows, err);
		if (status == OK)
			number_outputs(fold);
		return status;
	}
	task->output_count = fold->first_output;
	if (!fold->first_output)
		arena_reset(&task->emitted);
	rows_undo(task->rows);
	if (status != REJECT) {
		*err = why;
		return status;
	}
	return err_set(err, REJECT, why.code ? why.code : "rejected", "%s", why.text);
}

static const struct accepts *find_handler(const struct task *task, uint64_t fingerprint)
{
	for (size_t i = 0; i < task->accept_count; i++)
		if (task->accepts[i].fingerprint == fingerprint)
			return &task->accepts[i];
	return NULL;
}

static enum status decode(struct task *task, const struct accepts *accepts, const uint8_t *body, size_t len,
                          void **event, struct err *err)
{
	const struct event_type *type = accepts->handler->type;
	*event = arena_alloc(&task->decoded, type->size);
	return event_decode(type, accepts->fingerprint, body, len, &task->decoded, *event, err);
}

/* ---- publishers' records ---- */

/* What `tandem dlq redrive` adds: a letter that was at a limit may come back. */
static bool is_of_redrive(const char *name)
{
	return strcmp(name, REDRIVE_HEADER) == 0 || strcmp(name, SEAL_CONTROL_HEADER) == 0;
}

static enum status check_size(const struct log_record *record, struct err *err)
{
	size_t headers = 0;
	size_t ours = 0;
	for (size_t i = 0; i < record->header_count; i++) {
		if (ours < 2 && is_of_redrive(record->headers[i].name)) {
			ours++;
			continue;
		}
		headers += strlen(record->headers[i].name) +
		           (record->headers[i].value.len > 0 ? (size_t)record->headers[i].value.len : 0);
	}
	if (record->value.len > TASK_VALUE_BYTES_MAX || record->key.len > TASK_KEY_BYTES_MAX ||
	    headers > TASK_HEADERS_BYTES_MAX || record->header_count - ours > TASK_HEADERS_MAX)
		return err_set(err, REJECT, "too_large",
		               "value %d, key %d, headers %zu bytes (%zu headers); at most %d, %d, %d (%d) are taken",
		               record->value.len, record->key.len, headers, record->header_count, TASK_VALUE_BYTES_MAX,
		               TASK_KEY_BYTES_MAX, TASK_HEADERS_BYTES_MAX, TASK_HEADERS_MAX);
	return OK;
}

static enum status check_key(const struct fold *fold, const struct event_type *type, const void *event, struct err *err)
{
	const struct log_bytes *key = &fold->record->key;
	const char *natural = type->key ? type->key(event) : NULL;
	if (!natural)
		return OK;
	size_t len = strlen(natural);
	if (key->len < 0 || (size_t)key->len != len || memcmp(key->data, natural, len) != 0)
		return err_set(err, REJECT, "wrong_key", "the record's key is not the event's %.80s", natural);
	if (!task_owns(fold->task, natural, len))
		return err_set(err, REJECT, "wrong_partition",
		               "murmur2 of %.80s over %d partitions is another partition than %d", natural,
		               task_partition_count(fold->task, fold->task->service->input), fold->task->partition);
	return OK;
}

enum status task_fold_publisher(struct fold *fold, struct err *err)
{
	struct task *task = fold->task;
	const struct log_record *record = fold->record;
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	enum status status = check_size(record, err);
	if (status != OK)
		return status;
	if (record->value.len < 0 ||
	    !event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len))
		return err_set(err, REJECT, "unknown_form",
		               "the value is not in Avro's single-object encoding (C3 01 ...)");
	const struct accepts *accepts = find_handler(task, fingerprint);
	if (!accepts)
		return err_set(err, REJECT, "unknown_schema", "no event of %s is written with schema %016llx",
		               task->service->input, (unsigned long long)fingerprint);
	if (accepts->handler->type->origin != EVENT_PUBLISHER)
		return err_set(err, REJECT, "not_numbered", "%s is a worker's event and has no `tandem` header",
		               accepts->handler->type->name);
	void *event;
	status = decode(task, accepts, body, len, &event, err);
	if (status == OK)
		status = check_key(fold, accepts->handler->type, event, err);
	return status == OK ? handle(fold, accepts->handler, event, err) : status;
}

/* ---- numbered events ---- */

static const struct service_source *find_source(const struct task *task, const struct header_stream *stream)
{
	for (size_t i = 0; i < task->service->source_count; i++) {
		const struct service_source *source = &task->service->sources[i];
		if (strcmp(source->service, stream->service) == 0 && stream->partition >= 0 &&
		    stream->partition < task_partition_count(task, source->input))
			return source;
	}
	return NULL;
}

static void note_gap(struct task *task, const char *service, int32_t partition, uint64_t first_missing, uint64_t number,
                     int64_t offset, enum task_verdict verdict)
{
	struct task_gap *gap = task_gap_put(task, service, partition);
	if (gap->count++ == 0) {
		gap->first_missing = first_missing;
		gap->first_offset = offset;
		gap->verdict = verdict;
	}
	if (number > gap->highest)
		gap->highest = number;
	if (verdict == TASK_FORK) /* the worse of the two stays */
		gap->verdict = verdict;
}

/* The sequence rule. Does not change anything. */
static enum task_verdict judge(const struct task *task, const struct task_stream *last,
                               const struct header_stream *stream, uint64_t fingerprint, const struct log_bytes *key,
                               const uint8_t *body, size_t len)
{
	uint64_t number = last ? last->number : 0;
	if (stream->number < number)
		return TASK_REPEAT;
	if (last && stream->number == number)
		return stream->chain == last->chain ? TASK_REPEAT : TASK_FORK;
	if (stream->number > number + 1)
		return TASK_GAP;
	uint64_t previous = last ? last->chain
	                         : hash_chain_start(task->seal.key, stream->service, stream->partition,
	                                            task->service->input, task->partition);
	uint64_t expected = hash_chain(task->seal.key, previous, stream->number, fingerprint, key, body, len);
	return stream->chain == expected ? TASK_APPLIED : TASK_FORK;
}

static enum status apply_numbered(struct fold *fold, const struct header_stream *stream, uint64_t fingerprint,
                                  const uint8_t *body, size_t len, struct err *err)
{
	struct task *task = fold->task;
	const struct accepts *accepts = find_handler(task, fingerprint);
	if (!accepts)
		return err_set(
			err, FATAL, "unknown_schema",
			"number %llu of %s/%d is written with schema %016llx, which this program does not know; run a"
			" newer program, or restore the log",
			(unsigned long long)stream->number, stream->service, stream->partition,
			(unsigned long long)fingerprint);
	const struct event_type *type = accepts->handler->type;
	if (type->origin != EVENT_WORKER)
		return err_set(
			err, FATAL, "numbered_publisher_event",
			"number %llu of %s/%d is a %s, which only publishers send: a fault of the program that wrote it;"
			" restore the topic without it",
			(unsigned long long)stream->number, stream->service, stream->partition, type->name);
	void *event;
	enum status status = decode(task, accepts, body, len, &event, err);
	if (status == OK)
		status = handle(fold, accepts->handler, event, err);
	if (status != REJECT && (status != FATAL || task_blames_file(err)))
		return status;
	return err_context(
		err, FATAL,
		"%s number %llu of %s/%d cannot be applied, and is never skipped: run a program that can, or restore the"
		" log",
		type->name, (unsigned long long)stream->number, stream->service, stream->partition);
}

static enum status fold_numbered(struct fold *fold, const struct header_stream *stream, enum task_verdict *verdict,
                                 struct err *err)
{
	struct task *task = fold->task;
	const struct log_record *record = fold->record;
	const struct service_source *source = find_source(task, stream);
	if (!source || stream->keyed != task->seal.keyed) {
		*verdict = TASK_UNKNOWN_SOURCE;
		note_gap(task, "", GAP_UNKNOWN_PARTITION, 0, 0, record->offset, TASK_UNKNOWN_SOURCE);
		return OK;
	}
	uint64_t fingerprint = 0;
	const uint8_t *body = record->value.data;
	size_t len = record->value.len > 0 ? (size_t)record->value.len : 0;
	if (!event_split(body, len, &fingerprint, &body, &len))
		fingerprint = 0;
	struct task_stream *last = streams_get(&task->inbound, source->service, stream->partition);
	*verdict = judge(task, last, stream, fingerprint, &record->key, body, len);
	if (*verdict == TASK_GAP || *verdict == TASK_FORK)
		note_gap(task, source->service, stream->partition, (last ? last->number : 0) + 1, stream->number,
		         record->offset, *verdict);
	if (*verdict != TASK_APPLIED)
		return OK;
	last = streams_put(task, &task->inbound, source->service, stream->partition);
	last->number = stream->number;
	last->chain = stream->chain;
	streams_touch(&task->inbound, last);
	task_gap_close(task, source->service, stream->partition, stream->number);
	fold->source_partition = stream->partition;
	return apply_numbered(fold, stream, fingerprint, body, len, err);
}

/* ---- control records ---- */

static enum status logic_version(struct task *task, int32_t version, struct err *err)
{
	if (version < 1 || version > task->service->logic_version)
		return err_set(
			err, FATAL, "unknown_version",
			"the log asks for logic version %d from here on, this program knows up to %d; run a newer program",
			version, task->service->logic_version);
	if (version >
	    task->position.logic_version) /* one that comes again, later than its follower, takes nothing back */
		task->position.logic_version = version;
	return OK;
}

static enum status fold_control(struct fold *fold, struct err *err)
{
	struct task *task = fold->task;
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	const struct log_bytes *value = &fold->record->value;
	if (value->len < 0 || !event_split(value->data, (size_t)value->len, &fingerprint, &body, &len))
		return err_set(
			err, FATAL, "unknown_control",
			"a control record whose value is not single-object encoded, as no program of Tandem writes it; restore"
			" the topic without it");
	const struct event_type *type = event_type_of_writer(fingerprint);
	if (type == &genesis_type) /* at offset 0 it was taken before; elsewhere it changes nothing */
		return OK;
	if (type == &logic_version_type) {
		struct logic_version version;
		enum status status = event_decode(type, fingerprint, body, len, &task->decoded, &version, err);
		return status == OK ? logic_version(task, version.logic_version, err) : FATAL;
	}
	if (type == &letter_discarded_type) {
		struct letter_discarded event;
		enum status status = event_decode(type, fingerprint, body, len, &task->decoded, &event, err);
		return status == OK ? task_discard_letter(fold, &event, err) : FATAL;
	}
	return err_set(err, FATAL, "unknown_control",
	               "a control record with schema %016llx, which this program does not know; run a newer program, or"
	               " restore the topic without it",
	               (unsigned long long)fingerprint);
}

/* ---- one record ---- */

static enum status take_first(struct task *task, const struct log_record *record, struct err *err)
{
	struct genesis genesis;
	enum status status =
		genesis_parse(record, task->service->input, task->partition, &task->decoded, &genesis, err);
	if (status == OK)
		status = seal_genesis(record, &genesis, task->secret, err);
	return status == OK ? task_take_genesis(task, &genesis, err) : status;
}

static void consume(struct task *task, const struct log_record *record)
{
	struct task_position *position = &task->position;
	position->last_offset = record->offset;
	position->next_offset = record->offset + 1;
	position->last_hash = hash_record(task->seal.key, record);
	position->input_hash = hash_running_input(task->seal.key, position->input_hash, position->last_hash);
}

static enum status apply(struct fold *fold, enum task_verdict *verdict, struct err *err)
{
	struct header_stream stream;
	*verdict = TASK_APPLIED;
	if (!seal_holds(&fold->task->seal, fold->task->service->input, fold->task->partition, fold->record)) {
		*verdict = TASK_FORGED;
		note_gap(fold->task, "", GAP_FORGED_PARTITION, 0, 0, fold->record->offset, TASK_FORGED);
		return OK;
	}
	if (genesis_is_control(fold->record)) {
		*verdict = TASK_CONTROL;
		return fold_control(fold, err);
	}
	switch (header_stream_parse(fold->record, &stream)) {
	case HEADER_NONE:
		/* Most records have no header, and most services hold nothing. */
		if (fold->task->service->holds_rejected_keys ||
		    (fold->record->header_count && header_find(fold->record, REDRIVE_HEADER)))
			return task_fold_letter(fold, verdict, err);
		return task_fold_publisher(fold, err);
	case HEADER_VALID:
		return fold_numbered(fold, &stream, verdict, err);
	case HEADER_NEWER:
		return err_set(
			err, FATAL, "newer_header",
			"a `tandem` header of a newer version than this program knows; run a newer program, or restore the"
			" topic without it");
	default:
		*verdict = TASK_UNKNOWN_SOURCE;
		note_gap(fold->task, "", GAP_UNKNOWN_PARTITION, 0, 0, fold->record->offset, TASK_UNKNOWN_SOURCE);
		return OK;
	}
}

static enum status fold_one(struct task *task, const struct log_record *record, enum task_verdict *verdict,
                            struct err *err)
{
	enum status status = store_in_transaction(task->store) ? OK : store_begin(task->store, err);
	if (status == OK && !task->has_genesis)
		status = take_first(task, record, err);
	if (status != OK)
		return status;
	consume(task, record);
	struct fold fold = {.task = task, .record = record, .source_partition = -1};
	fold.stream_time_ms = record->timestamp_ms > task->stream_time_ms ? record->timestamp_ms : task->stream_time_ms;
	status = apply(&fold, verdict, err);
	if (status == REJECT) {
		task_send_letter(&fold, err);
		*verdict = TASK_REJECTED;
		status = OK;
	} else if (status == OK && *verdict == TASK_APPLIED) {
		task->stream_time_ms = fold.stream_time_ms;
	}
	if (status == OK && *verdict != TASK_HELD)
		task->counts[*verdict]++;
	return status;
}

enum status task_fold(struct task *task, const struct log_record *record, enum task_verdict *verdict, struct err *err)
{
	struct err own = {0};
	if (!err)
		err = &own;
	arena_reset(&task->decoded);
	arena_reset(&task->emitted);
	task->output_count = 0;
	const struct task_position *position = &task->position;
	if (record->offset < position->next_offset || (!task->has_genesis && record->offset > 0))
		return err_set(
			err, FATAL, "out_of_order",
			"%s/%d gave record %lld where %lld%s was expected: a fault of the log. It is read again from"
			" the last commit; if that does not help, look at the log's side and restore the topic",
			task->service->input, task->partition, (long long)record->offset,
			(long long)position->next_offset, task->has_genesis ? " or a later one" : "");
	enum status status = fold_one(task, record, verdict, err);
	if (status != OK) {
		task->output_count = 0;
		task_file_advice(status, err);
		if (status == FATAL)
			err_context(err, status, "%s/%d offset %lld", task->service->input, task->partition,
			            (long long)record->offset);
	}
	return status;
}

const struct task_output *task_outputs(const struct task *task, size_t *count)
{
	*count = task->output_count;
	return task->outputs;
}

const struct err *task_rejection(const struct task *task)
{
	return &task->rejection;
}
