/*
 * The Redis protocol over the record store: bytes of a client in, bytes of replies out.
 *
 * One engine serves all connections of one store, on the store's thread. Each call works off as much input as
 * it may and leaves its outcome in the block of nx_resp_block, which TypeScript reads through a view. The
 * engine opens no socket, reads no clock and keeps no policy: what a command needs from outside (CONFIG,
 * CLIENT, INFO, AUTH …) it hands out as an "admin" command and waits for the answer.
 *
 * A crash loses connections and unanswered requests only; what is durable is decided by the log that takes
 * the store's effects. All effects of one MULTI/EXEC are in the effects buffer before NX_RESP_HOLD is lifted.
 */
#ifndef NX_RESP_H
#define NX_RESP_H
#include <stdint.h>
#include "engine-block.h"
#include "nx.h"
#include "store.h"

typedef struct nx_resp nx_resp;
typedef struct nx_resp_connection nx_resp_connection;

/* Settings, an array of doubles in this order (src/native/resp.ts, `settings`). */
enum {
  NX_RESP_VALUE_BYTES_MAX,         /* the longest argument and the longest value */
  NX_RESP_ARGUMENTS_MAX,           /* of one request */
  NX_RESP_REQUEST_BYTES_MAX,       /* one request, or one transaction's queue */
  NX_RESP_INPUT_BYTES_MAX,         /* unfinished input of all connections together */
  NX_RESP_REPLY_SOFT_BYTES_MAX,    /* stop executing and let the client read */
  NX_RESP_REPLY_BYTES_MAX,         /* one command's reply; never less than the longest value takes */
  NX_RESP_AUTHENTICATION_REQUIRED, /* 1: connections begin unauthenticated */
  NX_RESP_MEMORY_BYTES_MAX,        /* the store's limit, restored after a multi-key write; 0: none */
  NX_RESP_SEED,                    /* for RANDOMKEY */
  NX_RESP_KEY_BYTES_MAX,           /* the longest key, at most NX_KEY_BYTES_MAX */
  NX_RESP_SETTINGS
};

/* Flags of a call's outcome. */
enum {
  NX_RESP_CLOSE = 1, /* write the replies, then close the connection */
  NX_RESP_MORE = 2,  /* stopped: enough replies, or enough work for this turn; call nx_resp_resume once the replies are written */
  NX_RESP_ADMIN = 4, /* stopped at an admin command: call nx_resp_answer before anything else */
  NX_RESP_HOLD =
      8, /* with ADMIN, inside EXEC: do not take the effects yet, the transaction is not complete */
  NX_RESP_BLOCKED = 16, /* waits for a key: nx_resp_woken will name it */
};

/* The engine's own places in the block (engine-block.h). */
enum {
  NX_RESP_TEXT_ADDRESS = NX_BLOCK_OWN, /* admin arguments, or what a nx_resp_describe… call wrote */
  NX_RESP_TEXT_LENGTH,
  NX_RESP_COMMANDS_TOTAL,
  NX_RESP_ERRORS_TOTAL,
  NX_RESP_KEYSPACE_HITS,
  NX_RESP_KEYSPACE_MISSES,
  NX_RESP_INPUT_BYTES, /* unfinished input held for all connections */
  NX_RESP_CONNECTIONS,
  NX_RESP_WATCHED_KEYS,
  NX_RESP_PROTOCOL, /* 2 or 3: of the connection whose admin command waits */
  NX_RESP_WOKEN,    /* connections whose waiting is over: see nx_resp_woken */
  NX_RESP_DEADLINE_MS, /* when the next one has waited long enough; 0: none */
  NX_RESP_SIGNALS,  /* 1: somebody waits for what came: nx_resp_serve_waiting */
  NX_RESP_BLOCK
};

/* Fields of nx_resp_connection_set. */
enum {
  NX_RESP_SET_PROTOCOL,
  NX_RESP_SET_AUTHENTICATED
};

/* The engine of a dht node. It becomes an observer of the store. Returns NULL for settings out of range. */
NX_API nx_resp *nx_resp_new(nx_store *store, const double *settings);
struct nx_queues;
/* The engine of a queue node, likewise. */
NX_API nx_resp *nx_resp_queue_new(struct nx_queues *queues, const double *settings);
/* All connections must be disconnected. */
NX_API void nx_resp_free(nx_resp *engine);
/* Takes changed settings; returns 0, or -EINVAL and changes nothing. */
NX_API int32_t nx_resp_configure(nx_resp *engine, const double *settings);
NX_API const double *nx_resp_block(const nx_resp *engine);

/* Writes are answered with this error text (without the leading minus) until it is empty again. */
NX_API void nx_resp_refuse_writes(nx_resp *engine, const uint8_t *text, uint64_t length);

NX_API nx_resp_connection *nx_resp_connect(nx_resp *engine);
NX_API void nx_resp_disconnect(nx_resp *engine, nx_resp_connection *connection);

/* Each returns flags. `feed` copies what it must keep of the chunk. Input fed while MORE is pending waits. */
NX_API uint32_t nx_resp_feed(nx_resp *engine, nx_resp_connection *connection, const uint8_t *chunk,
                             uint64_t length, double now_ms);
NX_API uint32_t nx_resp_resume(nx_resp *engine, nx_resp_connection *connection, double now_ms);
/* The admin command's reply, RESP bytes; appended to the replies of the call that stopped, then execution
 * goes on. */
NX_API uint32_t nx_resp_answer(nx_resp *engine, nx_resp_connection *connection, const uint8_t *reply,
                               uint64_t length, double now_ms);

/* A connection that waited for a key and is served, or NULL: call nx_resp_resume for it, which returns its
 * reply. Blocked connections are served within the call that brings the key, in the order of their coming. */
NX_API nx_resp_connection *nx_resp_woken(nx_resp *engine);
/* Serves those who wait for what another engine of the same node brought; see nx_resp_woken. */
NX_API void nx_resp_serve_waiting(nx_resp *engine, double now_ms);
/* Ends the waiting of connections whose time has come. */
NX_API void nx_resp_expire_blocked(nx_resp *engine, double now_ms);

NX_API void nx_resp_connection_set(nx_resp_connection *connection, uint32_t field, uint32_t value);
/* RESET: no transaction, no watched keys, channel 0, RESP2, authentication as at the start. */
NX_API void nx_resp_connection_reset(nx_resp *engine, nx_resp_connection *connection);

/* `name=value` words of CLIENT LIST that the engine knows: db, multi, watch, qbuf, argv-mem, multi-mem, resp,
 * cmd. */
NX_API void nx_resp_describe_connection(nx_resp *engine, const nx_resp_connection *connection);
/* One line `<channel> <records>` per channel that has records. */
NX_API void nx_resp_describe_channels(nx_resp *engine);
/* One line per command: name, arity, flags (comma separated), first key, last key, step, calls, rejected,
 * failed. */
NX_API void nx_resp_describe_commands(nx_resp *engine);
/* Brings the figures of the block up to date: COMMANDS_TOTAL to WATCHED_KEYS. */
NX_API void nx_resp_read_statistics(nx_resp *engine);
NX_API void nx_resp_reset_statistics(nx_resp *engine);

/* Whether `text` matches the pattern, as KEYS would say. */
NX_API bool nx_resp_glob(const uint8_t *pattern, uint64_t pattern_length, const uint8_t *text,
                         uint64_t text_length);

#endif
