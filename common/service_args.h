/* service_args: the options that run, verify, rebuild, status and resend of a worker share. */
#ifndef TANDEM_SERVICE_ARGS_H
#define TANDEM_SERVICE_ARGS_H

#include "config.h"
#include "log.h"
#include "partitions.h"
#include "service.h"

struct service_args {
	const struct service *service;
	const char *data, *partitions;
	bool json, folds; /* folds: it needs the secret of an installation with keyed chains */
	struct config config;
	struct log *log;
	struct partitions chosen; /* from --partitions, or all of the topic; not for run */
};

#define SERVICE_DATA_OPTION(args) CONFIG_DATA_OPTION(&(args)->data)
#define SERVICE_PARTITIONS_OPTION(args, text)                                                                          \
	{                                                                                                              \
		.name = "partitions", .letter = 'p', .kind = CONFIG_TEXT, .value = &(args)->partitions,                \
		.placeholder = "LIST", .help = (text)                                                                  \
	}
#define SERVICE_JSON_OPTION(args) CONFIG_JSON_OPTION(&(args)->json, "print JSON")

/* "tandem order run [options]" */
#define SERVICE_USAGE_ROOM 160
void service_usage(char usage[SERVICE_USAGE_ROOM], const struct service *service, const char *action);

/* Parses. False: the program ends with *exit_status. */
bool service_args_parse(struct service_args *args, const struct config_program *program, int argc, char **argv,
                        int *exit_status);
/* The same, opens the log and chooses the partitions. */
bool service_args_open(struct service_args *args, const struct config_program *program, int argc, char **argv,
                       int *exit_status);
void service_args_close(struct service_args *args);

/* Says "tandem <service> <what>: text" on stderr. */
void service_say(const struct service_args *args, const char *what, const struct err *err);

/* The progress function of who folds: arg is a struct progress. False once it was asked to stop. */
bool service_progress(void *arg, int32_t partition, int64_t records);

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

int service_run(const struct service *service, int argc, char **argv);
int service_verify(const struct service *service, int argc, char **argv);
int service_rebuild(const struct service *service, int argc, char **argv);
int service_status(const struct service *service, int argc, char **argv);
int service_resend(const struct service *service, int argc, char **argv);

#endif
