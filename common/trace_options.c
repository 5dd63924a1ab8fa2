#include "trace_options.h"

#include "mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_MAX 32
#define TRACES_PATH "/v1/traces"

static const char *environment(const char *name)
{
	const char *text = getenv(name);
	return text && *text ? text : NULL;
}

static bool disabled(void)
{
	const char *text = environment("OTEL_SDK_DISABLED");
	return text && strcasecmp(text, "true") == 0;
}

/* The whole URL, in the arena; NULL: no spans are wanted. */
static const char *url_of(const struct trace_options *options, struct arena *arena)
{
	const char *base = options->endpoint;
	if (!base && disabled())
		return NULL;
	if (!base && environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
		return arena_format(arena, "%s", environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
	if (!base)
		base = environment("OTEL_EXPORTER_OTLP_ENDPOINT");
	if (!base || !*base)
		return NULL;
	size_t len = strlen(base);
	while (len && base[len - 1] == '/')
		len--;
	return arena_format(arena, "%.*s%s", (int)len, base, TRACES_PATH);
}

/* %20 and the like, in place. */
static void unescape(char *text)
{
	char *to = text;
	for (; *text; text++) {
		unsigned byte;
		if (*text == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]) &&
		    sscanf(text + 1, "%2x", &byte) == 1 && byte) {
			*to++ = (char)byte;
			text += 2;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

/* "name=value,name=value" to "name: value" each. The text is a secret: it is not repeated. */
static enum status read_headers(const char *text, struct arena *arena, const char **headers, size_t *count,
                                struct err *err)
{
	char *rest = arena_format(arena, "%s", text ? text : ""), *item;
	*count = 0;
	while ((item = strsep(&rest, ","))) {
		char *equals = strchr(item, '=');
		item += strspn(item, " ");
		if (!*item)
			continue;
		if (!equals || equals == item || *count == HEADERS_MAX)
			return err_set(err, REJECT, "invalid",
			               "header %zu of the collector: expected NAME=VALUE, and at most %d of them",
			               *count + 1, HEADERS_MAX);
		*equals = 0;
		unescape(equals + 1);
		headers[(*count)++] = arena_format(arena, "%s: %s", item, equals + 1);
	}
	return OK;
}

static const char *headers_text(const struct trace_options *options)
{
	const char *traces = environment("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
	if (options->headers)
		return options->headers;
	return traces ? traces : environment("OTEL_EXPORTER_OTLP_HEADERS");
}

/* As the broker knows it. */
static const char *group_of(const char *group, const char *name_space, struct arena *arena)
{
	return group && *name_space ? arena_format(arena, "%s.%s", name_space, group) : group;
}

/* host-pid where nobody has given it a name. */
static const char *instance_of(const char *instance, struct arena *arena)
{
	char host[256] = "unknown";
	if (instance)
		return instance;
	gethostname(host, sizeof host - 1);
	return arena_format(arena, "%s-%ld", host, (long)getpid());
}

enum status trace_options_open(const struct trace_options *options, const struct config *config,
                               const struct otlp_source *source, struct logging *logging, struct span_export **out,
                               struct err *err)
{
	struct arena arena = {0};
	const char *headers[HEADERS_MAX], *named = environment("OTEL_SERVICE_NAME"), *url = url_of(options, &arena);
	struct span_export_config wanted = {
		.url = url, .headers = headers, .source = *source, .logging = logging, .seam = &seam_system};
	enum status status = OK;
	*out = NULL;
	if (url)
		status = read_headers(headers_text(options), &arena, headers, &wanted.header_count, err);
	if (url && status == OK) {
		const bool local = config->log && strncmp(config->log, "local:", 6) == 0;
		wanted.source.service = named ? named : source->service;
		wanted.source.group = group_of(source->group, config->name_space, &arena);
		wanted.source.name_space = config->name_space;
		wanted.source.instance = instance_of(source->instance, &arena);
		wanted.source.system = local ? "tandem_local" : "kafka";
		status = span_export_open(&wanted, out, err);
	}
	arena_fini(&arena);
	return status;
}
