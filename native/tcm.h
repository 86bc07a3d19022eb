/*
 * The dump files of the swarm nodes: bytes of a `.tcm` into a channel, a channel into bytes, and the text form
 * `<16 hex>:<base64>`. No file is touched here; callers hand over one chunk per call.
 *
 * A `.tcm` file, integers little-endian:
 *
 *   offset  bytes  field
 *        0      8  header: 0 = current format, ended by a mark; otherwise the number of records, no mark
 *        8      8  key length: 16 (hex digits), 8 (the number itself), 0 = end mark
 *       16      k  key
 *        …      8  value length
 *        …      v  value
 *        …      …  further records, the end mark, zeros up to a multiple of 512; behind the mark nothing counts
 *
 * What a `.tcm` cannot carry (any other key, an empty or a long value, an expiry) goes into blocks of put effects
 * (effects.h), which the caller frames and checksums in a second file.
 *
 * Invariant: a length is checked against what is there and against its maximum before it is used, and reading
 * stops at the first byte that cannot be right. A crash loses nothing here: there is nothing but memory.
 */
#ifndef NX_TCM_H
#define NX_TCM_H
#include "store.h"

/* Where a reader is. */
enum {
  NX_TCM_HEADER = 0,
  NX_TCM_RECORDS = 1,
  NX_TCM_SKIPPING = 2, /* within a value that is not wanted */
  NX_TCM_PADDING = 3,  /* behind the last record of the older format: zeros must follow */
  NX_TCM_ENDED = 4,    /* the end mark was read */
  NX_TCM_REFUSED = 5,  /* `reason` says why; nothing more is read */
};

/* Why a reader refused. */
enum {
  NX_TCM_KEY_LENGTH = 1,      /* no key can be this long */
  NX_TCM_VALUE_LENGTH = 2,    /* no value can be this long */
  NX_TCM_TRAILING = 3,        /* more data than the header counts */
  NX_TCM_OUT_OF_RANGE = 4,    /* a record of another node, and that is to be fatal */
  NX_TCM_ALL_OUT_OF_RANGE = 5 /* the first records are all of other nodes */
};

/* What is done with records whose hash is outside min..max. */
enum { NX_TCM_LOAD = 0, NX_TCM_FATAL = 1, NX_TCM_IGNORE = 2 };

/* Kinds of notes; each is three 64-bit words: kind, offset of the record, and its key or key length. */
enum { NX_TCM_BAD_KEY = 1, NX_TCM_EMPTY = 2, NX_TCM_LARGE = 3, NX_TCM_FOREIGN = 4 };
#define NX_TCM_NOTES_MAX 8u /* of each kind */

/* One file being read. 64-bit words, shared with src/native/tcm.ts. Zeroed except for the settings. */
typedef struct {
  uint64_t value_bytes_max; /* a longer value is skipped and counted */
  uint64_t range_min, range_max;
  uint64_t out_of_range; /* NX_TCM_LOAD, NX_TCM_FATAL or NX_TCM_IGNORE */
  uint64_t abort_after;  /* refuse when this many records and one are all out of range; 0: never */
  uint64_t phase;
  uint64_t reason;
  uint64_t header;
  uint64_t offset;        /* of the next byte */
  uint64_t record_offset; /* where the record begins that is being read or was refused */
  uint64_t skip;          /* bytes still to be skipped */
  uint64_t records;       /* read whole, whatever became of them */
  uint64_t loaded;
  uint64_t loaded_bytes; /* values of those */
  uint64_t bad_keys, empty_values, large_values, foreign;
} nx_tcm_reader;

/* Where records go: any of these may be NULL. */
typedef struct {
  nx_channel *channel; /* stored, whatever the memory limit says */
  nx_buffer *lines;    /* appended as text */
  nx_buffer *notes;
} nx_tcm_sink;

/* Reads what is complete in `bytes`, which continue the file at reader->offset. Returns how many bytes it took;
 * the rest must come again with more behind it. */
uint64_t nx_tcm_read(nx_tcm_reader *reader, const nx_tcm_sink *sink, const uint8_t *bytes, uint64_t length);

/* One channel being dumped. 64-bit words. Zeroed except for value_bytes_max. */
typedef struct {
  uint64_t value_bytes_max; /* a longer value goes to the second file */
  uint64_t channel_id;      /* 0: not begun */
  uint64_t cursor;
  uint64_t records, bytes; /* into the .tcm; bytes as dhtdump counts: key, value and 16 per record */
  uint64_t side_records;
} nx_tcm_dumper;

void nx_tcm_begin(nx_buffer *tcm);
/* Appends the next records until either buffer holds `bytes_target` or 4096 buckets were visited. Returns 1 while
 * there is more, 0 at the end, -ENOENT when the channel was removed since the dump began. */
int nx_tcm_dump(nx_store *store, nx_slice name, nx_tcm_dumper *dumper, int64_t now_ms, uint64_t bytes_target,
                nx_buffer *tcm, nx_buffer *side);
/* The end mark and the padding, for a file of `file_bytes` so far (without what is in `tcm`). */
void nx_tcm_end(nx_buffer *tcm, uint64_t file_bytes);

/* Puts a block of effects into `channel`, whatever name they carry. Records whose time has come are left out;
 * with `keep_existing`, so are those whose key is there. Returns how many effects were read, or -EBADMSG. */
int64_t nx_tcm_side_apply(nx_channel *channel, const uint8_t *bytes, uint64_t length, int64_t now_ms,
                          bool keep_existing);

/* Text being read. 64-bit words, zeroed. */
typedef struct {
  uint64_t line; /* lines read */
  uint64_t records;
} nx_tcm_lines;

/* Appends the records of all complete lines to `tcm`; with `is_last` the rest is a line too. Returns the bytes
 * taken, or -EBADMSG when line `state->line` + 1 is not `<16 hex>:<base64>` of at least one byte. */
int64_t nx_tcm_from_lines(nx_tcm_lines *state, const uint8_t *text, uint64_t length, bool is_last, nx_buffer *tcm);

#endif
