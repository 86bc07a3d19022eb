/*
 * The logfiles modules for bun:ffi: slices as address and length, results in buffers of the caller.
 *
 * Invariant: nothing here keeps an address that was passed in, but of objects that C made.
 */
#include <stdlib.h>
#include <string.h>

#include "bucket.h"
#include "bytes.h"
#include "logs.h"
#include "scan.h"

/* --- channels and memtables ----------------------------------------------------------------------------- */

NX_API nx_logs *nx_ffi_logs_new(const uint8_t *seed);
NX_API void nx_ffi_logs_free(nx_logs *logs);
NX_API nx_buffer *nx_ffi_logs_effects(nx_logs *logs);
NX_API void nx_ffi_logs_effects_taken(nx_logs *logs);
NX_API nx_log_channel *nx_ffi_logs_channel(nx_logs *logs, const uint8_t *name, uint64_t length, bool is_made);
NX_API uint32_t nx_ffi_logs_channel_count(const nx_logs *logs);
NX_API nx_log_channel *nx_ffi_logs_channel_at(const nx_logs *logs, uint32_t index);
NX_API void nx_ffi_logs_put(nx_logs *logs, nx_log_channel *channel, uint64_t key, const uint8_t *value,
                            uint64_t length);
NX_API void nx_ffi_logs_remove(nx_logs *logs, nx_log_channel *channel);
NX_API void nx_ffi_logs_read(const nx_logs *logs, double *figures);
NX_API uint64_t nx_ffi_logs_memtable_bytes(const nx_logs *logs);
NX_API int64_t nx_ffi_logs_replay(nx_logs *logs, const uint8_t *bytes, uint64_t length);
NX_API void nx_ffi_channel_read(const nx_log_channel *channel, double *figures);
NX_API uint32_t nx_ffi_channel_name(const nx_log_channel *channel, uint8_t *name);
NX_API void nx_ffi_channel_sealed(nx_logs *logs, nx_log_channel *channel, double records, double value_bytes,
                                  uint64_t sealed_number);
NX_API nx_memtable *nx_ffi_channel_memtable(nx_log_channel *channel);
NX_API nx_memtable *nx_ffi_channel_freeze(nx_logs *logs, nx_log_channel *channel);
NX_API nx_memtable *nx_ffi_logs_take_orphan(nx_logs *logs);
NX_API void nx_ffi_memtable_free(nx_memtable *memtable);
NX_API void nx_ffi_memtable_read(const nx_memtable *memtable, double *figures, uint64_t *keys);
NX_API uint64_t nx_ffi_memtable_export(const nx_log_channel *channel, const nx_memtable *memtable, uint64_t at,
                                       uint64_t count, uint64_t bytes_target, nx_buffer *to);

nx_logs *nx_ffi_logs_new(const uint8_t *seed) {
  return nx_logs_new((nx_seed){nx_load64(seed), nx_load64(seed + 8)});
}

void nx_ffi_logs_free(nx_logs *logs) { nx_logs_free(logs); }

nx_buffer *nx_ffi_logs_effects(nx_logs *logs) { return &logs->effects; }

void nx_ffi_logs_effects_taken(nx_logs *logs) { nx_logs_effects_taken(logs); }

nx_log_channel *nx_ffi_logs_channel(nx_logs *logs, const uint8_t *name, uint64_t length, bool is_made) {
  nx_slice text = {name, length};
  if (length > NX_LOGS_NAME_BYTES_MAX || !nx_channel_name_valid(text)) return NULL;
  return nx_logs_channel(logs, text, is_made);
}

uint32_t nx_ffi_logs_channel_count(const nx_logs *logs) { return logs->count; }

nx_log_channel *nx_ffi_logs_channel_at(const nx_logs *logs, uint32_t index) {
  return index < logs->count ? logs->channels[index] : NULL;
}

void nx_ffi_logs_put(nx_logs *logs, nx_log_channel *channel, uint64_t key, const uint8_t *value,
                     uint64_t length) {
  nx_logs_put(logs, channel, key, value, length);
}

void nx_ffi_logs_remove(nx_logs *logs, nx_log_channel *channel) { nx_logs_remove(logs, channel); }

/* records, bytes of values, bytes of memtables, records written */
void nx_ffi_logs_read(const nx_logs *logs, double *figures) {
  figures[0] = (double)logs->records;
  figures[1] = (double)logs->value_bytes;
  figures[2] = (double)logs->memtable_bytes;
  figures[3] = (double)logs->written;
}

uint64_t nx_ffi_logs_memtable_bytes(const nx_logs *logs) { return logs->memtable_bytes; }

int64_t nx_ffi_logs_replay(nx_logs *logs, const uint8_t *bytes, uint64_t length) {
  return nx_logs_replay(logs, bytes, length);
}

