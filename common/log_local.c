#include "log_impl.h"

enum status log_local_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                           struct err *err)
{
	(void)rest;
	(void)config;
	(void)out;
	return err_set(err, FATAL, "unsupported", "%s: not there yet", url);
}
