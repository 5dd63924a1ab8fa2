/* A whole task, of either service, fed any records (script.h says how an input is read): it refuses in words that are
 * documented, what it gives out is well-formed, and `verify` holds: folded afresh, with a COMMIT behind every record and
 * unordered rows the other way round, the same rows, outputs and refusal. */
#include "genesis.h"
#include "header.h"
#include "record_view.h"
#include "redrive.h"
#include "script.h"
#include "task.h"
#include "verify.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two connections of SQLite's with their tables and statements; a byte of a record stands in arenas, rows and pages. */
#define PER_BYTE 512
#define BASE     (8 * 1024 * 1024)

/* Every way a record may halt its task (docs/operations.md). Anything else from task_fold is a fault of ours. */
static const char *const refusals[] = {
	"no_genesis",         "bad_genesis",
	"unknown_version",    "foreign_log",
	"unknown_control",    "newer_header",
	"unknown_schema",     "malformed",
	"unknown_order",      "contradiction",
	"malformed_command",  "not_owned",
	"illegal_transition", "numbered_publisher_event",
};

struct outcome {
	uint64_t taken[SCRIPT_INVENTORIES]; /* of each source partition: the last number applied */
	size_t folded;                      /* records */
	size_t committed;                   /* records that the last commit held */
	struct err why;                     /* where it halted; code NULL where not */
	uint64_t outputs;                   /* a hash over all of them, headers included */
};

static struct task *open_task(const struct script *script, bool reverse)
{
	struct task *task = NULL;
	struct err err = {0};
	const struct task_config config = {
		.service = script->service, .partition = script->partition, .reverse = reverse};
	FUZZ_MUST(task_open(&config, &task, &err) == OK, "%s", err.text);
	return task;
}

static bool is_documented(const struct err *err)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (err_is(err, refusals[i]))
			return true;
	return false;
}

/* ---- what it gives out ---- */

static bool is_printable(const void *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((const uint8_t *)text)[i] < 0x20 || ((const uint8_t *)text)[i] == 0x7f)
			return false;
	return wire_text_valid(text, len);
}

static void check_text_header(const struct log_record *record, const char *name)
{
	const struct log_header *header = header_find(record, name);
	FUZZ_MUST(!header || is_printable(header->value.data, (size_t)header->value.len), "%s: %.*s", name,
	          header->value.len, (const char *)header->value.data);
}

static void check_event(const struct task_output *output)
{
	struct record_view view;
	struct arena arena = {0};
	record_view(&output->record, &arena, &view);
	FUZZ_MUST(view.event && view.type == output->type, "%s: %s", output->type->name, view.why);
	FUZZ_MUST(output->record.key.len > 0, "%s without a key", output->type->name);
	const struct log_header *trace = header_find(&output->record, "traceparent");
	FUZZ_MUST(!trace || header_trace_valid(trace), "%.*s", trace->value.len, (const char *)trace->value.data);
	check_text_header(&output->record, "ce_id");
	check_text_header(&output->record, "ce_source");
	arena_fini(&arena);
}

static bool same_bytes(const struct log_bytes *a, const struct log_bytes *b)
{
	return a->len == b->len && (a->len < 1 || memcmp(a->data, b->data, (size_t)a->len) == 0);
}

static void check_dead_letter(const struct task_output *output)
{
	const struct log_header *reason = header_find(&output->record, "kafka_dlt-exception-message");
	FUZZ_MUST(output->record.header_count >= 8, "%zu headers", output->record.header_count);
	for (size_t i = 0; i < output->record.header_count; i++)
		if (strcmp(output->record.headers[i].name, "kafka_dlt-exception-message") == 0)
			reason = &output->record.headers[i]; /* the last one is ours */
	FUZZ_MUST(reason && reason->value.len > 0 && is_printable(reason->value.data, (size_t)reason->value.len),
	          "no message that can be read");
}

/* Of the record that was just folded, which is so where nothing is held. */
static void check_letter_of(const struct task_output *output, const struct log_record *record)
{
	FUZZ_MUST(same_bytes(&output->record.key, &record->key) && same_bytes(&output->record.value, &record->value),
	          "a dead letter with another key or value");
	FUZZ_MUST(output->record.header_count >= record->header_count + 8, "%zu headers", output->record.header_count);
}

