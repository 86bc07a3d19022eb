/*
 * What the files of the engine share.
 *
 * Arrows run one way: engine.c (chunks, stops) → the backend's commands (commands.c for the dht node, native/queue/legacy
 * for the queue node) → bulk.c, listen.c, batch.c, migrate.c. A command touches the store and appends its
 * answer to `replies`.
 */
#ifndef NX_LEGACY_ENGINE_H
#define NX_LEGACY_ENGINE_H
#include <stdbool.h>
#include "buffer.h"
#include "engine-block.h"
#include "event-lines.h"
#include "kept-input.h"
#include "legacy.h"
#include "request-figures.h"
#include "request.h"
#include "swarm.h"

/* Statuses. */
enum {
  NX_STATUS_OK = 200,
  NX_STATUS_INVALID_REQUEST = 400,
  NX_STATUS_WRONG_NODE = 404,
  NX_STATUS_NOT_SUPPORTED = 406,
  NX_STATUS_OUT_OF_MEMORY = 407,
  NX_STATUS_EMPTY_VALUE = 408,
  NX_STATUS_BAD_CHANNEL_NAME = 409,
  NX_STATUS_VALUE_TOO_BIG = 410,
  NX_STATUS_ERROR = 500,
};

typedef struct nx_listener nx_listener;
typedef struct nx_consumption nx_consumption; /* of a queue node: a Consume stream */
typedef struct nx_production nx_production;   /* of a queue node: a Produce stream */
typedef struct nx_queues nx_queues;

/* What stands behind the requests: one for each kind of node that speaks this protocol. */
typedef struct {
  const char *const *shapes; /* of its requests, see request.h */
  const nx_buffer *(*effects)(const nx_legacy *engine);
  /* One request, read in full: appends its answer. */
  void (*execute)(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request);
  /* A hint about the requests that are next; how many it covers, at least 1. NULL: there is none. */
  uint32_t (*prefetch)(nx_legacy *engine, const uint8_t *bytes, uint64_t length);
  /* Takes records of a Produce stream; how many bytes, 0 when none is complete. NULL: there are no such streams. */
  uint64_t (*produce)(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *bytes, uint64_t length);
  /* Sends what waits for a streaming connection, or ends the stream. */
  void (*pump)(nx_legacy *engine, nx_legacy_connection *connection);
  /* How much waits for it, UINT32_MAX when its stream ends. */
  uint32_t (*waiting)(nx_legacy_connection *connection);
  /* A connection goes: its streams end. */
  void (*leave)(nx_legacy *engine, nx_legacy_connection *connection);
  void (*detach)(nx_legacy *engine); /* stops observing */
} nx_legacy_backend;

/* A bulk request under way. */
typedef struct {
  uint64_t channel_id;
  uint64_t cursor;
  uint32_t code;
  bool has_sent;    /* a batch was sent */
  bool has_skipped; /* a record that no batch holds was met, and told of */
  uint32_t name_length;
  uint64_t filter_length;
  uint8_t bytes[]; /* channel name, filter */
} nx_bulk;

struct nx_legacy_connection {
  nx_legacy *engine;
  nx_kept_input input;
  uint64_t skip; /* bytes to be thrown away */
  nx_bulk *bulk;
  nx_listener *listener;
  nx_consumption *consumption;
  nx_production *production;
  bool closes_after_skip; /* otherwise 410 is answered */
  bool is_waiting;        /* stopped with MORE */
  bool is_closing;
};

struct nx_legacy {
  const nx_legacy_backend *backend;
  nx_store *store;       /* of a dht node */
  nx_queues *queues;     /* of a queue node */
  uint32_t queues_place; /* of this engine among their observers */
  bool is_later;         /* of a queue node: answers like the later generation */
  uint64_t settings[NX_LEGACY_SETTINGS];
  int64_t now_ms;
  uint64_t range_min, range_max;
  nx_arrival arrival;
  uint8_t address[64];
  uint32_t address_length;
  uint16_t port;
  bool is_refusing;
  bool is_redistributing;
  bool is_silent; /* changes are no updates for listeners */
  uint64_t redistribution_bytes_max;

  uint32_t stop; /* flags that this call will return */
  nx_buffer replies;
  nx_buffer content; /* of the batch being made or read */
  nx_buffer task;
  nx_event_lines events;
  nx_lzo_table table;

