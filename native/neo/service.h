/*
 * What a kind of node is to the engine of the neo protocol, and what the engine is to it.
 *
 * A service has a table of codes and versions and four functions. Most requests are answered at once and leave
 * nothing behind; one that goes on (a stream, or one that waits for its client) keeps an nx_neo_request, which the
 * service allocates in front of its own state and the engine finds again by its id. Invariant: a service writes only
 * through nx_neo_open/nx_neo_close and the small helpers, so that each message has its header and its id.
 */
#ifndef NX_NEO_SERVICE_H
#define NX_NEO_SERVICE_H
#include <stdbool.h>
#include "event-lines.h"
#include "neo.h"
#include "request-figures.h"
#include "swarm.h"

typedef struct nx_neo_request nx_neo_request;

/* What becomes of a request. */
typedef enum {
  NX_NEO_DONE,  /* it is over */
  NX_NEO_KEPT,  /* it goes on */
  NX_NEO_BROKEN /* the client does not keep to the protocol: the connection ends */
} nx_neo_outcome;

/* The head of a request that goes on. */
struct nx_neo_request {
  nx_neo_request *next;      /* of the connection, in the order in which they began */
  nx_neo_request *same_slot; /* with an id in the same slot of its index */
  nx_neo_connection *connection;
  uint64_t id;
  uint8_t code;
};

#define NX_NEO_CODES 16u
#define NX_NEO_NO_VERSION 0xffu

typedef struct {
  uint8_t versions[NX_NEO_CODES]; /* by code; NX_NEO_NO_VERSION: there is no such request */
  /* A new request; `payload` is what follows code and version. Keeps it with nx_neo_keep. */
  nx_neo_outcome (*begin)(nx_neo *engine, nx_neo_connection *connection, uint64_t id, uint8_t code,
                          nx_slice payload);
  /* A further message of the client. NX_NEO_DONE frees the request. */
  nx_neo_outcome (*message)(nx_neo *engine, nx_neo_request *request, nx_slice payload);
  /* More output, up to the soft limit. NX_NEO_DONE frees the request. */
  nx_neo_outcome (*pump)(nx_neo *engine, nx_neo_request *request);
  /* Whether `pump` has something to say at this time. */
  bool (*waits)(const nx_neo_request *request, int64_t now_ms);
  /* The request goes, whoever ended it; frees it. */
  void (*drop)(nx_neo *engine, nx_neo_request *request);
  /* Where changes are recorded. */
  const nx_buffer *(*effects)(nx_neo *engine);
  /* Of the service itself. */
  void (*free)(nx_neo *engine);
} nx_neo_service;

/* An engine for a service; `context` is its own. */
nx_neo *nx_neo_new_for(const nx_neo_service *service, void *context, nx_store *store, const uint64_t *settings);
void *nx_neo_context(nx_neo *engine);
uint64_t nx_neo_setting(const nx_neo *engine, uint32_t setting);
nx_store *nx_neo_store(nx_neo *engine);
int64_t nx_neo_now_ms(const nx_neo *engine);
nx_request_figures *nx_neo_figures(nx_neo *engine);
nx_event_lines *nx_neo_events(nx_neo *engine);
bool nx_neo_may_administrate(const nx_neo_connection *connection);
/* Some stream has something to say, whoever caused it. */
void nx_neo_urge(nx_neo *engine);
/* The client has enough to read for now. */
bool nx_neo_is_full(const nx_neo *engine);

/* Takes over a request that the service allocated; NX_NEO_BROKEN when the connection has too many. */
nx_neo_outcome nx_neo_keep(nx_neo *engine, nx_neo_connection *connection, nx_neo_request *request, uint64_t id,
                           uint8_t code);

/* A message: nx_neo_open returns its place, then the payload is appended to the buffer, then nx_neo_close. */
nx_buffer *nx_neo_replies(nx_neo *engine);
uint64_t nx_neo_open(nx_neo *engine, uint64_t id);
void nx_neo_close(nx_neo *engine, uint64_t place);
/* A message of one byte. */
void nx_neo_byte(nx_neo *engine, uint64_t id, uint8_t byte);
/* The same, and it counts as an error. */
void nx_neo_error(nx_neo *engine, uint64_t id, uint8_t byte);

/* Reading payloads: each is false when the payload ends before. */
static inline bool nx_neo_take_u8(nx_slice *from, uint8_t *value) {
  if (from->length < 1) return false;
  *value = from->data[0];
  *from = (nx_slice){from->data + 1, from->length - 1};
  return true;
}

/* A byte that is 0 or 1. */
static inline bool nx_neo_take_bool(nx_slice *from, bool *value) {
  uint8_t byte;
  if (!nx_neo_take_u8(from, &byte) || byte > 1) return false;
  *value = byte == 1;
  return true;
}

static inline bool nx_neo_take_u32(nx_slice *from, uint32_t *value) {
  if (from->length < 4) return false;
  *value = nx_load32(from->data);
  *from = (nx_slice){from->data + 4, from->length - 4};
  return true;
}

static inline bool nx_neo_take_u64(nx_slice *from, uint64_t *value) {
  if (from->length < 8) return false;
  *value = nx_load64(from->data);
  *from = (nx_slice){from->data + 8, from->length - 8};
  return true;
}

static inline bool nx_neo_take_array(nx_slice *from, nx_slice *array) {
  uint64_t length;
  if (!nx_neo_take_u64(from, &length) || length > from->length) return false;
  *array = (nx_slice){from->data, length};
  *from = (nx_slice){from->data + length, from->length - length};
  return true;
}

#endif