/* records, bytes of values, next number, removed at, is removed, bytes of the memtable */
void nx_ffi_channel_read(const nx_log_channel *channel, double *figures) {
  figures[0] = (double)channel->records;
  figures[1] = (double)channel->value_bytes;
  figures[2] = (double)channel->next_number;
  figures[3] = (double)channel->removed_at;
  figures[4] = channel->is_removed;
  figures[5] = (double)channel->memtable->memory_bytes;
}

uint32_t nx_ffi_channel_name(const nx_log_channel *channel, uint8_t *name) {
  memcpy(name, channel->name, channel->name_length);
  return channel->name_length;
}

/* Files hold `records` more than was known (fewer, when it is negative), all below `sealed_number`. */
void nx_ffi_channel_sealed(nx_logs *logs, nx_log_channel *channel, double records, double value_bytes,
                           uint64_t sealed_number) {
  channel->records += (uint64_t)(int64_t)records;
  channel->value_bytes += (uint64_t)(int64_t)value_bytes;
  logs->records += (uint64_t)(int64_t)records;
  logs->value_bytes += (uint64_t)(int64_t)value_bytes;
  if (sealed_number > channel->sealed_number) channel->sealed_number = sealed_number;
  if (channel->next_number < channel->sealed_number) {
    NX_ASSERT(channel->memtable->records == 0);
    channel->next_number = channel->sealed_number;
  }
}

nx_memtable *nx_ffi_channel_memtable(nx_log_channel *channel) { return channel->memtable; }

nx_memtable *nx_ffi_channel_freeze(nx_logs *logs, nx_log_channel *channel) {
  return nx_logs_freeze(logs, channel);
}

nx_memtable *nx_ffi_logs_take_orphan(nx_logs *logs) { return nx_logs_take_orphan(logs); }

void nx_ffi_memtable_free(nx_memtable *memtable) { nx_memtable_free(memtable); }

/* records, bytes of values, number of the first, bytes of memory; the lowest and the highest key */
void nx_ffi_memtable_read(const nx_memtable *memtable, double *figures, uint64_t *keys) {
  figures[0] = (double)memtable->records;
  figures[1] = (double)memtable->value_bytes;
  figures[2] = (double)memtable->first_number;
  figures[3] = (double)memtable->memory_bytes;
  keys[0] = memtable->key_min;
  keys[1] = memtable->key_max;
}

/* Returns the record to go on with. */
uint64_t nx_ffi_memtable_export(const nx_log_channel *channel, const nx_memtable *memtable, uint64_t at,
                                uint64_t count, uint64_t bytes_target, nx_buffer *to) {
  nx_logs_export(channel, memtable, &at, count, bytes_target, to);
  return at;
}

/* --- pages ---------------------------------------------------------------------------------------------- */

NX_API nx_memtable_reader *nx_ffi_memtable_reader_new(const nx_memtable *memtable, uint64_t from, uint64_t count,
                                                      uint64_t low, uint64_t high);
NX_API uint64_t nx_ffi_memtable_reader_next(nx_memtable_reader *reader, uint64_t bytes_target, nx_buffer *out);
NX_API void nx_ffi_memtable_reader_free(nx_memtable_reader *reader);
NX_API nx_page *nx_ffi_page_new(void);
NX_API void nx_ffi_page_free(nx_page *page);
NX_API int64_t nx_ffi_page_load(nx_page *page, const uint8_t *bytes, uint64_t length, uint64_t *figures);
NX_API int64_t nx_ffi_page_bucket(const nx_page *page);
NX_API nx_page_builder *nx_ffi_builder_new(void);
NX_API void nx_ffi_builder_free(nx_page_builder *builder);
NX_API uint64_t nx_ffi_builder_finish(nx_page_builder *builder, nx_buffer *out);
NX_API uint64_t nx_ffi_bucket_read(nx_bucket_reader *reader, const uint8_t *bytes, uint64_t length, bool is_last,
                                   uint64_t bytes_target, nx_page_builder *builder);
NX_API uint64_t nx_ffi_page_to_bucket(nx_page *page, uint64_t bucket, uint64_t version, nx_buffer *to,
                                      uint64_t *figures);
NX_API void nx_ffi_bucket_header(nx_buffer *to);

nx_memtable_reader *nx_ffi_memtable_reader_new(const nx_memtable *memtable, uint64_t from, uint64_t count,
                                               uint64_t low, uint64_t high) {
  return nx_memtable_reader_new(memtable, from, count, low, high);
}

uint64_t nx_ffi_memtable_reader_next(nx_memtable_reader *reader, uint64_t bytes_target, nx_buffer *out) {
  return nx_memtable_reader_next(reader, bytes_target, out);
}

void nx_ffi_memtable_reader_free(nx_memtable_reader *reader) { nx_memtable_reader_free(reader); }

nx_page *nx_ffi_page_new(void) {
  nx_page *page = calloc(1, sizeof *page);
  NX_ASSERT(page != NULL);
  return page;
}

void nx_ffi_page_free(nx_page *page) {
  nx_page_free(page);
  free(page);
}

