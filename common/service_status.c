/* tandem SERVICE status: one row a partition, then what is wrong and what to do. */
#include "service_args.h"

#include "command.h"
#include "json.h"
#include "seam.h"
#include "status.h"

#include <inttypes.h>
#include <stdio.h>

static const char examples[] = "  tandem order status --log local:demo --data state\n"
			       "  tandem inventory status -b localhost:9092 --data state -J | jq .lag\n";

static void number_or_dash(int64_t number)
{
	if (number < 0)
		printf(" %10s", "-");
	else
		printf(" %10lld", (long long)number);
}

static void print_row(const struct service_args *args, const struct status_report *report)
{
	printf("%-16s %-12s %9d", args->service->name, args->service->input, report->partition);
	number_or_dash(report->has_file ? report->next_offset : -1);
	number_or_dash(report->end);
	number_or_dash(report->lag);
	printf(" %9lld %7zu %8lld  %016" PRIx64 " %016" PRIx64 " %s\n", (long long)report->rows,
	       report->inbound_count + report->outbound_count, (long long)report->rejected, report->input_hash,
	       report->output_hash, status_state_text(report));
}

static bool is_wrong(const struct status_report *report)
{
	for (size_t i = 0; i < report->gap_count; i++)
		if (report->gaps[i].standing && *report->gaps[i].service)
			return true;
	return report->halted || report->held_keys;
}

static void print_problems(const struct service_args *args, const struct status_report *report)
{
	if (report->halted)
		printf("%s/%d halted (%s): %s\n", args->service->name, report->partition, report->halt.reason,
		       report->halt.message);
	for (size_t i = 0; i < report->gap_count; i++) {
		const struct status_gap *gap = &report->gaps[i];
		if (*gap->service)
			printf("%s/%d %s in the stream of %s/%d: %lld is missing, %lld came, since offset %lld%s: %s\n",
			       args->service->name, report->partition, gap->verdict, gap->service, gap->partition,
			       (long long)gap->first_missing, (long long)gap->highest, (long long)gap->first_offset,
			       gap->standing ? "" : " (young, may close by itself)", gap->what_to_do);
		else
			printf("%s/%d %lld %s since offset %lld: %s\n", args->service->name, report->partition,
			       (long long)gap->count,
			       gap->partition == -1 ? "records of unknown sources" : "forged records, not applied,",
			       (long long)gap->first_offset, gap->what_to_do);
	}
	for (size_t i = 0; i < report->held_count; i++)
		printf("%s/%d key %s waits for dead letter %lld, and %lld records behind it: %s\n", args->service->name,
		       report->partition, report->held[i].key, (long long)report->held[i].letter,
		       (long long)report->held[i].records, report->held[i].what_to_do);
	if ((int64_t)report->held_count < report->held_keys)
		printf("%s/%d ... and %lld more keys\n", args->service->name, report->partition,
		       (long long)(report->held_keys - (int64_t)report->held_count));
	if (report->log_error)
		fprintf(stderr, "tandem %s status: %s/%d: %s\n", args->service->name, args->service->input,
		        report->partition, report->log_error);
}

static json_t *streams_json(const struct status_stream *streams, size_t count, const char *name)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_pack("{s:s, s:i, s:I}", name, streams[i].name, "partition",
		                                       streams[i].partition, "number", (json_int_t)streams[i].number));
	return array;
}

static json_t *gaps_json(const struct status_report *report)
{
	json_t *array = json_array();
	for (size_t i = 0; i < report->gap_count; i++) {
		const struct status_gap *gap = &report->gaps[i];
		json_array_append_new(array, json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:b, s:s}", "service",
		                                       gap->service, "partition", gap->partition, "verdict",
		                                       gap->verdict, "first_missing", (json_int_t)gap->first_missing,
		                                       "highest", (json_int_t)gap->highest, "first_offset",
		                                       (json_int_t)gap->first_offset, "count", (json_int_t)gap->count,
		                                       "standing", gap->standing, "what_to_do", gap->what_to_do));
	}
	return array;
}

