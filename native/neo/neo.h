/*
 * The neo protocol of the swarm nodes: many requests at once on one connection, bytes in, bytes out.
 *
 * One engine serves all connections of one node, on one thread. What a kind of node does with requests is a *service*
 * (service.h); the dht's is here. Connections come to the engine once their client is authenticated: that part is
 * TypeScript's (src/channels/wire/neo/handshake.ts). The engine opens no socket, keeps no policy, and reads the
 * clock only for its figures. A crash loses connections, unanswered requests and what waits for a Mirror.
 *
 *   message:  u8 type, 1 = Request | u64 body length | u8 parity: XOR of the nine bytes before | body
 *   body:     u64 request id, never 0 | payload
 *   first payload of a request: u8 code | u8 version | what the request takes
 *   answer to it: one byte, then messages of the request itself
 *       fd  supported     fe  not in this version     ff  no such code
 */
#ifndef NX_NEO_H
#define NX_NEO_H
#include <stdint.h>
#include "engine-block.h"
#include "nx.h"
#include "store.h"

typedef struct nx_neo nx_neo;
typedef struct nx_neo_connection nx_neo_connection;

/* Settings, an array of u64 in this order (src/native/neo.ts). */
enum {
  NX_NEO_MESSAGE_BYTES_MAX,     /* a longer message ends the connection */
  NX_NEO_INPUT_BYTES_MAX,       /* unfinished input of all connections together */
  NX_NEO_REPLY_SOFT_BYTES_MAX,  /* stop and let the client read */
  NX_NEO_REQUESTS_MAX,          /* under way on one connection; one more ends it */
  NX_NEO_BATCH_BYTES,           /* content of one batch, at least 65536 */
  NX_NEO_UPDATES_MAX,           /* that wait for one Mirror, a power of two */
  NX_NEO_OWNERSHIP_CHECKED,     /* 1: refuse keys outside the range */
  NX_NEO_SIZE_BYTES_MAX,        /* of all records, as the legacy GetSize counts; 0: no limit */
  NX_NEO_SETTINGS
};

/* Flags of a call's outcome: how the connection is afterwards. */
enum {
  NX_NEO_CLOSE = 1,     /* write the answers, then close the connection */
  NX_NEO_MORE = 2,      /* call nx_neo_pump once the answers are written */
  NX_NEO_STOPPED = 8,   /* it takes no more input before that pump */
  NX_NEO_STREAMING = 4, /* call nx_neo_pump from time to time, and when the block says URGENT */
};

/* The engine's own places in the block (engine-block.h). */
enum {
  NX_NEO_EVENTS_ADDRESS = NX_BLOCK_OWN, /* lines for the log, each ended by a line feed */
  NX_NEO_EVENTS_LENGTH,
  NX_NEO_REQUESTS_TOTAL,
  NX_NEO_ERRORS_TOTAL,
  NX_NEO_INPUT_BYTES,
  NX_NEO_CONNECTIONS,
  NX_NEO_ACTIVE,          /* requests under way */
  NX_NEO_FIGURES_ADDRESS, /* kinds and actions of request-figures.h */
  NX_NEO_URGENT,          /* 1: some stream has something to say; whoever pumps sets it to 0 */
  NX_NEO_BLOCK
};

/* The engine of a dht node; it becomes an observer of the store. NULL for settings out of range. */
NX_API nx_neo *nx_neo_new(nx_store *store, const uint64_t *settings);
/* All connections must be disconnected. */
NX_API void nx_neo_free(nx_neo *engine);
NX_API const double *nx_neo_block(const nx_neo *engine);
NX_API void nx_neo_clear_events(nx_neo *engine);
NX_API void nx_neo_read_statistics(nx_neo *engine);

/* `may_administrate`: 1 for a client that may remove channels. */
NX_API nx_neo_connection *nx_neo_connect(nx_neo *engine, uint32_t may_administrate);
NX_API void nx_neo_disconnect(nx_neo *engine, nx_neo_connection *connection);
/* Each returns flags. `feed` copies what it must keep of the chunk. */
NX_API uint32_t nx_neo_feed(nx_neo *engine, nx_neo_connection *connection, const uint8_t *chunk, uint64_t length,
                            double now_ms);
/* Goes on with what waits: input behind a stop, then the streams, each in turn. */
NX_API uint32_t nx_neo_pump(nx_neo *engine, nx_neo_connection *connection, double now_ms);
/* 1 when a pump would have something to say at this time. */
NX_API uint32_t nx_neo_waits(const nx_neo_connection *connection, double now_ms);

/* --- of the dht's service -------------------------------------------------------------------------------- */

/* The range of hashes that this node owns; clients that asked are told. min > max: none. */
NX_API void nx_neo_set_range(nx_neo *engine, uint64_t min, uint64_t max);
/* Records that may still arrive from other nodes: all outside this part of the range. */
NX_API void nx_neo_set_settled(nx_neo *engine, uint64_t min, uint64_t max, uint32_t is_arriving);
/* Tells clients of another node. `address`: an IPv4 address, first byte first. */
NX_API void nx_neo_tell_node(nx_neo *engine, uint32_t address, uint32_t port, uint64_t min, uint64_t max);
/* 1: writes are answered with an error until it is called with 0. */
NX_API void nx_neo_refuse_writes(nx_neo *engine, uint32_t is_refusing);

/* --- of the queues' service (native/queue/neo.c) ---------------------------------------------------------- */

struct nx_queues;
/* The engine of a queue node; it becomes an observer of the queues. NULL for settings out of range. */
NX_API nx_neo *nx_neo_queue_new(struct nx_queues *queues, const uint64_t *settings);
/* As nx_neo_refuse_writes. */
NX_API void nx_neo_queue_refuse_writes(nx_neo *engine, uint32_t is_refusing);

#endif
