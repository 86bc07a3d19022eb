/* See logs.h. */
#include "logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { ENTRY_RUN = 1, ENTRY_REMOVAL = 2 };

/* A run is closed at this size, so that what reads it back needs no more at once. */
#define RUN_BYTES_MAX (1u << 20)
#define NO_RUN UINT64_MAX
#define SLOTS_MIN 64u

nx_logs *nx_logs_new(nx_seed seed) {
  nx_logs *logs = calloc(1, sizeof *logs);
  NX_ASSERT(logs != NULL);
  logs->seed = seed;
  logs->run_start = NO_RUN;
  logs->slots = calloc(SLOTS_MIN, sizeof *logs->slots);
  NX_ASSERT(logs->slots != NULL);
  logs->slots_mask = SLOTS_MIN - 1;
  return logs;
}

void nx_logs_free(nx_logs *logs) {
  for (uint32_t i = 0; i < logs->count; i++) {
    nx_memtable_free(logs->channels[i]->memtable);
    free(logs->channels[i]);
  }
  for (nx_memtable *orphan; (orphan = nx_logs_take_orphan(logs)) != NULL;) nx_memtable_free(orphan);
  free(logs->channels);
  free(logs->slots);
  nx_buffer_free(&logs->effects);
  free(logs);
}

/* --- channels by name ----------------------------------------------------------------------------------- */