  nx_channel *channel; /* the one used last; NULL: look it up */
  uint64_t migrate_cursor;
  bool has_migrated; /* the channel was visited to its end */
  bool has_kept; /* records that cannot move were met, and told of */

  nx_kept_total input;
  uint64_t connections, listeners;
  uint64_t requests_total, errors_total;
  nx_request_figures figures;
  double block[NX_LEGACY_BLOCK];
};

uint64_t nx_accounted_bytes(const nx_channel *channel);
/* Whether `bytes` more would pass the limit on all of them. */
bool nx_is_size_exceeded(const nx_legacy *engine, uint64_t bytes);

static inline bool nx_owns(const nx_legacy *engine, uint64_t number) {
  return engine->settings[NX_LEGACY_OWNERSHIP_CHECKED] == 0 ||
         nx_is_in_range(number, engine->range_min, engine->range_max);
}

/* A key from the wire: digits of either case; *key is then the lower-case text, in `scratch` if need be. */
bool nx_key_read(nx_slice *key, uint8_t scratch[NX_HEX_KEY_BYTES], uint64_t *number);

static inline void nx_status(nx_legacy *engine, uint32_t status) {
  nx_store32(nx_reserve(&engine->replies, 4), status);
  engine->replies.length += 4;
  if (status != NX_STATUS_OK) engine->errors_total += 1;
}

static inline bool nx_is_streaming(const nx_legacy_connection *connection) {
  return connection->listener != NULL || connection->consumption != NULL;
}

/* engine.c */
nx_legacy *nx_legacy_make(const nx_legacy_backend *backend, const uint64_t *settings);
void nx_legacy_begin_call(nx_legacy *engine, double now_ms);
uint32_t nx_legacy_end_call(nx_legacy *engine, const nx_legacy_connection *connection);
/* Throws that many bytes away, then closes. */
void nx_legacy_skip(nx_legacy *engine, nx_legacy_connection *connection, uint64_t length);

/* commands.c: NULL when there is none. */
nx_channel *nx_legacy_channel(nx_legacy *engine, nx_slice name);
/* Status 200, address, port: what the answers about sizes begin with. */
static inline void nx_append_address(nx_legacy *engine) {
  nx_status(engine, NX_STATUS_OK);
  nx_append_array(&engine->replies, (nx_slice){engine->address, engine->address_length});
  nx_buffer_append(&engine->replies, &engine->port, 2);
}
/* Replies 409 and returns false when no channel may be called so. */
static inline bool nx_check_name(nx_legacy *engine, nx_slice name) {
  if (nx_channel_name_valid(name)) return true;
  nx_status(engine, NX_STATUS_BAD_CHANNEL_NAME);
  return false;
}

/* bulk.c */
void nx_bulk_start(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request);
/* Sends the next batches; frees the request when it is complete. */
void nx_bulk_continue(nx_legacy *engine, nx_legacy_connection *connection);
void nx_bulk_drop(nx_legacy *engine, nx_legacy_connection *connection);
uint64_t nx_bulk_bytes(const nx_bulk *bulk);

/* listen.c */
void nx_listen_start(nx_legacy *engine, nx_legacy_connection *connection, nx_channel *channel);
/* Sends updates; when the channel is gone, the end, and the connection is no listener any more. */
void nx_listen_continue(nx_legacy *engine, nx_legacy_connection *connection);
void nx_listen_drop(nx_legacy *engine, nx_legacy_connection *connection);
uint32_t nx_listen_waiting(nx_legacy_connection *connection);
void nx_listen_observe(void *context, nx_channel *channel, nx_change change, nx_slice key);

/* batch.c */
/* Appends `content` as one array {u64 length of the content, stream} to `to`, and forgets the content. */
void nx_batch_append(nx_legacy *engine, nx_buffer *to);
/* Leaves the content of such an array in `content`; false when it cannot be decoded. */
bool nx_batch_decode(nx_legacy *engine, nx_slice array);
/* The next field of a content from *at on; false when the content ends within it. */
bool nx_batch_field(const nx_buffer *content, uint64_t *at, nx_slice *field);
/* The answer to PutBatch, 0 when the connection must be closed. */
uint32_t nx_batch_put(nx_legacy *engine, const nx_legacy_request *request);

#endif
