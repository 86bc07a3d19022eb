/*
 * The legacy swarm protocol: bytes of a client in, bytes of answers out.
 *
 * One engine serves all connections of one store, on the store's thread; it is built like the Redis engine
 * (native/resp/resp.h). A call works off as much input as it may and leaves its outcome in the block of
 * nx_legacy_block. The engine opens no socket, reads no clock and keeps no policy. What it cannot do
 * itself, moving records to other nodes, it hands out as a task.
 *
 * Swarm records are the records whose key is 16 lower-case hex digits and whose value is not empty; no
 * other record of the store appears in any answer. A crash loses connections, unanswered requests and
 * Listen queues.
 */
#ifndef NX_LEGACY_H
#define NX_LEGACY_H
#include <stdint.h>
#include "engine-block.h"
#include "nx.h"
#include "store.h"

typedef struct nx_legacy nx_legacy;
typedef struct nx_legacy_connection nx_legacy_connection;

/* Settings, an array of u64 in this order (src/native/legacy.ts). */
enum {
  NX_LEGACY_BATCH_BYTES,          /* content of one batch, 1024 to 2^24; a value may be 32 bytes shorter */
  NX_LEGACY_ARRAY_BYTES_MAX,      /* a longer array ends the connection */
  NX_LEGACY_INPUT_BYTES_MAX,      /* unfinished input of all connections together */
  NX_LEGACY_REPLY_SOFT_BYTES_MAX, /* stop and let the client read */
  NX_LEGACY_LISTEN_UPDATES_MAX,   /* that wait for one listener, a power of two */
  NX_LEGACY_OWNERSHIP_CHECKED,    /* 1: refuse writes of keys outside the range */
  NX_LEGACY_REDISTRIBUTE_PERCENT, /* of the bytes at its start: how far a redistribution lets it grow */
  NX_LEGACY_SIZE_BYTES_MAX,       /* of all records, as GetSize counts; 0: no limit */
  NX_LEGACY_SETTINGS
};

/* Flags of a call's outcome: how the connection is afterwards. */
enum {
  NX_LEGACY_CLOSE = 1,        /* write the answers, then close the connection */
  NX_LEGACY_MORE = 2,         /* call nx_legacy_resume once the answers are written */
  NX_LEGACY_LISTENING = 4,    /* call nx_legacy_pump from time to time */
  NX_LEGACY_REDISTRIBUTE = 8, /* a task was taken: NX_LEGACY_TASK_… */
};

/* The engine's own places in the block (engine-block.h). */
enum {
  NX_LEGACY_TASK_ADDRESS = NX_BLOCK_OWN, /* the Redistribute request behind its code */
  NX_LEGACY_TASK_LENGTH,
  NX_LEGACY_EVENTS_ADDRESS, /* lines for the log, each ended by a line feed */
  NX_LEGACY_EVENTS_LENGTH,
  NX_LEGACY_REQUESTS_TOTAL,
  NX_LEGACY_ERRORS_TOTAL, /* answers other than 200 */
  NX_LEGACY_INPUT_BYTES,
  NX_LEGACY_CONNECTIONS,
  NX_LEGACY_LISTENERS,
  NX_LEGACY_FIGURES_ADDRESS, /* kinds and actions of request-figures.h */
  NX_LEGACY_URGENT, /* 1: some listener is to be pumped now; whoever does so sets it to 0 */
  NX_LEGACY_BLOCK
};

/* Outcomes of nx_legacy_migrate. */
enum {
  NX_LEGACY_MIGRATED = 0,        /* the channel was visited to its end */
  NX_LEGACY_MIGRATE_BATCH = 1,   /* a PutBatch request is in the replies */
  NX_LEGACY_MIGRATE_LOOKING = 2, /* nothing found yet; call again */
};

/* The engine of a dht node. It becomes an observer of the store. NULL for settings out of range. */
NX_API nx_legacy *nx_legacy_new(nx_store *store, const uint64_t *settings);
struct nx_queues;
/* The engine of a queue node, likewise. is_later 1: where the generations differ it answers like the later one. */
NX_API nx_legacy *nx_legacy_queue_new(struct nx_queues *queues, const uint64_t *settings, uint32_t is_later);
/* All connections must be disconnected. */
NX_API void nx_legacy_free(nx_legacy *engine);
NX_API const double *nx_legacy_block(const nx_legacy *engine);
/* The range of hashes that this node owns, compared with the bit-reversed key. min > max: none. */
NX_API void nx_legacy_set_range(nx_legacy *engine, uint64_t min, uint64_t max);
NX_API void nx_legacy_get_range(const nx_legacy *engine, uint64_t *min_max);
/* Records that may still arrive from other nodes: all outside this part of the range; u64 min, max, 1 or 0: whether any. */
NX_API void nx_legacy_set_settled(nx_legacy *engine, uint64_t min, uint64_t max, uint32_t is_arriving);
NX_API void nx_legacy_get_settled(const nx_legacy *engine, uint64_t *min_max_arriving);
/* What size answers name: at most 64 bytes of address text. */
NX_API void nx_legacy_set_address(nx_legacy *engine, const uint8_t *address, uint64_t length, uint32_t port);
/* 1: writes are answered 407 until it is called with 0. */
NX_API void nx_legacy_refuse_writes(nx_legacy *engine, uint32_t is_refusing);
NX_API void nx_legacy_clear_events(nx_legacy *engine);
NX_API void nx_legacy_read_statistics(nx_legacy *engine);
/* Records and accounted bytes of all swarm records (two u64). */
NX_API void nx_legacy_size(const nx_legacy *engine, uint64_t *records_bytes);

NX_API nx_legacy_connection *nx_legacy_connect(nx_legacy *engine);
NX_API void nx_legacy_disconnect(nx_legacy *engine, nx_legacy_connection *connection);

/* Each returns flags. `feed` copies what it must keep of the chunk. */
NX_API uint32_t nx_legacy_feed(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *chunk,
                               uint64_t length, double now_ms);
NX_API uint32_t nx_legacy_resume(nx_legacy *engine, nx_legacy_connection *connection, double now_ms);
/* Sends what waits for a listening connection. */
NX_API uint32_t nx_legacy_pump(nx_legacy *engine, nx_legacy_connection *connection, double now_ms);
/* Updates that wait for it, or UINT32_MAX when its channel is gone. */
NX_API uint32_t nx_legacy_waiting(nx_legacy_connection *connection);

/* Moving records: `begin` for each channel and range, then `migrate`; after the other node acknowledged the
 * batch, `migrated` removes those of its records that have not changed since and returns how many. */
NX_API void nx_legacy_migrate_begin(nx_legacy *engine);
NX_API uint32_t nx_legacy_migrate(nx_legacy *engine, const uint8_t *name, uint64_t name_length, uint64_t min,
                                  uint64_t max, double now_ms);
NX_API uint32_t nx_legacy_migrated(nx_legacy *engine, const uint8_t *name, uint64_t name_length,
                                   double now_ms);
/* The task is done: the next Redistribute is taken. */
NX_API void nx_legacy_redistributed(nx_legacy *engine);

#endif