static void check_outputs(const struct script *script, const struct task *task, const struct log_record *record,
                          enum task_verdict verdict)
{
	size_t count;
	const struct task_output *outputs = task_outputs(task, &count);
	FUZZ_MUST(script->holds || count == 0 || verdict == TASK_APPLIED || verdict == TASK_REJECTED, "outputs of %s",
	          task_verdict_name(verdict));
	FUZZ_MUST(script->holds || verdict != TASK_REJECTED || (count == 1 && !outputs[0].type),
	          "%zu outputs of a dead letter", count);
	for (size_t i = 0; i < count; i++) {
		const struct task_output *output = &outputs[i];
		struct header_stream stream;
		FUZZ_MUST(output->partition >= 0 && output->partition < task_partition_count(task, output->topic),
		          "%s/%d", output->topic, output->partition);
		FUZZ_MUST(header_stream_parse(&output->record, &stream) == HEADER_VALID &&
		                  stream.number == output->number && stream.chain == output->chain,
		          "%s/%d number %llu", output->topic, output->partition, (unsigned long long)output->number);
		if (output->type)
			check_event(output);
		else
			check_dead_letter(output);
		if (!output->type && !script->holds)
			check_letter_of(output, record);
	}
}

static void hash_outputs(const struct task *task, struct outcome *outcome)
{
	size_t count;
	const struct task_output *outputs = task_outputs(task, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t record = hash_record((const uint8_t *)"0123456789abcdef", &outputs[i].record);
		outcome->outputs =
			hash_running_output((const uint8_t *)"0123456789abcdef", outcome->outputs, outputs[i].topic,
		                            outputs[i].partition, outputs[i].number, record);
	}
}

/* The rule of a stream, said once more: the next number is applied or a fork, one that was is a repeat or a fork, any other
 * leaves a gap. */
static void check_number(const struct script *script, const struct log_record *record, enum task_verdict verdict,
                         struct outcome *outcome)
{
	struct header_stream stream;
	enum header_found found = header_stream_parse(record, &stream);
	if (genesis_is_control(record)) {
		FUZZ_MUST(verdict == TASK_CONTROL, "%s", task_verdict_name(verdict));
		return;
	}
	if (found == HEADER_NONE) {
		bool again = verdict == TASK_REPEAT && header_find(record, REDRIVE_HEADER);
		bool waits = verdict == TASK_HELD && script->holds;
		FUZZ_MUST(verdict == TASK_APPLIED || verdict == TASK_REJECTED || again || waits, "%s",
		          task_verdict_name(verdict));
		return;
	}
	int32_t sources = script->which == SCRIPT_ORDER ? SCRIPT_INVENTORIES : SCRIPT_ORDERS;
	if (found != HEADER_VALID || stream.partition >= sources ||
	    strcmp(stream.service, script->service->sources[0].service) != 0) {
		FUZZ_MUST(verdict == TASK_UNKNOWN_SOURCE, "%s", task_verdict_name(verdict));
		return;
	}
	uint64_t *last = &outcome->taken[stream.partition];
	bool next = stream.number == *last + 1, fits = verdict == TASK_FORK;
	if (next)
		fits = fits || verdict == TASK_APPLIED;
	else if (stream.number <= *last)
		fits = verdict == TASK_REPEAT || (fits && stream.number == *last);
	else
		fits = verdict == TASK_GAP;
	FUZZ_MUST(fits, "number %llu behind %llu: %s", (unsigned long long)stream.number, (unsigned long long)*last,
	          task_verdict_name(verdict));
	if (verdict == TASK_APPLIED)
		*last = stream.number;
}

/* What came is what is there or went out, and what is reserved is reserved for somebody. */
static void check_stock(struct task *task)
{
	static const char *const wrong[] = {
		"SELECT sku FROM stock WHERE received IS NOT (SELECT sum(quantity) FROM receipt WHERE receipt.sku = stock.sku)",
		"SELECT sku FROM stock WHERE reserved IS NOT (SELECT ifnull(sum(value), 0)"
		" FROM reservation, json_each(lines) WHERE status = 1 AND key = stock.sku)",
		"SELECT sku FROM stock WHERE received - on_hand IS NOT (SELECT ifnull(sum(value), 0)"
		" FROM reservation, json_each(lines) WHERE status = 2 AND key = stock.sku)",
	};
	struct store_statement *statement;
	struct err err = {0};
	bool row;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		FUZZ_MUST(store_prepare(task_store(task), wrong[i], &statement, &err) == OK, "%s", err.text);
		FUZZ_MUST(store_step(statement, &row, &err) == OK, "%s", err.text);
		FUZZ_MUST(!row, "%s: %s", store_text(statement, 0), wrong[i]);
		store_done(statement);
	}
}

