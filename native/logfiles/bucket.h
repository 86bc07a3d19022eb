/*
 * The bucket files of the originals: the records of 4096 consecutive keys, in the order of writing. Integers are
 * little-endian, nothing is padded.
 *
 *   version 1        offset  bytes  field
 *                         0      8  1
 *                         8      8  "DLSBUCKT"
 *                    then records:
 *                         0      8  key
 *                         8      8  length
 *                        16      1  XOR of the sixteen bytes before
 *                        17      n  value
 *
 *   legacy (0)       no header; records:
 *                         0      8  key
 *                         8      8  length
 *                        16      n  value
 *
 * A file is of version 1 when its first sixteen bytes are such a header. Reading stops at the first record that
 * is not whole, does not have its parity, or whose value is longer than any may be: what follows cannot be found
 * any more. Nothing is checked beyond that, so a flipped bit in a value is not seen. A crash leaves a record that
 * is not whole at the end of the file.
 */
#ifndef NX_LOGFILES_BUCKET_H
#define NX_LOGFILES_BUCKET_H
#include "page.h"

#define NX_BUCKET_HEADER_BYTES 16u
/* Longer than any record that the originals took: a length beyond it is damage. */
#define NX_BUCKET_VALUE_BYTES_MAX (64u << 20)

/* Why reading a bucket ended. */
enum {
  NX_BUCKET_READING = 0,
  NX_BUCKET_SHORT_HEADER = 1, /* fewer bytes than the header of a record remain */
  NX_BUCKET_SHORT_VALUE = 2,  /* the value ends behind the end of the file */
  NX_BUCKET_PARITY = 3,
  NX_BUCKET_LENGTH = 4,  /* no value is so long */
  NX_BUCKET_FOREIGN = 5, /* a key of another bucket; only told when `is_strict` */
};

/* One file being read. 64-bit words, shared with src/native/logfiles/bucket.ts. Zeroed except for the settings. */
typedef struct {
  uint64_t bucket; /* key >> 12 of all its records */
  uint64_t low, high;
  uint64_t is_strict; /* a foreign key ends reading; otherwise the record is skipped */
  uint64_t version;   /* 1, or 0 for legacy; known once `offset` is past the beginning */
  uint64_t offset;    /* of the next record */
  uint64_t state;
  uint64_t records; /* whole ones */
  uint64_t value_bytes;
  uint64_t foreign;
} nx_bucket_reader;

/* Reads what is whole in `bytes`, which continue the file at reader->offset, and adds the records in low..high to
 * `builder` (or to nothing, when NULL) until it has `bytes_target`. Returns the bytes taken. With `is_last` nothing
 * follows: `state` says how the file ends, NX_BUCKET_READING for a whole one. */
uint64_t nx_bucket_read(nx_bucket_reader *reader, const uint8_t *bytes, uint64_t length, bool is_last,
                        uint64_t bytes_target, nx_page_builder *builder);

/* Appends what a new file begins with, and a record in the format of `version`. */
void nx_bucket_append_header(nx_buffer *to);
void nx_bucket_append(nx_buffer *to, uint64_t version, uint64_t key, const uint8_t *value, uint64_t length);

#endif