/* Its records, or an errno; figures: lowest key, highest key, first bucket, last bucket, bytes of the values. */
int64_t nx_ffi_page_load(nx_page *page, const uint8_t *bytes, uint64_t length, uint64_t *figures) {
  int failed = nx_page_load(page, bytes, length);
  if (failed != 0) return failed;
  figures[0] = UINT64_MAX;
  figures[1] = 0;
  for (uint64_t i = 0; i < page->count; i++) {
    if (page->keys[i] < figures[0]) figures[0] = page->keys[i];
    if (page->keys[i] > figures[1]) figures[1] = page->keys[i];
  }
  figures[2] = page->keys[0] >> NX_BUCKET_SHIFT;
  figures[3] = page->keys[page->count - 1] >> NX_BUCKET_SHIFT;
  figures[4] = page->ends[page->count - 1];
  return (int64_t)page->count;
}

/* Of the next record; -1 at the end. */
int64_t nx_ffi_page_bucket(const nx_page *page) {
  return page->at < page->count ? (int64_t)(page->keys[page->at] >> NX_BUCKET_SHIFT) : -1;
}

nx_page_builder *nx_ffi_builder_new(void) {
  nx_page_builder *builder = calloc(1, sizeof *builder);
  NX_ASSERT(builder != NULL);
  return builder;
}

void nx_ffi_builder_free(nx_page_builder *builder) {
  nx_page_builder_free(builder);
  free(builder);
}

uint64_t nx_ffi_builder_finish(nx_page_builder *builder, nx_buffer *out) {
  uint64_t records = builder->records;
  nx_page_builder_finish(builder, out);
  return records;
}

uint64_t nx_ffi_bucket_read(nx_bucket_reader *reader, const uint8_t *bytes, uint64_t length, bool is_last,
                            uint64_t bytes_target, nx_page_builder *builder) {
  return nx_bucket_read(reader, bytes, length, is_last, bytes_target, builder);
}

/* Appends the page's next records, as long as they are of `bucket`; returns how many. figures[0] grows by the bytes of
 * their values. */
uint64_t nx_ffi_page_to_bucket(nx_page *page, uint64_t bucket, uint64_t version, nx_buffer *to,
                               uint64_t *figures) {
  uint64_t count = 0;
  for (; page->at < page->count && page->keys[page->at] >> NX_BUCKET_SHIFT == bucket; page->at++, count++) {
    uint64_t start = nx_page_value_start(page, page->at), length = page->ends[page->at] - start;
    nx_bucket_append(to, version, page->keys[page->at], page->values + start, length);
    figures[0] += length;
  }
  return count;
}

void nx_ffi_bucket_header(nx_buffer *to) { nx_bucket_append_header(to); }

/* --- scanning ------------------------------------------------------------------------------------------- */

NX_API nx_matcher *nx_ffi_matcher_new(uint32_t mode, const uint8_t *pattern, uint64_t length, nx_buffer *error);
NX_API void nx_ffi_matcher_free(nx_matcher *matcher);
NX_API nx_output *nx_ffi_output_new(uint32_t kind, uint64_t batch_bytes);
NX_API void nx_ffi_output_free(nx_output *output);
NX_API nx_buffer *nx_ffi_output_buffer(nx_output *output);
NX_API void nx_ffi_output_finish(nx_output *output, bool is_last);
NX_API bool nx_ffi_output_is_full(const nx_output *output);
NX_API void nx_ffi_output_read(const nx_output *output, double *figures);
NX_API uint32_t nx_ffi_scan_step(nx_page *page, uint64_t low, uint64_t high, uint64_t bucket_max,
                                 nx_matcher *matcher, nx_output *output);

nx_matcher *nx_ffi_matcher_new(uint32_t mode, const uint8_t *pattern, uint64_t length, nx_buffer *error) {
  return nx_matcher_new(mode, pattern, length, error);
}

void nx_ffi_matcher_free(nx_matcher *matcher) { nx_matcher_free(matcher); }

nx_output *nx_ffi_output_new(uint32_t kind, uint64_t batch_bytes) { return nx_output_new(kind, batch_bytes); }

void nx_ffi_output_free(nx_output *output) { nx_output_free(output); }

nx_buffer *nx_ffi_output_buffer(nx_output *output) { return &output->out; }

void nx_ffi_output_finish(nx_output *output, bool is_last) { nx_output_finish(output, is_last); }

bool nx_ffi_output_is_full(const nx_output *output) { return nx_output_is_full(output); }

/* records, records skipped because no batch holds them */
void nx_ffi_output_read(const nx_output *output, double *figures) {
  figures[0] = (double)output->records;
  figures[1] = (double)output->skipped;
}

uint32_t nx_ffi_scan_step(nx_page *page, uint64_t low, uint64_t high, uint64_t bucket_max, nx_matcher *matcher,
                          nx_output *output) {
  return nx_scan_step(page, low, high, bucket_max, matcher, output);
}
