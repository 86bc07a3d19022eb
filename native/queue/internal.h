/*
 * What the files of native/queue share: the set of channels, and the export that may be under way.
 *
 * Arrows run one way: queues.c (names) → queue.c (records) and stream.c → ring.c; replay.c and export.c stand on
 * all of them.
 */
#ifndef NX_QUEUE_INTERNAL_H
#define NX_QUEUE_INTERNAL_H
#include "../bytes.h"
#include "../siphash.h"
#include "queue.h"

typedef struct {
  nx_queue_observer call;
  void *context;
} nx_observing;

typedef struct {
  uint8_t *bytes;
  uint64_t length;
  uint64_t ring_bytes;
} nx_size_prefix;

/* A snapshot being taken. Invariant: of the channel whose turn it is, records with numbers in [at, end) are still to
 * be exported; what goes away before is exported first, into `left`. */
typedef struct {
  bool is_running;
  bool has_begun; /* the counter was exported */
  nx_queue *queue;
  bool is_inside; /* the channel's head was exported */
  int64_t at, end;
  uint64_t version;
  nx_buffer ahead; /* the end of that channel */
  nx_buffer left;  /* records that went before their piece was asked for */
} nx_queue_export;

/* What clients did since the start, whatever became of the channels. */
typedef struct {
  uint64_t pushed, pushed_bytes;
  uint64_t popped, popped_bytes; /* taken by clients, deleted or trimmed; not with their whole channel */
  uint64_t refused, dropped;
} nx_queue_counts;

struct nx_queues {
  uint64_t settings[NX_QUEUES_SETTINGS];
  nx_overflow overflow; /* no area: there is none */
  nx_seed seed;
  nx_queue **buckets;
  uint64_t bucket_count; /* a power of two */
  nx_queue *first, *last;
  nx_queue *recent; /* the one found last */
  uint32_t count;
  bool has_no_leftovers; /* none ran empty since they were looked for */
  uint64_t last_id;
  uint64_t used;
  nx_queue_counts counts;
  uint64_t number; /* of the last effect */
  bool is_logging;
  nx_buffer effects;
  nx_observing observers[NX_QUEUE_OBSERVERS_MAX];
  nx_size_prefix *prefixes;
  uint32_t prefix_count;
  uint64_t deliveries_max; /* dead.c; 0: no limit */
  uint8_t dead_suffix[64];
  uint32_t dead_suffix_length;
  nx_queue_export export;
};

void nx_queue_tell(nx_queue *queue, nx_queue_change change);
/* Without an effect: replay and what records its own. */
nx_queue *nx_queue_create(nx_queues *queues, nx_slice name, nx_queue_kind kind, bool is_kept);
void nx_queue_delete(nx_queue *queue);
/* Makes `name` a storage of the channel behind its zero byte. */
nx_queue *nx_queue_add_storage(nx_queues *queues, nx_slice name);
/* Stores a record in this very ring; false when it has no room. */
bool nx_queue_store(nx_queue *queue, nx_slice value, nx_queue_end end);
/* Lays the ring out so that one more record of this length fits, whatever the limits are: it was acknowledged
 * once. */
bool nx_queue_widen(nx_queue *queue, uint64_t length);
/* Drops without an effect; returns the bytes of the values. */
uint64_t nx_queue_forget(nx_queue *queue, nx_queue_end end, uint64_t count);

/* stream.c, groups.c: for replay, without an effect; false when malformed. */
bool nx_stream_replay_add(nx_queue *queue, nx_slice record);
void nx_stream_replay_delete(nx_queue *queue, nx_slice ids);
/* Returns the bytes of the entries. */
uint64_t nx_stream_replay_trim(nx_queue *queue, uint64_t count);
void nx_stream_replay_state(nx_queue *queue, nx_slice value);
bool nx_groups_replay(nx_queue *queue, uint32_t operation, nx_slice value);
/* State and groups as effects with number 0. */
void nx_stream_export_state(const nx_queue *queue, nx_buffer *out);
void nx_groups_export(const nx_queue *queue, nx_buffer *out);

/* export.c: to be called before records go. */
void nx_export_before_front(nx_queue *queue, uint64_t count);
void nx_export_rest(nx_queue *queue); /* nothing unless it is being exported */
void nx_export_before_delete(nx_queue *queue);
static inline bool nx_is_exporting(const nx_queue *queue) {
  return __builtin_expect(queue->owner->export.queue == queue && queue->owner->export.is_inside, 0);
}

#endif