/* ---- folding ---- */

static void commit(struct task *task, struct outcome *outcome)
{
	struct err err = {0};
	FUZZ_MUST(task_commit(task, &err) == OK, "%s", err.text);
	outcome->committed = outcome->folded;
}

/* With FUZZ_SAY in the environment: what became of each record. */
static void say(const struct script *script, const struct outcome *outcome, const char *verdict)
{
	static int wanted = -1;
	if (wanted < 0)
		wanted = getenv("FUZZ_SAY") != NULL;
	if (!wanted)
		return;
	const struct log_record *record = &script->records[outcome->folded];
	struct arena arena = {0};
	struct buf line = {0};
	struct record_view view;
	record_view(record, &arena, &view);
	record_view_line(&view, script->service->input, &line);
	printf("%s %s: %.*s\n", verdict, outcome->why.text, (int)line.len, (const char *)line.data);
	arena_fini(&arena);
	buf_fini(&line);
}

/* Folds from where the outcome is up to this record. each: a commit behind every one. */
static void fold(struct task *task, const struct script *script, size_t until, bool each, struct outcome *outcome)
{
	while (outcome->folded < until && !outcome->why.code) {
		const struct log_record *record = &script->records[outcome->folded];
		enum task_verdict verdict = TASK_VERDICTS;
		enum status status = task_fold(task, record, &verdict, &outcome->why);
		say(script, outcome, status == OK ? task_verdict_name(verdict) : "halts");
		if (status != OK) {
			FUZZ_MUST(status == FATAL && is_documented(&outcome->why), "%d %s: %s", status,
			          outcome->why.code, outcome->why.text);
			return;
		}
		outcome->why = (struct err){0}; /* why a dead letter was one */
		FUZZ_MUST(verdict < TASK_VERDICTS, "%d", verdict);
		check_number(script, record, verdict, outcome);
		check_outputs(script, task, record, verdict);
		hash_outputs(task, outcome);
		outcome->folded++;
		if (each || script->commit[outcome->folded - 1])
			commit(task, outcome);
	}
}

static void compare(struct task *file, struct task *folded)
{
	struct verify_result result;
	struct err err = {0};
	const struct verify_difference *d = &result.difference;
	FUZZ_MUST(verify_tasks(file, folded, &result, &err) == OK, "%s", err.text);
	FUZZ_MUST(result.same, "%s %s %s: %s, folded afresh %s", d->table, d->key, d->column, d->file, d->folded);
}

static void fold_twice(const struct script *script)
{
	struct task *file = open_task(script, false), *afresh = open_task(script, true);
	struct outcome first = {0}, second = {0};
	fold(file, script, script->count, false, &first);
	if (!first.why.code)
		commit(file, &first);
	else if (store_in_transaction(task_store(file))) /* as the file of a halted task */
		store_exec(task_store(file), "ROLLBACK", NULL);
	fold(afresh, script, first.committed, true, &second);
	FUZZ_MUST(second.folded == first.committed, "%zu records and %zu", first.committed, second.folded);
	compare(file, afresh);
	if (script->which == SCRIPT_INVENTORY)
		check_stock(file);
	/* And on to where the first one halted: at the same record, in the same words. */
	fold(afresh, script, script->count, true, &second);
	FUZZ_MUST(first.folded == second.folded && first.outputs == second.outputs &&
	                  strcmp(first.why.text, second.why.text) == 0,
	          "%zu and %zu records: %s, then %s", first.folded, second.folded, first.why.text, second.why.text);
	task_close(file);
	task_close(afresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script script;
	script_read(&script, data, size);
	memory_begin();
	fold_twice(&script);
	FUZZ_WITHIN("task", memory_end(), script.bytes, PER_BYTE, BASE);
	script_fini(&script);
	return 0;
}
