/* Avro object container files (Avro 1.11 specification, "Object Container Files"): the header `Obj` 01, metadata, a sync
 * marker of 16 bytes; then blocks: how many datums, how many bytes, the bytes, the marker.
 *
 * Written and read here and not by avro-c: its writer puts the schema into the file without documentation, defaults and
 * logical types, its reader believes every length and hands out values where bytes are wanted. zlib does the compression.
 * Nothing is allocated for what a file claims, only for what it holds. */
#include "event.h"

#include "event_foreign.h"
#include "hash.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define SYNC_BYTES       16
#define BLOCK_BYTES      (64 * 1024)         /* a block is written when it has grown to this */
#define BLOCK_BYTES_MAX  (64 * 1024 * 1024)  /* what is read at most as one block, before and after inflating */
#define HEADER_BYTES_MAX (2 * 1024 * 1024)   /* metadata read at most */
#define READ_BYTES       (256 * 1024)        /* the buffer grows by what arrived, this much at a time */

static const uint8_t magic[4] = {'O', 'b', 'j', 1};

struct event_file {
	FILE *stream;
	char *path;
	bool deflate, writing;
	uint8_t sync[SYNC_BYTES];
	struct buf block;  /* writing: datums not yet written; reading: the block's datums */
	struct buf packed; /* the block as it stands in the file */
	size_t datums;     /* in block; when reading: not yet handed out */
	/* Writing. */
	const struct event_type *type;
	struct arena scratch;
	/* Reading. */
	char *schema;
	struct foreign *foreign;
	struct wire_reader in; /* over block */
};

static enum status io_failed(const struct event_file *file, const char *what, struct err *err)
{
	return err_set(err, FATAL, "io", "%s: cannot be %s: %s", file->path, what, strerror(errno));
}

static enum status malformed(const struct event_file *file, const char *what, struct err *err)
{
	return err_set(err, REJECT, "malformed", "%s: %s", file->path, what);
}

