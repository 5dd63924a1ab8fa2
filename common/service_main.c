#include "service_main.h"

#include "command.h"
#include "mem.h"
#include "service_args.h"

#include "genesis.h"
#include "interrupt.h"
#include "progress.h"
#include "seal.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *summary;
	int (*main)(const struct service *service, int argc, char **argv);
} actions[] = {
	{"run", "fold the input, for ever or until its end", service_run},
	{"status", "positions, lag, gaps and halts of every partition", service_status},
	{"verify", "fold the log afresh and compare it with the files", service_verify},
	{"rebuild", "make lost files again, up to the mark", service_rebuild},
	{"resend", "send a stream again whose destination has lost records", service_resend},
};

static void help(FILE *out, const struct service *service)
{
	fprintf(out, "usage: tandem %s ACTION [options]\n\nThe %s worker %s.\nInput topic: %s\n\nactions:\n",
	        service->name, service->name, service->summary, service->input);
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		fprintf(out, "  %-9s %s\n", actions[i].name, actions[i].summary);
	fprintf(out,
	        "\nexamples:\n"
	        "  tandem %s run --log local:demo --data state        runs until it is told to stop\n"
	        "  tandem %s verify -b localhost:9092 --data state    is the state what the log determines?\n"
	        "\n'tandem %s ACTION --help' tells more.\n",
	        service->name, service->name, service->name);
}

int service_main(const struct service *service, int argc, char **argv)
{
	if (argc < 2) {
		help(stderr, service);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help(stdout, service);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (strcmp(argv[1], actions[i].name) == 0)
			return actions[i].main(service, argc - 1, argv + 1);
	fprintf(stderr, "tandem %s: '%s' is none of run, status, verify, rebuild, resend\nTry 'tandem %s --help'.\n",
	        service->name, argv[1], service->name);
	return EXIT_USAGE;
}

void service_usage(char usage[SERVICE_USAGE_ROOM], const struct service *service, const char *action)
{
	snprintf(usage, SERVICE_USAGE_ROOM, "tandem %s %s", service->name, action);
}

/* Before anything is folded: that the secret is the wrong one is said once, not for every partition. What else is wrong with the
 * log is not told here. */
static enum status check_secret(const struct service_args *args, struct err *err)
{
	struct arena arena = {0};
	struct genesis genesis;
	struct seal seal;
	enum status status = genesis_read(args->log, args->service->input, 0, &arena, &genesis, err);
	if (status == OK)
		status = seal_open(genesis.installation, genesis.chain == CHAIN_KEY_KEYED, log_secret(args->log), &seal,
		                   err);
	arena_fini(&arena);
	return err_is(err, "secret") ? status : OK;
}

bool service_args_parse(struct service_args *args, const struct config_program *program, int argc, char **argv,
                        int *exit_status)
{
	*exit_status = -1;
	config_parse(program, argc, argv, &args->config, exit_status);
	if (*exit_status >= 0)
		return false;
	*exit_status = config_no_operands(&args->config);
	if (*exit_status < 0)
		return true;
	service_args_close(args);
	return false;
}

bool service_args_open(struct service_args *args, const struct config_program *program, int argc, char **argv,
                       int *exit_status)
{
	if (!service_args_parse(args, program, argc, argv, exit_status))
		return false;
	args->log = config_open_log(&args->config, exit_status);
	if (!args->log) {
		service_args_close(args);
		return false;
	}
	struct err err = {0};
	enum status status = args->folds ? check_secret(args, &err) : OK;
	if (status == OK)
		status = partitions_choose(args->log, args->service->input, args->partitions, &args->chosen, &err);
	if (status == OK)
		return true;
	service_say(args, argv[0], &err);
	*exit_status = status == REJECT ? EXIT_USAGE : config_exit_status(&err);
	service_args_close(args);
	return false;
}

void service_args_close(struct service_args *args)
{
	partitions_fini(&args->chosen);
	log_close(args->log);
	args->log = NULL;
	config_free(&args->config);
}

void service_say(const struct service_args *args, const char *what, const struct err *err)
{
	fprintf(stderr, "tandem %s %s: %s\n", args->service->name, what, err->text);
}

bool service_progress(void *arg, int32_t partition, int64_t records)
{
	(void)partition;
	progress_update(arg, records);
	return !interrupt_requested();
}
