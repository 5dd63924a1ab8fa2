#include "config.h"

#include "command.h"

#include <stdio.h>
#include <string.h>

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
	struct log_config log_config = {.seam = &seam_system,
	                                .name_space = config->name_space,
	                                .settings = config->settings,
	                                .setting_count = config->setting_count};
	enum status status = log_open(config->log, &log_config, &log, &err);
	if (status == OK)
		return log;
	fprintf(stderr, "tandem: %s\n", err.text);
	*exit_status = status == REJECT || err_is(&err, "invalid") ? EXIT_USAGE : EXIT_FAILED;
	return NULL;
}
