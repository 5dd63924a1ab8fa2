#include "installation.h"

enum status installation_topic(struct log *log, const char *topic, struct arena *arena, struct genesis *out,
                               bool *found, struct err *err)
{
	struct log_record record;
	enum status status = log_read_at(log, topic, 0, 0, arena, &record, found, err);
	*found = status == OK && *found && genesis_is_control(&record);
	return *found ? genesis_check(log, &record, topic, 0, arena, out, err) : status;
}

enum status installation_find(struct log *log, struct arena *arena, struct genesis *out, struct err *err)
{
	const char **names;
	size_t count;
	bool any = false;
	enum status status = log_topic_list(log, arena, &names, &count, err);
	for (size_t i = 0; i < count && status == OK; i++) {
		struct genesis genesis;
		bool found;
		status = installation_topic(log, names[i], arena, &genesis, &found, err);
		if (status != OK || !found)
			continue;
		if (any)
			status = genesis_same(out, &genesis, err);
		else
			*out = genesis;
		any = true;
	}
	if (status == OK && !any)
		status = err_set(
			err, FATAL, "no_genesis",
			"%s: no topic begins with a genesis, expected an installation's; see `tandem topics create`, or the"
			" right to see its topics is missing (Describe)",
			log_url(log));
	return status;
}
