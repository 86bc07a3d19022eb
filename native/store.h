/*
 * The record store: named channels, each a hash table from byte-string keys to byte-string values.
 *
 * One store serves one node and is used by one thread. It knows nothing of protocols, files or time:
 * callers pass the time in, and every change leaves an effect in `effects` (byte table in effects.h) that
 * the caller makes durable. Effects are physical and idempotent: replaying them, in order, over any later
 * state of the same keys converges to the final state; compaction relies on that.
 *
 * Errors are negative errno: -ENOMEM when `memory_bytes_max` would be exceeded (nothing was changed),
 * -EINVAL for arguments out of range. Allocation failure of the system itself aborts. Removing, expiring and
 * replaying are never refused and may pass the limit: setting or clearing an expiry may move a record to a
 * block of another size class (at worst, with every second record moved, half the data again), and replay
 * brings back whatever was once acknowledged.
 */
#ifndef NX_STORE_H
#define NX_STORE_H
#include <stdbool.h>
#include <stdint.h>
#include "buffer.h"

typedef struct nx_store nx_store;
typedef struct nx_channel nx_channel;

typedef struct {
  const uint8_t *data;
  uint64_t length;
} nx_slice;

#define NX_KEY_BYTES_MAX (512u * 1024u)
#define NX_VALUE_BYTES_MAX (1024u * 1024u * 1024u)
#define NX_CHANNEL_NAME_BYTES_MAX 240u

/* What get returns. `value.data` stays valid until the next call that changes the store. */
typedef struct {
  nx_slice value;
  int64_t expires_at_ms; /* 0: never */
} nx_record;

typedef enum {
  NX_CHANGE_VALUE,   /* a record is created or its value changes */
  NX_CHANGE_EXPIRY,  /* only the time changes when it expires */
  NX_CHANGE_REMOVE,  /* it goes, for whatever reason */
  NX_CHANGE_CHANNEL, /* the whole channel goes; there is no key */
} nx_change;

/* Told of every change before it happens. Serves WATCH, Listen and Mirror. It must not change the store. */
typedef void (*nx_observer_fn)(void *context, nx_channel *channel, nx_change change, nx_slice key);

/* One for each protocol engine. */
#define NX_OBSERVERS_MAX 4u

/* memory_bytes_max 0: no limit. The seed keys the hash: secret and random, or clients can choose keys that
 * collide. */
nx_store *nx_store_new_seeded(uint64_t memory_bytes_max, uint64_t seed_low, uint64_t seed_high);
/* With a seed from the kernel. */
nx_store *nx_store_new(uint64_t memory_bytes_max);
void nx_store_free(nx_store *store);
void nx_store_memory_limit(nx_store *store, uint64_t memory_bytes_max);
/* Observers are called in the order in which they were added. */
void nx_store_observe(nx_store *store, nx_observer_fn fn, void *context);
void nx_store_unobserve(nx_store *store, nx_observer_fn fn, void *context);

/* Effects are recorded only while logging is on (off during replay and in memory mode). */
void nx_store_logging(nx_store *store, bool on);
/* Without logging, records at least that a channel was removed: an owner without a log has files to move. */
void nx_store_log_removals(nx_store *store, bool on);
/* The buffer that effects are appended to; the caller sets its length back to 0 when it has taken them. */
nx_buffer *nx_store_effects(nx_store *store);
/* Makes the other of two buffers current (and empty) and returns the filled one. It stays where it is until
 * the next swap, so it can be written to disk while the store goes on. */
nx_buffer *nx_store_effects_swap(nx_store *store);

/* True for 1..240 bytes out of A-Z a-z 0-9 _ - */
bool nx_channel_name_valid(nx_slice name);
/* NULL when missing and not created, when the name is invalid, or when the memory limit leaves no room to
 * create it. */
nx_channel *nx_store_channel(nx_store *store, nx_slice name, bool create);
nx_slice nx_channel_name(const nx_channel *channel);
/* Different for each channel that ever was in this store, also for one that is made again. */
uint64_t nx_channel_id(const nx_channel *channel);
/* Forgets the channel at once; its memory goes back in steps (nx_store_tick). The pointer is dead afterwards.
 */
void nx_store_channel_remove(nx_store *store, nx_channel *channel);
uint32_t nx_store_channel_count(const nx_store *store);
nx_channel *nx_store_channel_at(nx_store *store, uint32_t index);

/* A record whose time has come (expires_at_ms <= now_ms) is treated as absent everywhere and removed when met
 * by key. */
bool nx_channel_get(nx_channel *channel, nx_slice key, int64_t now_ms, nx_record *out);
/* A hint that these keys (at most 16) are asked for next: overlaps the cache misses of finding their records, and of reading
 * or replacing their values. */
