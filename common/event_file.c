/* Avro object container files (Avro 1.11 specification, "Object Container Files"): the header `Obj` 01, metadata, a sync
 * marker of 16 bytes; then blocks: how many datums, how many bytes, the bytes, the marker.
 *
 * avro-c writes them, and reads each block once it was checked here: the framing, what it inflates to, and every datum's
 * bytes against the file's schema. Nothing is allocated for what a file claims, only for what it holds. */
#include "event.h"

#include "event_avro.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define SYNC_BYTES       16
#define BLOCK_BYTES      (64 * 1024)        /* a block is written when it has grown to this */
#define BLOCK_BYTES_MAX  (64 * 1024 * 1024) /* written and read at most as one block, before and after inflating */
#define HEADER_BYTES_MAX (2 * 1024 * 1024)  /* metadata read at most */
#define READ_BYTES       (256 * 1024)       /* the buffer grows by what arrived, this much at a time */

static const uint8_t magic[4] = {'O', 'b', 'j', 1};

struct event_file {
	FILE *stream;
	char *path;
	struct event_avro *avro; /* the file's schema */
	struct arena scratch;
	/* Writing. */
	const struct event_type *type;
	struct event_avro_writer *writer;
	FILE *sink;         /* where avro-c writes to */
	int sink_errno;     /* the first write that failed */
	size_t block_bytes; /* appended since the last block was written */
	/* Reading. */
	char *schema;
	bool deflate;
	uint8_t sync[SYNC_BYTES];
	struct buf bytes;  /* the block's datums */
	struct buf packed; /* the same as they stand in a file that is compressed */
	struct event_avro_block *block;
	size_t datums; /* of the block, not yet handed out */
	size_t blocks; /* begun so far; 0: still in the header */
};

static enum status io_failed(const struct event_file *file, const char *what, struct err *err)
{
	return err_set(err, FATAL, "io", "%s: cannot be %s: %s", file->path, what, strerror(errno));
}

static enum status malformed(const struct event_file *file, const char *what, struct err *err)
{
	if (file->blocks)
		return err_set(err, REJECT, "malformed", "%s: block %zu: %s", file->path, file->blocks, what);
	return err_set(err, REJECT, "malformed", "%s: %s", file->path, what);
}

/* False: a write failed that only now was tried. */
static bool close_stream(FILE **stream)
{
	bool closed = !*stream || fclose(*stream) == 0;
	*stream = NULL;
	return closed;
}

static void file_free(struct event_file *file)
{
	event_avro_writer_close(file->writer);
	event_avro_block_close(file->block);
	close_stream(&file->sink);
	close_stream(&file->stream);
	event_avro_free(file->avro);
	buf_fini(&file->bytes);
	buf_fini(&file->packed);
	arena_fini(&file->scratch);
	mem_free(file->schema);
	mem_free(file->path);
	mem_free(file);
}

static struct event_file *file_new(const char *path, const char *mode)
{
	struct event_file *file = mem_zalloc(1, sizeof *file);
	file->path = mem_strdup(path);
	file->stream = fopen(path, mode);
	return file;
}

/* Writing. */

/* Takes every byte, as event_avro_writer asks for; what failed is said by check_written. */
static ssize_t sink_write(void *arg, const char *bytes, size_t len)
{
	struct event_file *file = arg;
	if (!file->sink_errno && fwrite(bytes, 1, len, file->stream) != len)
		file->sink_errno = errno;
	return (ssize_t)len;
}

static enum status check_written(struct event_file *file, bool written, struct err *err)
{
	if (!written)
		return err_set(err, FATAL, "io", "%s: avro-c cannot write it", file->path);
	errno = file->sink_errno;
	return file->sink_errno ? io_failed(file, "written", err) : OK;
}

