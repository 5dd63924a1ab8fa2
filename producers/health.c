/* tandem health: asks a running worker how it is, for a container's HEALTHCHECK (there is no shell in the image) and for
 * people. */
#include "command.h"
#include "config.h"
#include "http_client.h"
#include "mem.h"

#include <stdio.h>
#include <string.h>

#define REPLY_BYTES_MAX 65536

static const char summary[] =
	"Asks a worker that runs with --listen how it is, and prints its answer. Exit status 0: it is well; 1: it is not, or\n"
	"does not answer. Without a URL the one of --listen is asked, so that both take it from TANDEM_LISTEN.";

static const char examples[] =
	"  tandem health http://127.0.0.1:9464/readyz\n"
	"  tandem health --listen 9464                            /health there\n"
	"  HEALTHCHECK CMD [\"/bin/tandem\", \"health\"]              with ENV TANDEM_LISTEN=9464\n";

static const char *url_of(const struct config *config, const char *listen, struct arena *arena)
{
	if (config->rest_count)
		return config->rest[0];
	bool has_host = strchr(listen, ':') && *listen != ':';
	const char *port = *listen == ':' ? listen + 1 : listen;
	return has_host ? arena_format(arena, "http://%s/health", listen)
	                : arena_format(arena, "http://127.0.0.1:%s/health", port);
}

static int ask(const char *url, int64_t timeout_ms)
{
	const struct http_client_config config = {
		.url = url, .timeout_ms = (int)timeout_ms, .direct = true, .answer_bytes_max = REPLY_BYTES_MAX};
	const struct http_request request = {.method = "GET", .path = ""};
	struct http_client *client = NULL;
	struct http_reply reply = {0};
	struct err err = {0};
	enum status status = http_client_open(&config, &client, &err);
	if (status == OK)
		status = http_client_send(client, &request, &reply, &err);
	if (status == OK)
		fwrite(reply.body.data, 1, reply.body.len, stdout);
	else
		fprintf(stderr, "tandem health: %s\n", err.text);
	if (status == OK && reply.status != 200)
		fprintf(stderr, "tandem health: %s answers %d\n", url, reply.status);
	buf_fini(&reply.body);
	http_client_close(client);
	if (status == REJECT)
		return EXIT_USAGE;
	return status == OK && reply.status == 200 ? EXIT_DONE : EXIT_FAILED;
}

struct settings {
	const char *listen;
	int64_t timeout_ms;
};

static int run(const struct config *config, void *arg)
{
	const struct settings *settings = arg;
	struct arena arena = {0};
	if (config->rest_count > 1)
		return config_misuse(config, "'%s' is one operand too many, expected one URL", config->rest[1]);
	if (!config->rest_count && !settings->listen)
		return config_misuse(config, "no worker was named: give its URL, --listen or TANDEM_LISTEN");
	int exit_status = ask(url_of(config, settings->listen, &arena), settings->timeout_ms);
	arena_fini(&arena);
	return exit_status;
}

static int health(int argc, char **argv)
{
	struct settings settings = {.timeout_ms = 3000};
	const struct config_option options[] = {
		{.name = "listen",
	         .kind = CONFIG_TEXT,
	         .value = &settings.listen,
	         .placeholder = "[HOST:]PORT",
	         .help = "where the worker listens"},
		CONFIG_PATIENCE_OPTION(&settings.timeout_ms, "wait so long for the answer"),
	};
	const struct config_program program = {.usage = "tandem health [options] [URL]",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options,
	                                       .no_log = true};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command health_command = {
	.name = "health", .summary = "asks a running worker how it is, for HEALTHCHECK", .main = health};
