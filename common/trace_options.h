/* trace_options: what the programs that make spans take on their command line, and the export it asks for.
 *
 * Without an endpoint there is none. What OpenTelemetry's own variables say counts where we are told nothing:
 * OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (the whole URL), OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_HEADERS,
 * OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME; OTEL_SDK_DISABLED=true turns them off. */
#ifndef TANDEM_TRACE_OPTIONS_H
#define TANDEM_TRACE_OPTIONS_H

#include "config.h"
#include "span_export.h"

struct trace_options {
	const char *endpoint, *headers;
	int64_t one_in;
};

#define TRACE_OPTIONS_DEFAULT                                                                                          \
	{                                                                                                              \
		.one_in = 1                                                                                            \
	}

/* Three entries of a table of options. */
#define TRACE_OPTIONS(to)                                                                                              \
	{.name = "otlp-endpoint",                                                                                      \
	 .kind = CONFIG_TEXT,                                                                                          \
	 .value = &(to)->endpoint,                                                                                     \
	 .placeholder = "URL",                                                                                         \
	 .help = "send spans of traced records to this OpenTelemetry collector, like http://HOST:4318"},               \
		{.name = "otlp-headers",                                                                               \
	         .kind = CONFIG_TEXT,                                                                                  \
	         .value = &(to)->headers,                                                                              \
	         .secret = true,                                                                                       \
	         .placeholder = "NAME=VALUE,...",                                                                      \
	         .help = "headers it wants, as OTEL_EXPORTER_OTLP_HEADERS has them"},                                  \
	{                                                                                                              \
		.name = "otlp-one-in", .kind = CONFIG_INT, .value = &(to)->one_in, .min = 1, .max = 1000000000,        \
		.placeholder = "N", .help = "of the sampled traces, send one in N; every service chooses the same"     \
	}

/* Opens the export that options and environment ask for; *out NULL: none. REJECT: they make no sense.
 * source: service, group and, where it has a name, instance; the rest is found here. */
enum status trace_options_open(const struct trace_options *options, const struct config *config,
                               const struct otlp_source *source, struct logging *logging, struct span_export **out,
                               struct err *err);

#endif
