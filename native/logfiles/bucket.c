/* See bucket.h. */
#include "bucket.h"

#include <string.h>

#include "bytes.h"

#define MAGIC "DLSBUCKT"
#define LEGACY_HEADER_BYTES 16u
#define RECORD_HEADER_BYTES 17u

static uint8_t parity_of(const uint8_t *header) {
  uint64_t folded = nx_load64(header) ^ nx_load64(header + 8);
  folded ^= folded >> 32;
  folded ^= folded >> 16;
  folded ^= folded >> 8;
  return (uint8_t)folded;
}

static uint64_t header_bytes(uint64_t version) { return version == 0 ? LEGACY_HEADER_BYTES : RECORD_HEADER_BYTES; }

/* Reads the beginning of the file; returns the bytes it takes. */
static uint64_t read_version(nx_bucket_reader *reader, const uint8_t *bytes) {
  bool is_versioned = memcmp(bytes + 8, MAGIC, 8) == 0 && nx_load64(bytes) <= 1;
  reader->version = is_versioned;
  return is_versioned ? NX_BUCKET_HEADER_BYTES : 0;
}

/* What is wrong with the record header at `at`; NX_BUCKET_READING when nothing is. */
static uint64_t judge(const nx_bucket_reader *reader, const uint8_t *at) {
  if (reader->version != 0 && parity_of(at) != at[16]) return NX_BUCKET_PARITY;
  if (nx_load64(at + 8) > NX_BUCKET_VALUE_BYTES_MAX) return NX_BUCKET_LENGTH;
  if (reader->is_strict != 0 && nx_load64(at) >> NX_BUCKET_SHIFT != reader->bucket) return NX_BUCKET_FOREIGN;
  return NX_BUCKET_READING;
}

static void take(nx_bucket_reader *reader, uint64_t key, const uint8_t *value, uint64_t length,
                 nx_page_builder *builder) {
  if (key >> NX_BUCKET_SHIFT != reader->bucket) {
    reader->foreign += 1;
    return;
  }
  reader->records += 1;
  reader->value_bytes += length;
  if (builder != NULL && key >= reader->low && key <= reader->high)
    nx_page_builder_add(builder, key, value, length);
}

uint64_t nx_bucket_read(nx_bucket_reader *reader, const uint8_t *bytes, uint64_t length, bool is_last,
                        uint64_t bytes_target, nx_page_builder *builder) {
  uint64_t at = 0;
  if (reader->state != NX_BUCKET_READING) return length;
  if (reader->offset == 0) {
    if (length < NX_BUCKET_HEADER_BYTES) {
      if (is_last && length > 0) reader->state = NX_BUCKET_SHORT_HEADER;
      return 0;
    }
    at = read_version(reader, bytes);
  }
  const uint64_t header = header_bytes(reader->version);
  while (builder == NULL || nx_page_builder_bytes(builder) < bytes_target) {
    if (length - at < header) {
      if (is_last && length > at) reader->state = NX_BUCKET_SHORT_HEADER;
      break;
    }
    reader->state = judge(reader, bytes + at);
    if (reader->state != NX_BUCKET_READING) break;
    uint64_t value_length = nx_load64(bytes + at + 8);
    if (length - at - header < value_length) {
      if (is_last) reader->state = NX_BUCKET_SHORT_VALUE;
      break;
    }
    take(reader, nx_load64(bytes + at), bytes + at + header, value_length, builder);
    at += header + value_length;
  }
  reader->offset += at;
  return at;
}

static uint8_t *reserve(nx_buffer *to, uint64_t length) {
  nx_buffer_reserve(to, length);
  uint8_t *at = to->data + to->length;
  to->length += length;
  return at;
}

void nx_bucket_append_header(nx_buffer *to) {
  uint8_t *at = reserve(to, NX_BUCKET_HEADER_BYTES);
  nx_store64(at, 1);
  memcpy(at + 8, MAGIC, 8);
}

void nx_bucket_append(nx_buffer *to, uint64_t version, uint64_t key, const uint8_t *value, uint64_t length) {
  uint64_t header = header_bytes(version);
  uint8_t *at = reserve(to, header + length);
  nx_store64(at, key);
  nx_store64(at + 8, length);
  if (version != 0) at[16] = parity_of(at);
  nx_copy(at + header, value, length);
}
