/*
 * The multi-version store for bun:ffi: byte strings as address and length, results in a block that TypeScript reads
 * through a view, variable-length results in the store's own output buffer.
 *
 * Invariant: nothing here keeps an address that was passed in.
 */
#include <errno.h>
#include <stdlib.h>

#include "../bytes.h"
#include "../nx.h"
#include "versions.h"

/* Shared with src/native/versions.ts: doubles, in this order. */
typedef struct {
  double start, next, type, value_address, value_length;
  double out_address, out_length;
  nx_versions_stats stats;
} result_block;

typedef struct {
  nx_versions *versions;
  nx_buffer out;
  result_block block;
} handle;

NX_API handle *nx_ffi_versions_new(void);
NX_API void nx_ffi_versions_free(handle *h);
NX_API result_block *nx_ffi_versions_block(handle *h);
NX_API void nx_ffi_versions_raise_horizon(handle *h, double horizon);
NX_API int nx_ffi_versions_write(handle *h, const uint8_t *key, uint64_t key_length, double timestamp, double position,
                                 const uint8_t *ops, uint64_t ops_length);
NX_API int nx_ffi_versions_read(handle *h, const uint8_t *key, uint64_t key_length, double timestamp);
NX_API int nx_ffi_versions_changed(handle *h, const uint8_t *key, uint64_t key_length, uint32_t part_kind,
                                   const uint8_t *part, uint64_t part_length, double since, bool was_present);
NX_API bool nx_ffi_versions_scan(handle *h, const uint8_t *from, uint64_t from_length, bool after, const uint8_t *to,
                                 uint64_t to_length, double timestamp, uint32_t count_max, double bytes_target);
NX_API bool nx_ffi_versions_collect(handle *h, uint32_t keys_max);
NX_API void nx_ffi_versions_dump_begin(handle *h, double position);
NX_API bool nx_ffi_versions_dump(handle *h, double bytes_target);
NX_API void nx_ffi_versions_dump_end(handle *h);
NX_API int nx_ffi_versions_load(handle *h, const uint8_t *bytes, uint64_t length);
NX_API void nx_ffi_versions_stats(handle *h);

handle *nx_ffi_versions_new(void) {
  handle *h = calloc(1, sizeof *h);
  NX_ASSERT(h != NULL);
  h->versions = nx_versions_new();
  return h;
}

void nx_ffi_versions_free(handle *h) {
  nx_versions_free(h->versions);
  nx_buffer_free(&h->out);
  free(h);
}

result_block *nx_ffi_versions_block(handle *h) { return &h->block; }

void nx_ffi_versions_raise_horizon(handle *h, double horizon) {
  nx_versions_raise_horizon(h->versions, (uint64_t)horizon);
}

int nx_ffi_versions_write(handle *h, const uint8_t *key, uint64_t key_length, double timestamp, double position,
                          const uint8_t *ops, uint64_t ops_length) {
  return nx_versions_write(h->versions, (nx_bytes){key, key_length}, (uint64_t)timestamp, (uint64_t)position,
                           (nx_bytes){ops, ops_length});
}

int nx_ffi_versions_read(handle *h, const uint8_t *key, uint64_t key_length, double timestamp) {
  nx_version_view view;
  int result = nx_versions_read(h->versions, (nx_bytes){key, key_length}, (uint64_t)timestamp, &view);
  h->block.start = (double)view.start;
  h->block.next = (double)view.next;
  h->block.type = view.type;
  h->block.value_address = (double)(uintptr_t)view.value.data;
  h->block.value_length = (double)view.value.length;
  return result;
}

int nx_ffi_versions_changed(handle *h, const uint8_t *key, uint64_t key_length, uint32_t part_kind,
                            const uint8_t *part, uint64_t part_length, double since, bool was_present) {
  if (part_kind > NX_PART_FIELD || (part_kind == NX_PART_INDEX && part_length != 4)) return -EINVAL;
  nx_part asked = {(uint8_t)part_kind, {part, part_length}};
  return nx_versions_changed(h->versions, (nx_bytes){key, key_length}, asked, (uint64_t)since, was_present);
}

static void show_out(handle *h) {
  h->block.out_address = (double)(uintptr_t)h->out.data;
  h->block.out_length = (double)h->out.length;
}

bool nx_ffi_versions_scan(handle *h, const uint8_t *from, uint64_t from_length, bool after, const uint8_t *to,
                          uint64_t to_length, double timestamp, uint32_t count_max, double bytes_target) {
  h->out.length = 0;
  bool more = nx_versions_scan(h->versions, (nx_bytes){from, from_length}, after, (nx_bytes){to, to_length},
                               (uint64_t)timestamp, count_max, (uint64_t)bytes_target, &h->out);
  show_out(h);
  return more;
}

bool nx_ffi_versions_collect(handle *h, uint32_t keys_max) { return nx_versions_collect(h->versions, keys_max); }

void nx_ffi_versions_dump_begin(handle *h, double position) {
  nx_versions_dump_begin(h->versions, (uint64_t)position);
}

bool nx_ffi_versions_dump(handle *h, double bytes_target) {
  h->out.length = 0;
  bool more = nx_versions_dump(h->versions, (uint64_t)bytes_target, &h->out);
  show_out(h);
  return more;
}

void nx_ffi_versions_dump_end(handle *h) { nx_versions_dump_end(h->versions); }

int nx_ffi_versions_load(handle *h, const uint8_t *bytes, uint64_t length) {
  return nx_versions_load(h->versions, (nx_bytes){bytes, length});
}

void nx_ffi_versions_stats(handle *h) { nx_versions_read_stats(h->versions, &h->block.stats); }