static bool is_called(const nx_log_channel *channel, nx_slice name) {
  return channel->name_length == name.length && memcmp(channel->name, name.data, name.length) == 0;
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t *find_slot(const nx_logs *logs, nx_slice name) {
  uint32_t at = (uint32_t)nx_siphash(logs->seed, name.data, name.length) & logs->slots_mask;
  while (logs->slots[at] != 0 && !is_called(logs->channels[logs->slots[at] - 1], name))
    at = (at + 1) & logs->slots_mask;
  return &logs->slots[at];
}

static void grow(nx_logs *logs) {
  if (logs->count == logs->capacity) {
    logs->capacity = logs->capacity == 0 ? 16 : 2 * logs->capacity;
    logs->channels = realloc(logs->channels, logs->capacity * sizeof *logs->channels);
    NX_ASSERT(logs->channels != NULL);
  }
  if (2 * logs->count < logs->slots_mask) return;
  uint32_t slots = 2 * (logs->slots_mask + 1);
  free(logs->slots);
  logs->slots = calloc(slots, sizeof *logs->slots);
  NX_ASSERT(logs->slots != NULL);
  logs->slots_mask = slots - 1;
  for (uint32_t i = 0; i < logs->count; i++) {
    const nx_log_channel *channel = logs->channels[i];
    *find_slot(logs, (nx_slice){channel->name, channel->name_length}) = i + 1;
  }
}

static nx_log_channel *make(nx_logs *logs, nx_slice name) {
  NX_ASSERT(nx_channel_name_valid(name) && name.length <= NX_LOGS_NAME_BYTES_MAX);
  grow(logs);
  nx_log_channel *channel = calloc(1, sizeof *channel);
  NX_ASSERT(channel != NULL);
  channel->name_length = (uint32_t)name.length;
  memcpy(channel->name, name.data, name.length);
  channel->memtable = nx_memtable_new(0);
  *find_slot(logs, name) = logs->count + 1;
  logs->channels[logs->count++] = channel;
  return channel;
}

nx_log_channel *nx_logs_channel(nx_logs *logs, nx_slice name, bool is_made) {
  nx_log_channel *channel = logs->last;
  if (channel == NULL || !is_called(channel, name)) {
    uint32_t index = *find_slot(logs, name);
    if (index == 0 && !is_made) return NULL;
    channel = index == 0 ? make(logs, name) : logs->channels[index - 1];
    logs->last = channel;
  }
  if (!channel->is_removed) return channel;
  if (!is_made) return NULL;
  channel->is_removed = false;
  return channel;
}

/* --- effects -------------------------------------------------------------------------------------------- */

static uint8_t *reserve(nx_buffer *to, uint64_t length) {
  if (__builtin_expect(to->capacity - to->length < length, 0)) nx_buffer_reserve(to, length);
  uint8_t *at = to->data + to->length;
  to->length += length;
  return at;
}

static void append_entry(nx_buffer *to, uint8_t kind, const nx_log_channel *channel, uint64_t number) {
  uint8_t *at = reserve(to, NX_LOGS_ENTRY_BYTES + channel->name_length);
  memset(at, 0, NX_LOGS_ENTRY_BYTES);
  at[0] = kind;
  at[1] = (uint8_t)channel->name_length;
  nx_store64(at + 12, number);
  memcpy(at + NX_LOGS_ENTRY_BYTES, channel->name, channel->name_length);
}

static void append_record(nx_buffer *to, uint64_t run_start, uint64_t key, const uint8_t *value,
                          uint64_t length) {
  uint8_t *at = reserve(to, NX_MEMTABLE_HEADER_BYTES + length);
  nx_store64(at, key);
  nx_store32(at + 8, (uint32_t)length);
  nx_copy(at + NX_MEMTABLE_HEADER_BYTES, value, length);
  uint8_t *run = to->data + run_start;
  nx_store32(run + 4, nx_load32(run + 4) + (uint32_t)(NX_MEMTABLE_HEADER_BYTES + length));
  nx_store32(run + 8, nx_load32(run + 8) + 1);
}

static bool may_join(const nx_buffer *to, uint64_t run_start) {
  return run_start != NO_RUN && to->length - run_start < RUN_BYTES_MAX;
}

static void keep(nx_logs *logs, nx_log_channel *channel, uint64_t key, const uint8_t *value, uint64_t length) {
  uint64_t before = channel->memtable->memory_bytes;
  if (channel->memtable->records == 0) channel->memtable->first_number = channel->next_number;
  nx_memtable_append(channel->memtable, key, value, length);
  logs->memtable_bytes += channel->memtable->memory_bytes - before;
  channel->next_number += 1;
  channel->records += 1;
  channel->value_bytes += length;
  logs->records += 1;
  logs->value_bytes += length;
}

void nx_logs_put(nx_logs *logs, nx_log_channel *channel, uint64_t key, const uint8_t *value, uint64_t length) {
  NX_ASSERT(!channel->is_removed && length > 0 && length <= NX_LOG_VALUE_BYTES_MAX);
  if (logs->run_channel != channel || !may_join(&logs->effects, logs->run_start)) {
    logs->run_channel = channel;
    logs->run_start = logs->effects.length;
    append_entry(&logs->effects, ENTRY_RUN, channel, channel->next_number);
  }
  append_record(&logs->effects, logs->run_start, key, value, length);
  keep(logs, channel, key, value, length);
  logs->written += 1;
}

void nx_logs_effects_taken(nx_logs *logs) {
  logs->effects.length = 0;
  logs->run_start = NO_RUN;
  nx_buffer_trim(&logs->effects, 4 * RUN_BYTES_MAX);
}

static void forget(nx_logs *logs, nx_log_channel *channel) {
  nx_memtable *memtable = nx_logs_freeze(logs, channel);
  if (memtable != NULL) {
    memtable->next = logs->orphans;
    logs->orphans = memtable;
  }
  logs->records -= channel->records;
  logs->value_bytes -= channel->value_bytes;
  channel->records = channel->value_bytes = 0;
  channel->is_removed = true;
}

nx_memtable *nx_logs_take_orphan(nx_logs *logs) {
  nx_memtable *orphan = logs->orphans;
  if (orphan != NULL) logs->orphans = orphan->next;
  return orphan;
}

void nx_logs_remove(nx_logs *logs, nx_log_channel *channel) {
  forget(logs, channel);
  channel->removed_at = channel->next_number;
  logs->run_start = NO_RUN;
  append_entry(&logs->effects, ENTRY_REMOVAL, channel, channel->next_number);
}

nx_memtable *nx_logs_freeze(nx_logs *logs, nx_log_channel *channel) {
  nx_memtable *memtable = channel->memtable;
  if (memtable->records == 0) return NULL;
  logs->memtable_bytes -= memtable->memory_bytes;
  channel->memtable = nx_memtable_new(channel->next_number);
  return memtable;
}

/* --- replay --------------------------------------------------------------------------------------------- */

typedef struct {
  uint8_t kind;
  nx_slice name;
  nx_slice records;
  uint32_t count;
  uint64_t number;
} entry;

static bool read_entry(const uint8_t *bytes, uint64_t length, entry *out) {
  if (length < NX_LOGS_ENTRY_BYTES) return false;
  out->kind = bytes[0];
  out->name = (nx_slice){bytes + NX_LOGS_ENTRY_BYTES, bytes[1]};
  uint64_t records = nx_load32(bytes + 4);
  out->count = nx_load32(bytes + 8);
  out->number = nx_load64(bytes + 12);
  if (length - NX_LOGS_ENTRY_BYTES < out->name.length + records) return false;
  out->records = (nx_slice){out->name.data + out->name.length, records};
  if (!nx_channel_name_valid(out->name) || bytes[2] != 0 || bytes[3] != 0) return false;
  if (out->kind == ENTRY_RUN) return out->count > 0 && out->number <= UINT64_MAX - out->count;
  return out->kind == ENTRY_REMOVAL && records == 0 && out->count == 0;
}

/* Whether the records fill the run exactly; none is taken before all are checked. */
static bool is_run_whole(const entry *run) {
  uint64_t at = 0;
  for (uint32_t i = 0; i < run->count; i++) {
    if (run->records.length - at < NX_MEMTABLE_HEADER_BYTES) return false;
    uint64_t length = nx_load32(run->records.data + at + 8);
    if (length == 0 || length > NX_LOG_VALUE_BYTES_MAX ||
        run->records.length - at - NX_MEMTABLE_HEADER_BYTES < length)
      return false;
    at += NX_MEMTABLE_HEADER_BYTES + length;
  }
  return at == run->records.length;
}

/* False when records are missing in between: numbers of a channel follow each other, and may only begin anywhere. */
static bool replay_run(nx_logs *logs, const entry *run) {
  nx_log_channel *channel = nx_logs_channel(logs, run->name, true);
  uint64_t known = channel->next_number > channel->sealed_number ? channel->next_number : channel->sealed_number;
  uint64_t at = 0;
  for (uint32_t i = 0; i < run->count; i++) {
    const uint8_t *record = run->records.data + at;
    uint64_t length = nx_load32(record + 8), number = run->number + i;
    at += NX_MEMTABLE_HEADER_BYTES + length;
    if (number < known) continue;
    if (channel->memtable->records == 0) channel->next_number = number;
    if (number != channel->next_number) return false;
    keep(logs, channel, nx_load64(record), record + NX_MEMTABLE_HEADER_BYTES, length);
  }
  return true;
}

static void replay_removal(nx_logs *logs, const entry *removal) {
  nx_log_channel *channel = nx_logs_channel(logs, removal->name, true);
  if (channel->next_number <= removal->number) {
    forget(logs, channel);
    channel->next_number = removal->number;
  }
  if (removal->number > channel->removed_at) channel->removed_at = removal->number;
}

int64_t nx_logs_replay(nx_logs *logs, const uint8_t *bytes, uint64_t length) {
  int64_t count = 0;
  for (uint64_t at = 0; at < length; count++) {
    entry next;
    if (!read_entry(bytes + at, length - at, &next)) return -EBADMSG;
    if (next.kind == ENTRY_RUN && !is_run_whole(&next)) return -EBADMSG;
    if (next.kind == ENTRY_REMOVAL) replay_removal(logs, &next);
    else if (!replay_run(logs, &next)) return -EBADMSG;
    at += NX_LOGS_ENTRY_BYTES + next.name.length + next.records.length;
  }
  return count;
}

/* --- export --------------------------------------------------------------------------------------------- */

/* Where the record `number` of a memtable stands; chunks are few and long. */
typedef struct {
  const nx_memtable_chunk *chunk;
  uint64_t at;
} place;

static const uint8_t *next_record(place *p) {
  while (p->at == p->chunk->used) {
    p->chunk = p->chunk->next;
    NX_ASSERT(p->chunk != NULL);
    p->at = 0;
  }
  const uint8_t *record = p->chunk->data + p->at;
  p->at += NX_MEMTABLE_HEADER_BYTES + nx_load32(record + 8);
  return record;
}

void nx_logs_export(const nx_log_channel *channel, const nx_memtable *memtable, uint64_t *at, uint64_t count,
                    uint64_t bytes_target, nx_buffer *to) {
  if (*at >= count) return;
  place p = {memtable->first, 0};
  for (uint64_t i = 0; i < *at; i++) next_record(&p);
  uint64_t run = to->length;
  append_entry(to, ENTRY_RUN, channel, memtable->first_number + *at);
  /* One record at least, whatever the target. */
  do {
    if (!may_join(to, run)) {
      run = to->length;
      append_entry(to, ENTRY_RUN, channel, memtable->first_number + *at);
    }
    const uint8_t *record = next_record(&p);
    append_record(to, run, nx_load64(record), record + NX_MEMTABLE_HEADER_BYTES, nx_load32(record + 8));
    *at += 1;
  } while (*at < count && to->length < bytes_target);
}
