/*
 * The store for bun:ffi: the functions of store.h with slices as address and length, for tests, tools and
 * slow paths.
 *
 * Variable-length results go into an nx_buffer of the caller, which TypeScript reads through a view.
 * Invariant: nothing here keeps an address that was passed in.
 */
#include <errno.h>

#include "bytes.h"
#include "nx.h"
#include "store.h"

#define TEXT(name) \
  (nx_slice) { name, name##_length }

NX_API nx_buffer *nx_ffi_buffer_new(void);
NX_API void nx_ffi_buffer_free(nx_buffer *buffer);
NX_API void nx_ffi_buffer_resize(nx_buffer *buffer, uint64_t length);
NX_API nx_store *nx_ffi_store_new(uint64_t memory_bytes_max, const uint8_t *seed);
NX_API void nx_ffi_store_free(nx_store *store);
NX_API void nx_ffi_store_memory_limit(nx_store *store, uint64_t memory_bytes_max);
NX_API void nx_ffi_store_logging(nx_store *store, bool on);
NX_API void nx_ffi_store_log_removals(nx_store *store, bool on);
NX_API nx_buffer *nx_ffi_store_effects(nx_store *store);
NX_API nx_buffer *nx_ffi_store_effects_swap(nx_store *store);
NX_API nx_channel *nx_ffi_store_channel(nx_store *store, const uint8_t *name, uint32_t name_length,
                                        bool create);
NX_API void nx_ffi_store_channel_remove(nx_store *store, nx_channel *channel);
NX_API void nx_ffi_store_channel_names(nx_store *store, nx_buffer *out);
NX_API uint32_t nx_ffi_store_tick(nx_store *store, int64_t now_ms, uint32_t steps_max);
NX_API void nx_ffi_store_stats(const nx_store *store, nx_store_stats *out);
NX_API int64_t nx_ffi_store_replay(nx_store *store, const uint8_t *bytes, uint64_t length,
                                   uint64_t *bad_offset);
NX_API int nx_ffi_store_export(nx_store *store, nx_export *state, uint64_t bytes_target, nx_buffer *out);
NX_API int64_t nx_ffi_channel_get(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                  int64_t now_ms, nx_buffer *out);
NX_API int nx_ffi_channel_put(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                              const uint8_t *value, uint64_t value_length, int64_t expires_at_ms);
NX_API int64_t nx_ffi_channel_patch(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                    uint64_t offset, const uint8_t *bytes, uint64_t bytes_length,
                                    int64_t now_ms);
NX_API bool nx_ffi_channel_remove(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                  int64_t now_ms);
NX_API bool nx_ffi_channel_expire(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                  int64_t expires_at_ms, int64_t now_ms);
NX_API uint64_t nx_ffi_channel_records(const nx_channel *channel);
NX_API uint64_t nx_ffi_channel_key_bytes(const nx_channel *channel);
NX_API uint64_t nx_ffi_channel_value_bytes(const nx_channel *channel);
NX_API uint64_t nx_ffi_channel_record_bytes(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                            int64_t now_ms);
NX_API uint64_t nx_ffi_channel_scan(nx_channel *channel, uint64_t cursor, int64_t now_ms, nx_buffer *out);
NX_API bool nx_ffi_channel_random(nx_channel *channel, uint64_t seed, int64_t now_ms, nx_buffer *out);

nx_buffer *nx_ffi_buffer_new(void) {
  nx_buffer *buffer = __builtin_calloc(1, sizeof *buffer);
  NX_ASSERT(buffer != NULL);
  return buffer;
}

/* What is new has any content. */
void nx_ffi_buffer_resize(nx_buffer *buffer, uint64_t length) {
  if (length > buffer->length) nx_buffer_reserve(buffer, length - buffer->length);
  buffer->length = length;
}

void nx_ffi_buffer_free(nx_buffer *buffer) {
  nx_buffer_free(buffer);
  __builtin_free(buffer);
}

/* `seed` is 16 bytes. */
nx_store *nx_ffi_store_new(uint64_t memory_bytes_max, const uint8_t *seed) {
  return nx_store_new_seeded(memory_bytes_max, nx_load64(seed), nx_load64(seed + 8));
}

void nx_ffi_store_free(nx_store *store) { nx_store_free(store); }
void nx_ffi_store_memory_limit(nx_store *store, uint64_t bytes_max) {
  nx_store_memory_limit(store, bytes_max);
}
void nx_ffi_store_logging(nx_store *store, bool on) { nx_store_logging(store, on); }
void nx_ffi_store_log_removals(nx_store *store, bool on) { nx_store_log_removals(store, on); }
nx_buffer *nx_ffi_store_effects(nx_store *store) { return nx_store_effects(store); }
nx_buffer *nx_ffi_store_effects_swap(nx_store *store) { return nx_store_effects_swap(store); }

nx_channel *nx_ffi_store_channel(nx_store *store, const uint8_t *name, uint32_t name_length, bool create) {
  return nx_store_channel(store, TEXT(name), create);
}

void nx_ffi_store_channel_remove(nx_store *store, nx_channel *channel) {
  nx_store_channel_remove(store, channel);
}

/* Every name, each ended by a line feed. */
void nx_ffi_store_channel_names(nx_store *store, nx_buffer *out) {
  for (uint32_t i = 0; i < nx_store_channel_count(store); i++) {
    nx_slice name = nx_channel_name(nx_store_channel_at(store, i));
    nx_buffer_append(out, name.data, name.length);
    nx_buffer_append(out, "\n", 1);
  }
}

uint32_t nx_ffi_store_tick(nx_store *store, int64_t now_ms, uint32_t steps_max) {
  return nx_store_tick(store, now_ms, steps_max);
}
void nx_ffi_store_stats(const nx_store *store, nx_store_stats *out) { nx_store_stats_read(store, out); }

int64_t nx_ffi_store_replay(nx_store *store, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset) {
  return nx_store_replay(store, bytes, length, bad_offset);
}

int nx_ffi_store_export(nx_store *store, nx_export *state, uint64_t bytes_target, nx_buffer *out) {
  return nx_store_export(store, state, bytes_target, out);
}

/* Appends the value to `out`. Returns the expiry (0: none) or -ENOENT. */
int64_t nx_ffi_channel_get(nx_channel *channel, const uint8_t *key, uint64_t key_length, int64_t now_ms,
                           nx_buffer *out) {
  nx_record record;
  if (!nx_channel_get(channel, TEXT(key), now_ms, &record)) return -ENOENT;
  nx_buffer_append(out, record.value.data, record.value.length);
  return record.expires_at_ms;
}

int nx_ffi_channel_put(nx_channel *channel, const uint8_t *key, uint64_t key_length, const uint8_t *value,
                       uint64_t value_length, int64_t expires_at_ms) {
  return nx_channel_put(channel, TEXT(key), TEXT(value), expires_at_ms);
}

/* The new length, or a negative errno. */
int64_t nx_ffi_channel_patch(nx_channel *channel, const uint8_t *key, uint64_t key_length, uint64_t offset,
                             const uint8_t *bytes, uint64_t bytes_length, int64_t now_ms) {
  uint64_t length_after;
  int result = nx_channel_patch(channel, TEXT(key), offset, TEXT(bytes), now_ms, &length_after);
  return result < 0 ? result : (int64_t)length_after;
}

bool nx_ffi_channel_remove(nx_channel *channel, const uint8_t *key, uint64_t key_length, int64_t now_ms) {
  return nx_channel_remove(channel, TEXT(key), now_ms);
}

bool nx_ffi_channel_expire(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                           int64_t expires_at_ms, int64_t now_ms) {
  return nx_channel_expire(channel, TEXT(key), expires_at_ms, now_ms);
}

uint64_t nx_ffi_channel_records(const nx_channel *channel) { return nx_channel_records(channel); }
uint64_t nx_ffi_channel_key_bytes(const nx_channel *channel) { return nx_channel_key_bytes(channel); }
uint64_t nx_ffi_channel_value_bytes(const nx_channel *channel) { return nx_channel_value_bytes(channel); }

uint64_t nx_ffi_channel_record_bytes(nx_channel *channel, const uint8_t *key, uint64_t key_length,
                                     int64_t now_ms) {
  return nx_channel_record_bytes(channel, TEXT(key), now_ms);
}

/* One visited record: key length u32, value length u32, expiry i64, key, value. */
static void append_visited(void *context, nx_slice key, const nx_record *record) {
  uint8_t header[16];
  nx_store32(header, (uint32_t)key.length);
  nx_store32(header + 4, (uint32_t)record->value.length);
  nx_store64(header + 8, (uint64_t)record->expires_at_ms);
  nx_buffer_append(context, header, sizeof header);
  nx_buffer_append(context, key.data, key.length);
  nx_buffer_append(context, record->value.data, record->value.length);
}

uint64_t nx_ffi_channel_scan(nx_channel *channel, uint64_t cursor, int64_t now_ms, nx_buffer *out) {
  return nx_channel_scan(channel, cursor, now_ms, append_visited, out);
}

bool nx_ffi_channel_random(nx_channel *channel, uint64_t seed, int64_t now_ms, nx_buffer *out) {
  return nx_channel_random(channel, seed, now_ms, append_visited, out);
}