static void file_free(struct event_file *file)
{
	if (file->stream)
		fclose(file->stream);
	buf_fini(&file->block);
	buf_fini(&file->packed);
	arena_fini(&file->scratch);
	foreign_free(file->foreign);
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

/* The same events make the same file: the marker comes from the schema. Readers take it from the header. */
static void make_sync(struct event_file *file)
{
	uint8_t key[HASH_KEY_BYTES] = "tandem container";
	const char *schema = file->type->schema;
	be64_put(file->sync, hash_bytes(key, schema, strlen(schema)));
	be64_put(file->sync + 8, hash_bytes(key, file->sync, 8));
}

static void put_text(struct buf *out, const char *text)
{
	wire_put_bytes(out, (struct event_bytes){(const uint8_t *)text, strlen(text)});
}

static enum status write_header(struct event_file *file, const char *codec, struct err *err)
{
	struct buf header = {0};
	buf_put(&header, magic, sizeof magic);
	wire_put_long(&header, 2);
	put_text(&header, "avro.schema");
	put_text(&header, file->type->schema);
	put_text(&header, "avro.codec");
	put_text(&header, codec);
	wire_put_long(&header, 0);
	buf_put(&header, file->sync, SYNC_BYTES);
	size_t written = fwrite(header.data, 1, header.len, file->stream);
	enum status status = written == header.len ? OK : io_failed(file, "written", err);
	buf_fini(&header);
	return status;
}

enum status event_file_create(const char *path, const struct event_type *type, const char *codec, struct event_file **out,
                              struct err *err)
{
	*out = NULL;
	bool deflated = strcmp(codec, "deflate") == 0;
	if (!deflated && strcmp(codec, "null") != 0)
		return err_set(err, REJECT, "unknown_codec", "codec %.40s; supported: null, deflate", codec);
	struct event_file *file = file_new(path, "wb");
	file->type = type;
	file->deflate = deflated;
	file->writing = true;
	make_sync(file);
	enum status status = file->stream ? write_header(file, codec, err) : io_failed(file, "created", err);
	if (status == OK)
		*out = file;
	else
		file_free(file);
	return status;
}

/* Raw deflate, without zlib's header: RFC 1951, as the specification says. */
static bool pack(const struct buf *from, struct buf *to)
{
	z_stream z = {.next_in = from->data, .avail_in = (uInt)from->len};
	buf_reset(to);
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	uLong bound = deflateBound(&z, (uLong)from->len);
	z.next_out = buf_grow(to, bound);
	z.avail_out = (uInt)bound;
	bool done = deflate(&z, Z_FINISH) == Z_STREAM_END;
	to->len = z.total_out;
	deflateEnd(&z);
	return done;
}

static enum status write_block(struct event_file *file, struct err *err)
{
	if (!file->datums)
		return OK;
	if (file->deflate && !pack(&file->block, &file->packed))
		return err_set(err, FATAL, "io", "%s: cannot be compressed", file->path);
	const struct buf *data = file->deflate ? &file->packed : &file->block;
	struct buf head = {0};
	wire_put_long(&head, (int64_t)file->datums);
	wire_put_long(&head, (int64_t)data->len);
	size_t written = fwrite(head.data, 1, head.len, file->stream);
	written += fwrite(data->data, 1, data->len, file->stream);
	written += fwrite(file->sync, 1, SYNC_BYTES, file->stream);
	enum status status =
	        written == head.len + data->len + SYNC_BYTES ? OK : io_failed(file, "written", err);
	buf_fini(&head);
	buf_reset(&file->block);
	file->datums = 0;
	return status;
}

enum status event_file_append(struct event_file *file, const uint8_t *body, size_t len, struct err *err)
{
	const struct event_type *type = file->type;
	if (len > BLOCK_BYTES_MAX)
		return malformed(file, "an event longer than a block may be", err);
	arena_reset(&file->scratch);
	void *event = arena_alloc(&file->scratch, type->size);
	enum status status = event_decode(type, type->fingerprint, body, len, &file->scratch, event, err);
	if (status != OK)
		return status;
	if (file->block.len && file->block.len + len > BLOCK_BYTES)
		status = write_block(file, err);
	buf_put(&file->block, body, len);
	file->datums++;
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
	status = foreign_compile(file->schema, &file->foreign, err);
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

/* Inflates packed into block, which may grow to BLOCK_BYTES_MAX. */
static enum status unpack(struct event_file *file, struct err *err)
{
	struct buf *to = &file->block;
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
	return memcmp(sync, file->sync, sizeof sync) == 0 ? OK
	                                                  : malformed(file, "a block without the file's sync marker", err);
}

/* The next block, which may be empty; *end: there is none. */
static enum status read_block(struct event_file *file, bool *end, struct err *err)
{
	int64_t count = 0, len = 0;
	enum status status = read_long(file, &count, end, err);
	if (status != OK || *end)
		return status;
	status = read_long(file, &len, NULL, err);
	if (status != OK)
		return status;
	if (count < 0 || len < 0 || len > BLOCK_BYTES_MAX)
		return malformed(file, "a block of a negative size, or of more than 64 MiB", err);
	buf_reset(&file->block);
	buf_reset(&file->packed);
	status = need_bytes(file, file->deflate ? &file->packed : &file->block, (size_t)len, err);
	if (status == OK)
		status = check_sync(file, err);
	if (status == OK && file->deflate)
		status = unpack(file, err);
	file->datums = status == OK ? (size_t)count : 0;
	arena_reset(&file->scratch);
	if (status == OK)
		wire_begin(&file->in, file->block.data, file->block.len, &file->scratch);
	if (status == OK && !count && file->block.len)
		return malformed(file, "a block of bytes without datums", err);
	return status;
}

enum status event_file_next(struct event_file *file, struct arena *arena, const uint8_t **body, size_t *len,
                            struct err *err)
{
	*body = NULL;
	*len = 0;
	for (bool end = false; !file->datums;) {
		enum status status = read_block(file, &end, err);
		if (status != OK || end)
			return status;
	}
	struct wire_reader *in = &file->in;
	const uint8_t *from = in->at;
	bool read = foreign_read(file->foreign, in, NULL);
	if (read && in->at == from) /* a block might have any number of them */
		read = wire_fail(in, "datum of no bytes");
	file->datums--;
	if (!read || (!file->datums && in->at != in->end)) {
		file->datums = 0;
		return err_context(err, wire_finish(in, read, "datum", err), "%s", file->path);
	}
	*len = (size_t)(in->at - from);
	*body = (const uint8_t *)arena_copy(arena, from, *len);
	return OK;
}

const char *event_file_schema(const struct event_file *file)
{
	return file->writing ? file->type->schema : file->schema;
}

enum status event_file_close(struct event_file *file, struct err *err)
{
	if (!file)
		return OK;
	enum status status = file->writing ? write_block(file, err) : OK;
	FILE *stream = file->stream;
	file->stream = NULL;
	if (fclose(stream) != 0 && status == OK && file->writing)
		status = io_failed(file, "written", err);
	file_free(file);
	return status;
}
