#include "timestamp.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define YEAR_0_MS    (INT64_C(-62167219200) * 1000)
#define YEAR_9999_MS (INT64_C(253402300799) * 1000 + 999)

const char *timestamp_text(int64_t ms, char out[TIMESTAMP_TEXT_BYTES])
{
	if (ms < YEAR_0_MS || ms > YEAR_9999_MS) {
		snprintf(out, TIMESTAMP_TEXT_BYTES, "%" PRId64, ms);
		return out;
	}
	int64_t below = ((ms % 1000) + 1000) % 1000;
	time_t seconds = (time_t)((ms - below) / 1000);
	struct tm utc;
	gmtime_r(&seconds, &utc);
	int year = utc.tm_year + 1900; /* strftime's %Y is not padded */
	size_t len = (size_t)snprintf(out, TIMESTAMP_TEXT_BYTES, "%04d", year);
	len += strftime(out + len, TIMESTAMP_TEXT_BYTES - len, "-%m-%dT%H:%M:%S", &utc);
	snprintf(out + len, TIMESTAMP_TEXT_BYTES - len, ".%03dZ", (int)below);
	return out;
}

/* Takes exactly so many digits. */
static bool digits(const char **at, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)(*at)[i]))
			return false;
		*value = *value * 10 + ((*at)[i] - '0');
	}
	*at += count;
	return true;
}

static bool take(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

static bool parse_date(const char **at, struct tm *tm)
{
	int year, month, day;
	if (!digits(at, 4, &year) || !take(at, '-') || !digits(at, 2, &month) || !take(at, '-') || !digits(at, 2, &day))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static bool parse_fraction(const char **at, int *ms)
{
	int scale = 100;
	if (!isdigit((unsigned char)**at))
		return false;
	for (*ms = 0; isdigit((unsigned char)**at); ++*at, scale /= 10) {
		if (!scale)
			return false;
		*ms += (**at - '0') * scale;
	}
	return true;
}

static bool parse_clock(const char **at, struct tm *tm, int *ms)
{
	if (!digits(at, 2, &tm->tm_hour) || !take(at, ':') || !digits(at, 2, &tm->tm_min))
		return false;
	if (take(at, ':') && (!digits(at, 2, &tm->tm_sec) || (take(at, '.') && !parse_fraction(at, ms))))
		return false;
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

static bool parse_zone(const char **at, int *east_minutes)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;
	if (!**at || take(at, 'Z'))
		return true;
	if ((!take(at, '+') && !take(at, '-')) || !digits(at, 2, &hours) || !take(at, ':') || !digits(at, 2, &minutes))
		return false;
	*east_minutes = sign * (hours * 60 + minutes);
	return hours < 24 && minutes < 60;
}

static bool parse_iso(const char *at, int64_t *ms)
{
	struct tm tm = {0};
	int below = 0, east = 0;
	if (!parse_date(&at, &tm))
		return false;
	if (*at && ((!take(&at, 'T') && !take(&at, ' ')) || !parse_clock(&at, &tm, &below) || !parse_zone(&at, &east)))
		return false;
	int day = tm.tm_mday;
	time_t seconds = timegm(&tm);
	if (*at || tm.tm_mday != day) /* the 31st of a month that has none */
		return false;
	*ms = ((int64_t)seconds - east * 60) * 1000 + below;
	return true;
}

bool timestamp_parse(const char *text, int64_t *ms)
{
	char *end;
	size_t len = strlen(text);
	if (!len || len != strspn(text + (*text == '-'), "0123456789") + (*text == '-'))
		return parse_iso(text, ms);
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno || *end || end == text)
		return false;
	*ms = number;
	return true;
}
