/* See memtable.h. */
#include "memtable.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define CHUNK_BYTES_MIN 4096u
#define CHUNK_BYTES_MAX (1u << 20)

nx_memtable *nx_memtable_new(uint64_t first_number) {
  nx_memtable *memtable = calloc(1, sizeof *memtable);
  NX_ASSERT(memtable != NULL);
  memtable->first_number = first_number;
  memtable->key_min = UINT64_MAX;
  memtable->is_ordered = true;
  return memtable;
}

void nx_memtable_free(nx_memtable *memtable) {
  for (nx_memtable_chunk *chunk = memtable->first; chunk != NULL;) {
    nx_memtable_chunk *next = chunk->next;
    free(chunk);
    chunk = next;
  }
  free(memtable);
}

static nx_memtable_chunk *add_chunk(nx_memtable *memtable, uint64_t needed) {
  uint64_t capacity = memtable->last == NULL ? CHUNK_BYTES_MIN : memtable->last->capacity * 2;
  if (capacity > CHUNK_BYTES_MAX) capacity = CHUNK_BYTES_MAX;
  if (capacity < needed) capacity = needed;
  nx_memtable_chunk *chunk = malloc(sizeof *chunk + capacity);
  NX_ASSERT(chunk != NULL);
  chunk->next = NULL;
  chunk->used = 0;
  chunk->capacity = capacity;
  memtable->memory_bytes += sizeof *chunk + capacity;
  if (memtable->last == NULL) memtable->first = chunk;
  else __atomic_store_n(&memtable->last->next, chunk, __ATOMIC_RELEASE);
  memtable->last = chunk;
  return chunk;
}

void nx_memtable_append(nx_memtable *memtable, uint64_t key, const uint8_t *value, uint64_t length) {
  NX_ASSERT(length <= UINT32_MAX);
  uint64_t needed = NX_MEMTABLE_HEADER_BYTES + length;
  nx_memtable_chunk *chunk = memtable->last;
  if (chunk == NULL || chunk->capacity - chunk->used < needed) chunk = add_chunk(memtable, needed);
  uint8_t *at = chunk->data + chunk->used;
  nx_store64(at, key);
  nx_store32(at + 8, (uint32_t)length);
  nx_copy(at + NX_MEMTABLE_HEADER_BYTES, value, length);
  __atomic_store_n(&chunk->used, chunk->used + needed, __ATOMIC_RELEASE);
  uint64_t bucket = key >> NX_BUCKET_SHIFT;
  if (bucket < memtable->last_bucket) memtable->is_ordered = false;
  memtable->last_bucket = bucket;
  if (key < memtable->key_min) memtable->key_min = key;
  if (key > memtable->key_max) memtable->key_max = key;
  memtable->records += 1;
  memtable->value_bytes += length;
}

/* Stable, by bucket: pieces of the order of writing are merged, longer ones each time. */
static void sort_entries(nx_memtable_entry *entries, uint64_t length) {
  nx_memtable_entry *other = malloc(length * sizeof *other);
  NX_ASSERT(other != NULL);
  nx_memtable_entry *from = entries, *to = other;
  for (uint64_t width = 1; width < length; width *= 2) {
    for (uint64_t start = 0; start < length; start += 2 * width) {
      uint64_t middle = start + width < length ? start + width : length;
      uint64_t end = middle + width < length ? middle + width : length;
      uint64_t a = start, b = middle;
      for (uint64_t i = start; i < end; i++)
        to[i] = a < middle && (b == end || from[a].bucket <= from[b].bucket) ? from[a++] : from[b++];
    }
    nx_memtable_entry *sorted = to;
    to = from;
    from = sorted;
  }
  if (from != entries) memcpy(entries, from, length * sizeof *entries);
  free(other);
}

nx_memtable_reader *nx_memtable_reader_new(const nx_memtable *memtable, uint64_t from, uint64_t count,
                                           uint64_t low, uint64_t high) {
  nx_memtable_reader *reader = calloc(1, sizeof *reader);
  NX_ASSERT(reader != NULL);
  uint64_t capacity = 0, bucket = 0;
  bool is_ordered = true;
  const nx_memtable_chunk *chunk = memtable->first;
  uint64_t at = 0;
  for (uint64_t index = 0; index < count; index++) {
    /* The first `count` records are complete; so is everything that leads to them. */
    while (at == __atomic_load_n(&chunk->used, __ATOMIC_ACQUIRE)) {
      chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE);
      NX_ASSERT(chunk != NULL);
      at = 0;
    }
    const uint8_t *record = chunk->data + at;
    uint64_t key = nx_load64(record);
    at += NX_MEMTABLE_HEADER_BYTES + nx_load32(record + 8);
    if (index < from || key < low || key > high) continue;
    if (reader->length == capacity) {
      capacity = capacity == 0 ? 256 : 2 * capacity;
      reader->entries = realloc(reader->entries, capacity * sizeof *reader->entries);
      NX_ASSERT(reader->entries != NULL);
    }
    if (key >> NX_BUCKET_SHIFT < bucket) is_ordered = false;
    bucket = key >> NX_BUCKET_SHIFT;
    reader->entries[reader->length++] = (nx_memtable_entry){bucket, record};
  }
  if (!is_ordered) sort_entries(reader->entries, reader->length);
  return reader;
}

uint64_t nx_memtable_reader_next(nx_memtable_reader *reader, uint64_t bytes_target, nx_buffer *out) {
  while (reader->at < reader->length && nx_page_builder_bytes(&reader->builder) < bytes_target) {
    const uint8_t *record = reader->entries[reader->at++].record;
    nx_page_builder_add(&reader->builder, nx_load64(record), record + NX_MEMTABLE_HEADER_BYTES,
                        nx_load32(record + 8));
  }
  uint64_t records = reader->builder.records;
  nx_page_builder_finish(&reader->builder, out);
  return records;
}

void nx_memtable_reader_free(nx_memtable_reader *reader) {
  nx_page_builder_free(&reader->builder);
  free(reader->entries);
  free(reader);
}
