/* tandem SERVICE resend */
#include "service_args.h"

#include "command.h"
#include "interrupt.h"
#include "json.h"
#include "progress.h"
#include "resend.h"
#include "seam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resend_run {
	struct service_args args;
	const char *to;
	int64_t from;
	bool dry_run;
};

static bool parse_to(const char *to, char topic[128], int32_t *partition)
{
	const char *slash = to ? strrchr(to, '/') : NULL;
	char *end;
	if (!slash || slash == to || (size_t)(slash - to) >= 128 || slash[1] < '0' || slash[1] > '9')
		return false;
	long number = strtol(slash + 1, &end, 10);
	if (*end || number >= PARTITIONS_MAX)
		return false;
	memcpy(topic, to, (size_t)(slash - to));
	topic[slash - to] = 0;
	*partition = (int32_t)number;
	return true;
}

static int resend_one(const struct resend_run *run, int32_t partition, const char *topic, int32_t to_partition)
{
	const struct service_args *args = &run->args;
	struct err err = {0};
	struct resend_result result;
	struct progress progress;
	const struct resend_config config = {.service = args->service,
	                                     .log = args->log,
	                                     .partition = partition,
	                                     .topic = topic,
	                                     .to_partition = to_partition,
	                                     .from = run->from,
	                                     .dry_run = run->dry_run,
	                                     .progress = service_progress,
	                                     .arg = &progress};
	progress_start(&progress, &seam_system, "records folded", 0);
	enum status status = resend_stream(&config, &result, &err);
	progress_end(&progress);
	if (status == REJECT)
		return config_misuse(&args->config, "--to: %s", err.text);
	if (args->json)
		json_print_line(stdout,
		                json_pack("{s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:b}", "service",
		                          args->service->name, "partition", partition, "topic", topic, "to_partition",
		                          to_partition, "folded", (json_int_t)result.folded, "sent",
		                          (json_int_t)result.sent, "first", (json_int_t)result.first, "last",
		                          (json_int_t)result.last, "rounds", result.rounds, "done", status == OK));
	else
		printf("%s/%d to %s/%d: %lld records folded, %lld outputs %s", args->service->name, partition, topic,
		       to_partition, (long long)result.folded, (long long)result.sent,
		       run->dry_run ? "would be sent" : "sent");
	if (!args->json && result.last)
		printf(", numbers %lld to %lld", (long long)result.first, (long long)result.last);
	if (!args->json)
		printf("\n");
	if (status == OK)
		return EXIT_DONE;
	service_say(args, "resend", &err);
	return result.sent ? EXIT_PARTLY : config_exit_status(&err);
}

int service_resend(const struct service *service, int argc, char **argv)
{
	struct resend_run run = {.args = {.service = service, .folds = true}, .from = 1};
	const struct config_option options[] = {
		SERVICE_PARTITIONS_OPTION(&run.args, "source partitions, like 0,2-4 (all)"),
		{.name = "to",
	         .kind = CONFIG_TEXT,
	         .value = &run.to,
	         .placeholder = "TOPIC/P",
	         .help = "the destination (required)"},
		{.name = "from",
	         .kind = CONFIG_INT,
	         .value = &run.from,
	         .min = 1,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "the first number to send"},
		CONFIG_DRY_RUN_OPTION(&run.dry_run, "count, send nothing"),
		SERVICE_JSON_OPTION(&run.args),
	};
	char usage[SERVICE_USAGE_ROOM], topic[128];
	service_usage(usage, service, "resend --to TOPIC/P [--from N] [options]");
	const struct config_program program = {
		.usage = usage,
		.summary =
			"Folds the input again with its state thrown away, and sends what goes to one destination partition.\n"
			"Readers drop repeats: it is safe at any time, beside running workers. Heals a stream whose\n"
			"destination lost what it had acknowledged; every gap report prints the command.",
		.examples = "  tandem order resend -b localhost:9092 --to inventory/1 --from 4711\n"
			    "  tandem order resend -b localhost:9092 --partitions 3 --to order-events/3 --from 1\n",
		.options = options,
		.option_count = COUNT_OF(options)};
	int exit_status;
	int32_t to_partition = 0;
	interrupt_install();
	if (!service_args_open(&run.args, &program, argc, argv, &exit_status))
		return exit_status;
	exit_status = EXIT_DONE;
	if (!run.to)
		exit_status = config_misuse(&run.args.config,
		                            "found no --to, expected --to TOPIC/PARTITION, like inventory/1");
	else if (!parse_to(run.to, topic, &to_partition))
		exit_status = config_misuse(&run.args.config,
		                            "--to: found '%s', expected TOPIC/PARTITION, like inventory/1", run.to);
	for (size_t i = 0; i < run.args.chosen.count && exit_status == EXIT_DONE; i++)
		exit_status = interrupt_requested() ? EXIT_PARTLY
		                                    : resend_one(&run, run.args.chosen.items[i], topic, to_partition);
	service_args_close(&run.args);
	return exit_status;
}
