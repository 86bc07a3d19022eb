/*
 * Streams: entries in the order of their ids, and groups of consumers that share them, at least once.
 *
 * An entry is a record of the channel's ring; ids only grow, so the ring is sorted and an id is found by halving:
 *
 *   offset  bytes  field
 *        0      8  id: milliseconds
 *        8      8  id: sequence
 *       16      4  1: deleted, it only waits to reach the front
 *       20      4  number of strings (field, value, field, value …), even and at least 2
 *       24      …  each string: u32 length, bytes
 *
 * What was delivered to a consumer and not acknowledged is pending: in a tree of the group and in a tree of the
 * consumer, both by id. Invariant: every pending entry is in exactly these two trees; neither the first nor the
 * last record of the ring is deleted.
 */
#ifndef NX_QUEUE_STREAM_H
#define NX_QUEUE_STREAM_H
#include "pending.h"
#include "queue.h"

#define NX_ENTRY_HEADER_BYTES 24u
/* What a group's count of read entries is when nobody knows. */
#define NX_READ_UNKNOWN INT64_C(-1)

typedef struct nx_consumer {
  uint8_t *name;
  uint32_t name_length;
  int64_t seen_ms;
  nx_pending_tree pending;
} nx_consumer;

typedef struct nx_group {
  uint8_t *name;
  uint32_t name_length;
  nx_stream_id last; /* delivered last */
  int64_t entries_read;
  nx_pending_tree pending;
  nx_consumer **consumers; /* by name */
  uint32_t consumer_count;
} nx_group;

struct nx_stream {
  nx_stream_id last;
  nx_stream_id deleted_max; /* largest id that was deleted by name */
  uint64_t added;           /* entries that ever were */
  uint64_t length;          /* without deleted ones */
  nx_group **groups;        /* by name */
  uint32_t group_count;
  uint64_t seed; /* of the trees' shape */
};

typedef struct {
  nx_stream_id id;
  bool is_deleted;
  uint32_t strings;
  nx_slice bytes; /* of the strings with their lengths */
} nx_entry;

nx_stream *nx_stream_make(void);
void nx_stream_drop(nx_stream *stream);
uint64_t nx_stream_bytes(const nx_stream *stream);

/* --- entries: each records its effect --- */
/* `id` is above the last one. -ENOSPC, -ENOMEM as nx_queue_push. */
int nx_stream_add(nx_queue *queue, nx_stream_id id, const nx_slice *strings, uint32_t count);
nx_entry nx_stream_at(const nx_queue *queue, uint64_t index);
/* The index of the first entry whose id is not below `id`; the ring's count when there is none. */
uint64_t nx_stream_lower(const nx_queue *queue, nx_stream_id id);
/* The entry of this id, or false when there is none or it is deleted. */
bool nx_stream_find(const nx_queue *queue, nx_stream_id id, nx_entry *entry);
/* How many of them were there; false entries are ignored. */
uint64_t nx_stream_delete(nx_queue *queue, const nx_stream_id *ids, uint32_t count);
/* Takes `count` entries away at the front. */
void nx_stream_trim(nx_queue *queue, uint64_t count);
/* Sets what XSETID sets. */
void nx_stream_set(nx_queue *queue, nx_stream_id last, nx_stream_id deleted_max, uint64_t added);
/* Reads one string of an entry and steps on. */
nx_slice nx_entry_string(nx_slice *rest);
nx_stream_id nx_stream_first_id(const nx_queue *queue);

/* --- groups --- */
nx_group *nx_group_find(const nx_stream *stream, nx_slice name);
/* Made, or set to `last`. */
nx_group *nx_group_set(nx_queue *queue, nx_slice name, nx_stream_id last, int64_t entries_read);
void nx_group_remove(nx_queue *queue, nx_group *group);
nx_consumer *nx_consumer_find(const nx_group *group, nx_slice name);
/* Made if need be, and seen now. */
nx_consumer *nx_consumer_see(nx_queue *queue, nx_group *group, nx_slice name, int64_t now_ms);
void nx_consumer_remove(nx_queue *queue, nx_group *group, nx_consumer *consumer);
/* The entry is pending for this consumer from here on, whoever had it. */
/* Whether as many entries are pending in it as may be. */
bool nx_group_is_full(const nx_queue *queue, const nx_group *group);
nx_pending *nx_group_deliver(nx_queue *queue, nx_group *group, nx_consumer *consumer, nx_stream_id id,
                             int64_t delivered_ms, uint64_t deliveries);
/* False when it is not pending. */
bool nx_group_settle(nx_queue *queue, nx_group *group, nx_stream_id id);
/* Entries up to this one were read by the group: XREADGROUP delivers it. */
void nx_group_advance(nx_queue *queue, nx_group *group, nx_stream_id id);
/* Entries that the group has not read; false when nobody knows. Below 0 after somebody set the counts so. */
bool nx_group_lag(const nx_queue *queue, const nx_group *group, int64_t *lag);
/* Records where the group is; after a run of nx_group_advance. */
void nx_group_record(nx_queue *queue, const nx_group *group);

#endif
