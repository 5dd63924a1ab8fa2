#include "secret.h"

#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status check_rights(int fd, const char *path, struct err *err)
{
	struct stat is;
	if (fstat(fd, &is) != 0)
		return err_set(err, FATAL, "secret", "--secret-file %s: %s", path, strerror(errno));
	if (S_ISDIR(is.st_mode))
		return err_set(err, FATAL, "secret", "--secret-file %s: found a folder, expected a file", path);
	if (is.st_mode & S_IRWXO)
		return err_set(
			err, FATAL, "secret",
			"--secret-file %s: every user of this machine has rights to it (mode %03o), expected none; "
			"chmod o= it",
			path, (unsigned)is.st_mode & 0777);
	return OK;
}

/* One byte more than may be there is read: too long shows. */
static enum status read_all(int fd, const char *path, struct secret *out, struct err *err)
{
	uint8_t more;
	out->len = 0;
	for (;;) {
		size_t room = sizeof out->bytes - out->len;
		ssize_t got = read(fd, room ? out->bytes + out->len : &more, room ? room : 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, FATAL, "secret", "--secret-file %s: %s", path, strerror(errno));
		if (got > 0 && !room)
			return err_set(err, FATAL, "secret", "--secret-file %s: found more than %d bytes", path,
			               SECRET_BYTES_MAX);
		if (got == 0)
			return OK;
		out->len += (size_t)got;
	}
}

enum status secret_read(const char *path, struct secret *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, FATAL, "secret", "--secret-file %s: %s", path, strerror(errno));
	enum status status = check_rights(fd, path, err);
	if (status == OK)
		status = read_all(fd, path, out, err);
	close(fd);
	while (status == OK && out->len && (out->bytes[out->len - 1] == '\n' || out->bytes[out->len - 1] == '\r'))
		out->len--;
	if (status == OK && out->len < SECRET_BYTES_MIN)
		status = err_set(err, FATAL, "secret",
		                 "--secret-file %s: found %zu bytes, expected at least %d; make one: "
		                 "(umask 077; openssl rand -hex 32 > FILE)",
		                 path, out->len, SECRET_BYTES_MIN);
	if (status != OK)
		secret_wipe(out);
	return status;
}

void secret_wipe(struct secret *secret)
{
	hash_wipe(secret, sizeof *secret);
}