static enum status writer_open(struct event_file *file, const char *codec, struct err *err)
{
	if (!file->stream)
		return io_failed(file, "created", err);
	enum status status = event_avro_parse(file->type->schema, &file->avro, err);
	if (status != OK)
		return status;
	file->sink = fopencookie(file, "wb", (cookie_io_functions_t){.write = sink_write});
	if (!file->sink)
		return io_failed(file, "created", err);
	bool opened = event_avro_writer_open(file->avro, file->sink, codec, BLOCK_BYTES_MAX, &file->writer);
	return check_written(file, opened, err);
}

enum status event_file_create(const char *path, const struct event_type *type, const char *codec,
                              struct event_file **out, struct err *err)
{
	*out = NULL;
	if (strcmp(codec, "deflate") != 0 && strcmp(codec, "null") != 0)
		return err_set(err, REJECT, "unknown_codec", "codec %.40s; supported: null, deflate", codec);
	struct event_file *file = file_new(path, "wb");
	file->type = type;
	enum status status = writer_open(file, codec, err);
	if (status == OK)
		*out = file;
	else
		file_free(file);
	return status;
}

static enum status write_block(struct event_file *file, struct err *err)
{
	file->block_bytes = 0;
	return check_written(file, event_avro_writer_end_block(file->writer), err);
}

enum status event_file_append(struct event_file *file, const uint8_t *body, size_t len, struct err *err)
{
	const struct event_type *type = file->type;
	if (len > BLOCK_BYTES_MAX)
		return malformed(file, "an event longer than a block may be", err);
	arena_reset(&file->scratch);
	void *event = arena_alloc(&file->scratch, type->size);
	enum status status = event_decode(type, type->fingerprint, body, len, &file->scratch, event, err);
	if (status == OK && file->block_bytes && file->block_bytes + len > BLOCK_BYTES)
		status = write_block(file, err);
	if (status != OK)
		return status;
	file->block_bytes += len;
	return check_written(file, event_avro_writer_append(file->writer, body, len), err);
}

static enum status finish_writing(struct event_file *file, struct err *err)
{
	bool closed = event_avro_writer_close(file->writer);
	file->writer = NULL;
	closed &= close_stream(&file->sink);
	enum status status = check_written(file, closed, err);
	if (!close_stream(&file->stream) && status == OK)
		status = io_failed(file, "written", err);
	return status;
}

/* Reading. */

/* Reads exactly len bytes to the end of `to`; *got is what there was. The buffer grows with what arrives. */
static enum status read_bytes(struct event_file *file, struct buf *to, size_t len, size_t *got, struct err *err)
{
	for (*got = 0; *got < len;) {
		size_t step = len - *got < READ_BYTES ? len - *got : READ_BYTES;
		size_t here = fread(buf_grow(to, step), 1, step, file->stream);
		to->len += here;
		*got += here;
		if (here < step)
			break;
	}
	return ferror(file->stream) ? io_failed(file, "read", err) : OK;
}

static enum status need_bytes(struct event_file *file, struct buf *to, size_t len, struct err *err)
{
	size_t got;
	enum status status = read_bytes(file, to, len, &got, err);
	if (status == OK && got < len)
		return malformed(file, "ends too early", err);
	return status;
}

/* One number from the stream. *end (where it may be): the file ends before its first byte. */
static enum status read_long(struct event_file *file, int64_t *out, bool *end, struct err *err)
{
	uint8_t bytes[WIRE_LONG_BYTES_MAX];
	size_t len = 0;
	int byte;
	do {
		byte = fgetc(file->stream);
		if (byte == EOF && ferror(file->stream))
			return io_failed(file, "read", err);
		if (byte == EOF && !len && end) {
			*end = true;
			return OK;
		}
		if (byte == EOF)
			return malformed(file, "ends too early", err);
		bytes[len++] = (uint8_t)byte;
	} while (byte >= 0x80 && len < sizeof bytes);
	struct wire_reader in = {.start = bytes, .at = bytes, .end = bytes + len};
	return wire_get_long(&in, out) ? OK : malformed(file, in.problem, err);
}

