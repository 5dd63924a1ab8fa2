#include "config.h"

#include "command.h"
#include "secret.h"

#include <stdio.h>
#include <string.h>

int config_exit_status(const struct err *err)
{
	bool set_up = err_is(err, "secret") || err_is(err, "authentication") || err_is(err, "invalid");
	return set_up ? EXIT_USAGE : EXIT_FAILED;
}

struct log *config_open_log(const struct config *config, int *exit_status)
{
	struct log *log = NULL;
	struct err err = {0};
	if (!config->log) {
		fputs("tandem: no log was named: give --log URL, -b HOST or TANDEM_LOG, for example --log local:data\n",
		      stderr);
		*exit_status = EXIT_USAGE;
		return NULL;
	}
	if (strcmp(config->log, "local::memory:") == 0) {
		fputs("tandem: local::memory: lives inside one process and is for tests; use --log local:DIR\n",
		      stderr);
		*exit_status = EXIT_USAGE;
		return NULL;
	}
	struct secret secret;
	if (config->secret_file && secret_read(config->secret_file, &secret, &err) != OK) {
		fprintf(stderr, "tandem: %s\n", err.text);
		*exit_status = EXIT_USAGE;
		return NULL;
	}
	struct log_config log_config = {.seam = &seam_system,
	                                .name_space = config->name_space,
	                                .settings = config->settings,
	                                .setting_count = config->setting_count,
	                                .secret = config->secret_file ? &secret : NULL};
	enum status status = log_open(config->log, &log_config, &log, &err);
	if (config->secret_file)
		secret_wipe(&secret);
	if (status == OK)
		return log;
	fprintf(stderr, "tandem: %s\n", err.text);
	*exit_status = status == REJECT ? EXIT_USAGE : config_exit_status(&err);
	return NULL;
}
