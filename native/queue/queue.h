/*
 * The queues of a queue node: named channels, each a ring of records, or a stream with consumer groups.
 *
 * One set serves one node and is used by one thread. It knows nothing of protocols, files or time: callers pass
 * the time in, and every change leaves an effect in `effects` (byte table in effects.h) that the caller makes
 * durable. Effects are numbered and each channel knows the number of its last one, so a replay over a snapshot
 * applies each exactly once.
 *
 * A channel may have subscribers: then it has no records of its own, and what is pushed goes to the storage of
 * each subscriber, a channel of its own whose name is the subscriber's, a zero byte, and the channel's.
 *
 * Errors are negative errno: -ENOSPC when the channel's ring has no room, -ENOMEM when all channels together
 * have none. Allocation failure of the system itself aborts.
 */
#ifndef NX_QUEUE_H
#define NX_QUEUE_H
#include <stdbool.h>
#include <stdint.h>
#include "../buffer.h"
#include "../nx.h"
#include "../store.h" /* nx_slice, nx_channel_name_valid */
#include "ring.h"

typedef struct nx_queues nx_queues;
typedef struct nx_queue nx_queue;
typedef struct nx_stream nx_stream;

#define NX_QUEUE_NAME_BYTES_MAX 32768u

/* Settings, an array of doubles in this order (src/native/queues.ts). */
enum {
  NX_QUEUES_CHANNEL_BYTES, /* a channel's ring, where no prefix says otherwise */
  NX_QUEUES_SIZE_BYTES_MAX, /* used bytes of all channels together; 0: no limit */
  NX_QUEUES_DROPS_OLDEST,  /* 1: a full channel lets go of its oldest records instead of refusing */
  NX_QUEUES_CHANNELS_MAX,  /* channels at once, storages of subscribers too; 0: no limit */
  NX_QUEUES_PENDING_MAX,   /* entries that may be pending in one group; 0: no limit */
  NX_QUEUES_SETTINGS
};

typedef enum { NX_QUEUE_LIST = 1, NX_QUEUE_STREAM = 2 } nx_queue_kind;
typedef enum { NX_FRONT, NX_BACK } nx_queue_end;

typedef enum {
  NX_QUEUE_GREW,    /* it has more records than before */
  NX_QUEUE_CHANGED, /* anything else about its records; groups and XSETID are nobody's concern, as in Redis */
  NX_QUEUE_GONE,    /* it is about to be removed */
} nx_queue_change;

/* Told of every change after it happened (GONE: before). It must not change the queues. */
typedef void (*nx_queue_observer)(void *context, nx_queue *queue, nx_queue_change change);

#define NX_QUEUE_OBSERVERS_MAX 4u

struct nx_queue {
  nx_queues *owner;
  nx_queue *next_in_bucket;
  nx_queue *previous, *next; /* in the order of their creation */
  uint64_t hash;
  uint64_t id;      /* different for each channel that ever was */
  uint64_t version; /* number of its last effect */
  nx_queue_kind kind;
  bool is_kept;    /* stays when it is empty: a client of the swarm protocols opened it */
  bool is_overdue; /* was empty at the last tick */
  uint32_t name_length;
  uint8_t *name;
  nx_ring ring;
  nx_stream *stream;      /* of a stream */
  nx_queue **storages;    /* of its subscribers */
  uint32_t storage_count;
  nx_queue *base;         /* of a storage: the channel it belongs to */
  uint64_t records_max, used_max; /* since they were last asked for */
  void *attachments[NX_QUEUE_OBSERVERS_MAX]; /* what an observer keeps about it; cleared when it is gone */
};