/* A string or bytes of the metadata, to the end of `to`. */
static enum status read_meta_bytes(struct event_file *file, struct buf *to, struct err *err)
{
	int64_t len;
	enum status status = read_long(file, &len, NULL, err);
	if (status != OK)
		return status;
	if (len < 0 || len > HEADER_BYTES_MAX || to->len + (size_t)len > HEADER_BYTES_MAX)
		return malformed(file, "metadata that is too long", err);
	return need_bytes(file, to, (size_t)len, err);
}

static enum status take_codec(struct event_file *file, const char *codec, struct err *err)
{
	file->deflate = strcmp(codec, "deflate") == 0;
	if (file->deflate || strcmp(codec, "null") == 0)
		return OK;
	return err_set(err, REJECT, "unknown_codec", "%s: codec %.40s; supported: null, deflate", file->path, codec);
}

/* One entry: what it is called and what it says; only the schema and the codec matter. */
static enum status read_entry(struct event_file *file, struct buf *text, struct err *err)
{
	enum status status = read_meta_bytes(file, text, err);
	if (status != OK)
		return status;
	buf_put_u8(text, 0);
	size_t value = text->len;
	status = read_meta_bytes(file, text, err);
	if (status != OK)
		return status;
	buf_put_u8(text, 0);
	const char *name = (const char *)text->data, *said = name + value;
	if (strcmp(name, "avro.codec") == 0)
		return take_codec(file, said, err);
	if (strcmp(name, "avro.schema") == 0 && !file->schema)
		file->schema = mem_strdup(said);
	return OK;
}

static enum status read_metadata(struct event_file *file, struct err *err)
{
	struct buf text = {0};
	enum status status = OK;
	int64_t count = 0, unused;
	size_t total = 0;
	while (status == OK) {
		if (!count) {
			status = read_long(file, &count, NULL, err);
			if (status != OK || !count)
				break;
			if (count < 0) {
				count = count == INT64_MIN ? INT64_MAX : -count;
				status = read_long(file, &unused, NULL, err);
			}
			continue;
		}
		buf_reset(&text);
		status = read_entry(file, &text, err);
		total += text.len;
		if (status == OK && total > HEADER_BYTES_MAX)
			status = malformed(file, "metadata that is too long", err);
		count--;
	}
	buf_fini(&text);
	return status;
}

static enum status read_header(struct event_file *file, struct err *err)
{
	uint8_t begin[sizeof magic];
	if (fread(begin, 1, sizeof begin, file->stream) != sizeof begin || memcmp(begin, magic, sizeof magic) != 0)
		return malformed(file, "no Avro container file (it does not begin with Obj 01)", err);
	enum status status = read_metadata(file, err);
	if (status != OK)
		return status;
	if (!file->schema)
		return malformed(file, "names no schema", err);
	if (fread(file->sync, 1, SYNC_BYTES, file->stream) != SYNC_BYTES)
		return malformed(file, "ends too early", err);
	status = event_avro_parse(file->schema, &file->avro, err);
	return status == OK ? OK : err_context(err, status, "%s", file->path);
}

enum status event_file_open(const char *path, struct event_file **out, struct err *err)
{
	*out = NULL;
	struct event_file *file = file_new(path, "rb");
	enum status status = file->stream ? read_header(file, err) : io_failed(file, "opened", err);
	if (status == OK)
		*out = file;
	else
		file_free(file);
	return status;
}

/* Inflates packed into bytes, which may grow to BLOCK_BYTES_MAX: raw deflate, RFC 1951, as the specification says. */
static enum status unpack(struct event_file *file, struct err *err)
{
	struct buf *to = &file->bytes;
	z_stream z = {.next_in = file->packed.data, .avail_in = (uInt)file->packed.len};
	int result = inflateInit2(&z, -MAX_WBITS);
	while (result == Z_OK && to->len <= BLOCK_BYTES_MAX) {
		z.next_out = buf_grow(to, READ_BYTES);
		z.avail_out = READ_BYTES;
		result = inflate(&z, Z_NO_FLUSH);
		to->len += READ_BYTES - z.avail_out;
	}
	inflateEnd(&z);
	if (to->len > BLOCK_BYTES_MAX)
		return malformed(file, "a block that inflates to more than 64 MiB", err);
	/* What follows the end is left alone: fastavro leaves a piece of zlib's checksum there. */
	return result == Z_STREAM_END ? OK : malformed(file, "a block that does not inflate", err);
}

