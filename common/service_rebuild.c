/* tandem SERVICE rebuild */
#include "service_args.h"

#include "command.h"
#include "interrupt.h"
#include "progress.h"
#include "rebuild.h"
#include "seam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES (64 << 20) /* one partition at a time: what is held need not be written twice */

static int rebuild_one(const struct service_args *args, int32_t partition)
{
	struct err err = {0};
	struct progress progress;
	int64_t records;
	const struct rebuild_config config = {.service = args->service,
	                                      .log = args->log,
	                                      .data = args->data,
	                                      .partition = partition,
	                                      .memory_bytes = MEMORY_BYTES,
	                                      .progress = service_progress,
	                                      .arg = &progress};
	progress_start(&progress, &seam_system, "records folded", 0);
	enum status status = rebuild_partition(&config, &records, &err);
	progress_end(&progress);
	if (status == OK) {
		printf("%s/%d rebuilt from %lld records, up to the mark; `run` goes on from there\n",
		       args->service->name, partition, (long long)records);
		return EXIT_DONE;
	}
	service_say(args, "rebuild", &err);
	return status == REJECT || err_is(&err, "interrupted") ? EXIT_PARTLY : config_exit_status(&err);
}

static int rebuild_all(const struct service_args *args)
{
	int exit_status = EXIT_DONE;
	for (size_t i = 0; i < args->chosen.count; i++) {
		if (interrupt_requested())
			return exit_status == EXIT_DONE ? EXIT_PARTLY : exit_status;
		int one = rebuild_one(args, args->chosen.items[i]);
		if (one != EXIT_DONE && exit_status != EXIT_FAILED)
			exit_status = one;
	}
	return exit_status;
}

/* The way out where the marks are of a history that the log no longer has. */
static int delete_marks(const struct service_args *args)
{
	struct err err = {0};
	char group[128];
	snprintf(group, sizeof group, "tandem-%s", args->service->name);
	enum status status = log_group_delete(args->log, group, &err);
	if (status != OK) {
		if (err_is(&err, "group_busy"))
			err_context(&err, status, "stop the workers first");
		service_say(args, "rebuild", &err);
		return config_exit_status(&err);
	}
	printf("%s: the marks of all partitions are deleted; `run` sends what it folds, from each file on or from the beginning\n",
	       log_full_name(args->log, group));
	return EXIT_DONE;
}

int service_rebuild(const struct service *service, int argc, char **argv)
{
	struct service_args args = {.service = service, .data = "data", .folds = true};
	bool marks = false;
	const struct config_option options[] = {
		SERVICE_DATA_OPTION(&args),
		SERVICE_PARTITIONS_OPTION(&args, "only these, like 0,2-4"),
		{.name = "delete-marks",
	         .kind = CONFIG_FLAG,
	         .value = &marks,
	         .help = "rebuild nothing: delete the marks of all partitions, so that `run` sends everything again"},
	};
	char usage[SERVICE_USAGE_ROOM];
	service_usage(usage, service, "rebuild [options]");
	const struct config_program program = {
		.usage = usage,
		.summary =
			"Makes task files again from the log, up to the mark, and checks them there. The worker must not run\n"
			"on them. `run` does the same by itself when a file is not there; this does it before. Exit status 3:\n"
			"a partition has no mark, nothing was done there.",
		.examples = "  tandem order rebuild -b localhost:9092 --data state\n"
			    "  tandem inventory rebuild --log local:demo --data state -p 1\n"
			    "  tandem order rebuild -b localhost:9092 --delete-marks\n",
		.options = options,
		.option_count = COUNT_OF(options)};
	int exit_status;
	interrupt_install();
	if (!service_args_open(&args, &program, argc, argv, &exit_status))
		return exit_status;
	exit_status = marks ? delete_marks(&args) : rebuild_all(&args);
	service_args_close(&args);
	return exit_status;
}