nx_queues *nx_queues_make(const double *settings, uint64_t seed_low, uint64_t seed_high);
void nx_queues_drop(nx_queues *queues);
void nx_queues_settle_settings(nx_queues *queues, const double *settings);
/* Channels whose name begins so have rings of this size. Before the first channel. */
void nx_queues_size_prefix(nx_queues *queues, nx_slice prefix, uint64_t bytes);
/* Returns the observer's place in `attachments`. */
uint32_t nx_queues_observe(nx_queues *queues, nx_queue_observer observer, void *context);
void nx_queues_unobserve(nx_queues *queues, nx_queue_observer observer, void *context);
void nx_queues_log(nx_queues *queues, bool is_on);
nx_buffer *nx_queues_effects(nx_queues *queues);
static inline nx_slice nx_queue_name(const nx_queue *queue) {
  return (nx_slice){queue->name, queue->name_length};
}

/* NULL when there is none. */
nx_queue *nx_queue_find(nx_queues *queues, nx_slice name);
/* Whether one more channel may be made. Lets go of empty ones first, where there is no place. */
bool nx_queues_have_place(nx_queues *queues);
/* Created as `kind` if it is missing; its kind may be another one when it exists. NULL for a name that is too
 * long, and where there is no place. */
nx_queue *nx_queue_open(nx_queues *queues, nx_slice name, nx_queue_kind kind);
/* Stays when it is empty from here on. */
void nx_queue_keep(nx_queue *queue);
/* With all its subscribers. */
void nx_queue_remove(nx_queue *queue);
nx_queue *nx_queues_first(const nx_queues *queues);
uint32_t nx_queues_count(const nx_queues *queues);
/* Bytes that all rings use, with their length words. */
uint64_t nx_queues_used(const nx_queues *queues);
/* Memory behind them: pages that rings touched, places, groups. */
uint64_t nx_queues_memory(const nx_queues *queues);
/* Lets go of channels that stayed empty since the last call and that nobody keeps, and of idle memory. */
void nx_queues_tick(nx_queues *queues);

/* Lists that are made from here on have so many bytes of `file` for what does not fit their ring. */
void nx_queues_spill(nx_queues *queues, int32_t file, uint64_t area_bytes);

/* Adds a record to a channel, or to the storage of each of its subscribers. 0; -ENOSPC or -ENOMEM when it was not
 * stored everywhere. */
int nx_queue_push(nx_queue *queue, nx_slice value, nx_queue_end end);
/* Takes away `count` records, at most all of them. */
void nx_queue_drop(nx_queue *queue, nx_queue_end end, uint64_t count);
/* Takes back the last `count` pushes at `end`, and their effects: `effects_length` is from before them. */
void nx_queue_undo(nx_queue *queue, nx_queue_end end, uint64_t count, uint64_t effects_length);
/* Pushes that went into the effects but not (only) to storages can be undone. */
static inline bool nx_queue_has_subscribers(const nx_queue *queue) { return queue->storage_count > 0; }
/* The subscriber's storage, made if need be: the first one inherits the channel's records. NULL as above. */
nx_queue *nx_queue_subscribe(nx_queue *queue, nx_slice subscriber);
/* A stream is never empty in this sense: it exists until it is removed. */
static inline bool nx_queue_is_empty(const nx_queue *queue) {
  return queue->kind == NX_QUEUE_LIST && queue->ring.count == 0 && queue->storage_count == 0;
}
bool nx_queues_drops_oldest(const nx_queues *queues);
/* Whether so many more bytes of records fit all channels together. */
bool nx_queues_have_room(const nx_queues *queues, uint64_t bytes);
/* The ring of a channel for which no prefix says otherwise. */
uint64_t nx_queues_ring_bytes(const nx_queues *queues);
static inline uint64_t nx_queue_length(const nx_queue *queue) { return queue->ring.count; }

/* Applies effects; how many, or -EBADMSG with *bad_offset when one is malformed. */
int64_t nx_queues_replay(nx_queues *queues, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset);
/* A snapshot: each channel as it was when its turn came, in pieces of about `bytes_target`; other calls may come
 * between the pieces. One at a time. `next` returns whether there is more. */
void nx_queues_export_begin(nx_queues *queues);
bool nx_queues_export_next(nx_queues *queues, uint64_t bytes_target, nx_buffer *out);
void nx_queues_export_end(nx_queues *queues);

#endif