void nx_channel_prefetch(const nx_channel *channel, const nx_slice *keys, uint32_t count);
/* Creates or replaces, sets the expiry (0: none). `value` may lie inside the store. -EINVAL for a key or
 * value that is too long or an expiry below 0. */
int nx_channel_put(nx_channel *channel, nx_slice key, nx_slice value, int64_t expires_at_ms);
/* Overwrites value bytes from `offset` on, zero-filling a gap; creates the record; keeps its expiry.
 * *length_after gets the new length. APPEND is a patch at the current length. `bytes` may lie inside the
 * store. */
int nx_channel_patch(nx_channel *channel, nx_slice key, uint64_t offset, nx_slice bytes, int64_t now_ms,
                     uint64_t *length_after);
bool nx_channel_remove(nx_channel *channel, nx_slice key, int64_t now_ms);
/* Sets (0: clears) the expiry; below 0 counts as long ago. False when there is no such record. */
bool nx_channel_expire(nx_channel *channel, nx_slice key, int64_t expires_at_ms, int64_t now_ms);

/* Records, including those whose time has come but which were not met since. */
uint64_t nx_channel_records(const nx_channel *channel);
uint64_t nx_channel_key_bytes(const nx_channel *channel);
uint64_t nx_channel_value_bytes(const nx_channel *channel);
/* Bytes of the slab blocks and table share of one record: what MEMORY USAGE reports. 0 when missing. */
uint64_t nx_channel_record_bytes(nx_channel *channel, nx_slice key, int64_t now_ms);

/* Records that the swarm protocols know: their key is 16 lower-case hex digits, their value not empty. */
uint64_t nx_channel_swarm_records(const nx_channel *channel);
uint64_t nx_channel_swarm_value_bytes(const nx_channel *channel);
uint64_t nx_store_swarm_records(const nx_store *store);
uint64_t nx_store_swarm_value_bytes(const nx_store *store);
/* A place for what one protocol engine keeps about a channel; NULL at first. The engine clears it when it is
 * told that the channel goes. */
void **nx_channel_attachment(nx_channel *channel);
/* Another such place, for the neo protocol's engine. */
void **nx_channel_mirrors(nx_channel *channel);

/* Visits a few records and returns the next cursor; 0 starts and 0 returned ends. A record present during the
 * whole iteration is visited exactly once, whatever is written or resized meanwhile; one that is removed and
 * made again may be visited twice. The visitor must not change the store. `key.data` is valid during the visit only (compact keys are expanded into a scratch
 * buffer). */
typedef void (*nx_visit_fn)(void *context, nx_slice key, const nx_record *record);
uint64_t nx_channel_scan(nx_channel *channel, uint64_t cursor, int64_t now_ms, nx_visit_fn visit,
                         void *context);
/* The place of a key in the order in which scans visit records, the same for as long as the store lives, whatever is
 * written meanwhile. A scan from nx_scan_cursor_behind(order) meets the records behind that place. */
uint64_t nx_channel_scan_order(const nx_channel *channel, nx_slice key);
/* 0 when there is nothing behind it. */
uint64_t nx_scan_cursor_behind(uint64_t order);

/* A record chosen uniformly enough for RANDOMKEY. False when empty. */
bool nx_channel_random(nx_channel *channel, uint64_t seed, int64_t now_ms, nx_visit_fn visit, void *context);

/* One slice of background work (expiry of due records, freeing removed channels), bounded by about
 * `steps_max` records. Returns the steps taken: less than the bound means nothing is left to do now. */
uint32_t nx_store_tick(nx_store *store, int64_t now_ms, uint32_t steps_max);

typedef struct {
  uint64_t records;
  uint64_t key_bytes;
  uint64_t value_bytes;
  uint64_t memory_bytes; /* all slabs and tables */
  uint64_t memory_peak_bytes;
  uint64_t expired;  /* records removed because their time had come */
  uint64_t expiring; /* records that have an expiry */
} nx_store_stats;
void nx_store_stats_read(const nx_store *store, nx_store_stats *out);

/* Applies effects; returns how many, or -EBADMSG with *bad_offset when a record is malformed. */
int64_t nx_store_replay(nx_store *store, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset);

/* Snapshot in slices: appends put effects of the next records to `out` until it holds >= bytes_target (or
 * 4096 buckets were visited). Start with a zeroed state. Returns 1 while there is more, 0 at the end. Correct
 * together with the effects logged since before the first call: slices first, then those effects. It exports
 * expired records too, because an effect logged since may build on one. */
typedef struct {
  uint64_t channel_id;
  uint64_t cursor;
} nx_export;
int nx_store_export(nx_store *store, nx_export *state, uint64_t bytes_target, nx_buffer *out);

#endif