static json_t *held_json(const struct status_report *report)
{
	json_t *array = json_array();
	for (size_t i = 0; i < report->held_count; i++)
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:s}", "key", report->held[i].key, "letter",
		                                       (json_int_t)report->held[i].letter, "records",
		                                       (json_int_t)report->held[i].records, "what_to_do",
		                                       report->held[i].what_to_do));
	return json_pack("{s:I, s:I, s:o}", "keys", (json_int_t)report->held_keys, "records",
	                 (json_int_t)report->held_records, "shown", array);
}

static json_t *report_json(const struct service_args *args, const struct status_report *report)
{
	char input[17], output[17];
	snprintf(input, sizeof input, "%016" PRIx64, report->input_hash);
	snprintf(output, sizeof output, "%016" PRIx64, report->output_hash);
	json_t *json = json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "service",
	                         args->service->name, "topic", args->service->input, "partition", report->partition,
	                         "state", status_state_text(report), "next_offset", (json_int_t)report->next_offset, "end",
	                         (json_int_t)report->end, "lag", (json_int_t)report->lag, "rows",
	                         (json_int_t)report->rows, "applied", (json_int_t)report->applied, "rejected",
	                         (json_int_t)report->rejected, "repeats", (json_int_t)report->repeats, "forged",
	                         (json_int_t)report->forged, "input_hash", input, "output_hash", output);
	json_object_set_new(json, "inbound", streams_json(report->inbound, report->inbound_count, "service"));
	json_object_set_new(json, "outbound", streams_json(report->outbound, report->outbound_count, "topic"));
	json_object_set_new(json, "gaps", gaps_json(report));
	json_object_set_new(json, "held", held_json(report));
	json_object_set_new(json, "pid", report->running ? json_integer(report->pid) : json_null());
	json_object_set_new(json, "halt",
	                    report->halted
	                            ? json_pack("{s:s, s:s, s:I}", "reason", report->halt.reason, "message",
	                                        report->halt.message, "since_ms", (json_int_t)report->halt.since_ms)
	                            : json_null());
	return json;
}

static int show_all(struct service_args *args)
{
	struct arena arena = {0};
	struct status_report *reports = arena_alloc(&arena, args->chosen.count * sizeof *reports);
	int exit_status = EXIT_DONE;
	if (!args->json)
		printf("%-16s %-12s %9s %10s %10s %10s %9s %7s %8s  %-16s %-16s %s\n", "SERVICE", "TOPIC", "PARTITION",
		       "NEXT", "END", "LAG", "ROWS", "STREAMS", "REJECTED", "INPUT-HASH", "OUTPUT-HASH", "STATE");
	for (size_t i = 0; i < args->chosen.count; i++) {
		struct err err = {0};
		enum status status = status_read(args->service, args->data, args->chosen.items[i], args->log,
		                                 &seam_system, &arena, &reports[i], &err);
		if (status != OK) {
			service_say(args, "status", &err);
			exit_status = EXIT_FAILED;
		}
		if (args->json)
			json_print_line(stdout, report_json(args, &reports[i]));
		else
			print_row(args, &reports[i]);
	}
	for (size_t i = 0; i < args->chosen.count; i++) {
		if (!args->json)
			print_problems(args, &reports[i]);
		if (is_wrong(&reports[i]))
			exit_status = EXIT_FAILED;
	}
	arena_fini(&arena);
	return exit_status;
}

int service_status(const struct service *service, int argc, char **argv)
{
	struct service_args args = {.service = service, .data = "data"};
	const struct config_option options[] = {
		SERVICE_DATA_OPTION(&args),
		SERVICE_PARTITIONS_OPTION(&args, "only these, like 0,2-4"),
		SERVICE_JSON_OPTION(&args),
	};
	char usage[SERVICE_USAGE_ROOM];
	service_usage(usage, service, "status [options]");
	const struct config_program program = {
		.usage = usage,
		.summary =
			"Shows every partition: position, end, lag, rows, streams, hashes; then halts and gaps with what to do.\n"
			"Disturbs no running worker. Exit status 1: a task is halted, a gap has stood for 30 s, or\n"
			"a key's events wait behind a dead letter.",
		.examples = examples,
		.options = options,
		.option_count = COUNT_OF(options)};
	int exit_status;
	if (!service_args_open(&args, &program, argc, argv, &exit_status))
		return exit_status;
	exit_status = show_all(&args);
	service_args_close(&args);
	return exit_status;
}
