/*
 * The channels of a logfiles node in memory: what was written and is not in a file yet, and what was changed since the
 * append log was last told.
 *
 * Each record of a channel has a number, one more than the one before it. A file says which numbers it holds, so
 * that after a crash nothing is taken twice from the log. A channel that was removed and made again goes on with the
 * numbers of the old one.
 *
 * The log's payload ("effects"), integers little-endian, one entry behind the other:
 *
 *   run      u8 1 | u8 length of the name | u16 0 | u32 bytes of the records | u32 records | u64 number of the first |
 *            name | { u64 key | u32 length | value } …
 *   removal  u8 2 | u8 length of the name | u16 0 | u32 0 | u32 0 | u64 number that the next record would have had | name
 *
 * Invariant: an entry is whole; names are valid; a run's counts agree with its records. Replaying an entry again
 * changes nothing. A crash takes what is here; what was acknowledged is in the log.
 */
#ifndef NX_LOGFILES_LOGS_H
#define NX_LOGFILES_LOGS_H
#include "memtable.h"
#include "siphash.h"
#include "store.h"

#define NX_LOGS_NAME_BYTES_MAX 255u
#define NX_LOGS_ENTRY_BYTES 20u

typedef struct nx_log_channel {
  nx_memtable *memtable; /* takes what is written */
  uint64_t next_number;
  uint64_t sealed_number; /* records below it are in files: the log's are skipped */
  uint64_t records, value_bytes; /* of the channel, files included */
  uint64_t removed_at; /* records below this number are removed, those in files too */
  bool is_removed;
  uint32_t name_length;
  uint8_t name[NX_LOGS_NAME_BYTES_MAX];
} nx_log_channel;

typedef struct {
  nx_seed seed;
  nx_log_channel **channels; /* in the order of their making; a removed one keeps its place */
  uint32_t count, capacity;
  uint32_t *slots; /* of a hash table: index + 1 */
  uint32_t slots_mask;
  nx_buffer effects;
  uint64_t run_start; /* of the run that the next record may join; UINT64_MAX: none */
  nx_log_channel *run_channel;
  uint64_t memtable_bytes; /* of all channels' memtables that take what is written */
  uint64_t records, value_bytes;
  uint64_t written; /* records since the beginning */
  nx_log_channel *last;
  nx_memtable *orphans; /* of removed channels, until their owner takes them: somebody may be reading them */
} nx_logs;

nx_logs *nx_logs_new(nx_seed seed);
void nx_logs_free(nx_logs *logs);

/* NULL when there is none and `is_made` is false. `name` must be valid. */
nx_log_channel *nx_logs_channel(nx_logs *logs, nx_slice name, bool is_made);
void nx_logs_put(nx_logs *logs, nx_log_channel *channel, uint64_t key, const uint8_t *value, uint64_t length);
/* Forgets the channel's records and appends the removal. Its memtable is an orphan afterwards. */
void nx_logs_remove(nx_logs *logs, nx_log_channel *channel);
/* The run that is being written ends: the effects were taken. */
void nx_logs_effects_taken(nx_logs *logs);
/* An orphan, which is the caller's from then on; NULL when there is none. */
nx_memtable *nx_logs_take_orphan(nx_logs *logs);
/* The channel's records go on in a new memtable; the old one is the caller's. NULL when it holds nothing. */
nx_memtable *nx_logs_freeze(nx_logs *logs, nx_log_channel *channel);
/* Replays a run of entries. Returns how many there were, or -EBADMSG. */
int64_t nx_logs_replay(nx_logs *logs, const uint8_t *bytes, uint64_t length);
/* Appends records `*at` … of a memtable as runs, about `bytes_target`; *at moves on. */
void nx_logs_export(const nx_log_channel *channel, const nx_memtable *memtable, uint64_t *at, uint64_t count,
                    uint64_t bytes_target, nx_buffer *to);

#endif