static enum status check_sync(struct event_file *file, struct err *err)
{
	uint8_t sync[SYNC_BYTES];
	if (fread(sync, 1, sizeof sync, file->stream) != sizeof sync)
		return malformed(file, "ends too early", err);
	return memcmp(sync, file->sync, sizeof sync) == 0
	               ? OK
	               : malformed(file, "a block without the file's sync marker", err);
}

/* The next block's bytes into file->bytes, for file->datums datums; *end: there is none. */
static enum status read_block(struct event_file *file, bool *end, struct err *err)
{
	int64_t count = 0, len = 0;
	file->blocks++;
	enum status status = read_long(file, &count, end, err);
	if (status != OK || *end)
		return status;
	status = read_long(file, &len, NULL, err);
	if (status != OK)
		return status;
	if (count < 0 || len < 0 || len > BLOCK_BYTES_MAX)
		return malformed(file, "a block of a negative size, or of more than 64 MiB", err);
	buf_reset(&file->bytes);
	buf_reset(&file->packed);
	status = need_bytes(file, file->deflate ? &file->packed : &file->bytes, (size_t)len, err);
	if (status == OK)
		status = check_sync(file, err);
	if (status == OK && file->deflate)
		status = unpack(file, err);
	if (status == OK && !count && file->bytes.len)
		return malformed(file, "a block of bytes without datums", err);
	file->datums = status == OK ? (size_t)count : 0;
	return status;
}

/* Every datum takes a byte, since a block might claim any number of those that take none; and there are no more bytes. */
static enum status check_datums(struct event_file *file, struct err *err)
{
	struct wire_reader in;
	bool passed = true;
	arena_reset(&file->scratch);
	wire_begin(&in, file->bytes.data, file->bytes.len, &file->scratch);
	for (size_t i = 0; passed && i < file->datums; i++) {
		const uint8_t *from = in.at;
		passed = event_avro_check(file->avro, &in);
		if (passed && in.at == from)
			passed = wire_fail(&in, "datum of no bytes");
	}
	enum status status = wire_finish(&in, passed, "datum", err);
	return status == OK ? OK : err_context(err, status, "%s: block %zu", file->path, file->blocks);
}

static enum status next_block(struct event_file *file, bool *end, struct err *err)
{
	event_avro_block_close(file->block);
	file->block = NULL;
	enum status status = read_block(file, end, err);
	if (status != OK || *end || !file->datums)
		return status;
	status = check_datums(file, err);
	if (status != OK) {
		file->datums = 0;
		return status;
	}
	file->block = event_avro_block_open(file->avro, file->datums, file->bytes.data, file->bytes.len);
	return file->block ? OK : malformed(file, "a block that avro-c refuses", err);
}

enum status event_file_next(struct event_file *file, struct arena *arena, const uint8_t **body, size_t *len,
                            struct err *err)
{
	*body = NULL;
	*len = 0;
	for (bool end = false; !file->datums;) {
		enum status status = next_block(file, &end, err);
		if (status != OK || end)
			return status;
	}
	file->datums--;
	if (event_avro_block_next(file->block, arena, body, len))
		return OK;
	*body = NULL;
	return malformed(file, "a datum that avro-c refuses", err);
}

const char *event_file_schema(const struct event_file *file)
{
	return file->schema;
}

enum status event_file_close(struct event_file *file, struct err *err)
{
	if (!file)
		return OK;
	enum status status = file->writer ? finish_writing(file, err) : OK;
	file_free(file);
	return status;
}
