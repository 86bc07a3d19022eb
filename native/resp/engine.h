/*
 * What the files of the engine share: its state, a connection's state, and the helpers that commands are made
 * of.
 *
 * Arrows run one way: engine.c (chunks, stops) → dispatch.c (may this command run?) → the command files,
 * which see the arguments in `engine->argv`, touch the store and append exactly one reply.
 */
#ifndef NX_RESP_ENGINE_H
#define NX_RESP_ENGINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buffer.h"
#include "parser.h"
#include "resp.h"
#include "store.h"

typedef struct nx_queues nx_queues;
typedef struct nx_waiter nx_waiter;
typedef struct nx_waiting nx_waiting;

/* Command flags; names and order are those of COMMAND INFO. */
enum {
  COMMAND_WRITE = 1 << 0,
  COMMAND_READONLY = 1 << 1,
  COMMAND_DENYOOM = 1 << 2,
  COMMAND_ADMIN = 1 << 3,
  COMMAND_NOSCRIPT = 1 << 4,
  COMMAND_BLOCKING = 1 << 5,
  COMMAND_LOADING = 1 << 6,
  COMMAND_STALE = 1 << 7,
  COMMAND_SKIP_SLOWLOG = 1 << 8,
  COMMAND_FAST = 1 << 9,
  COMMAND_NO_AUTH = 1 << 10,
  COMMAND_ALLOW_BUSY = 1 << 11,
  COMMAND_MOVABLEKEYS = 1 << 12,
  COMMAND_FLAGS_SHOWN = 13,
  /* Ours: answered by TypeScript; runs at once inside MULTI. */
  COMMAND_ASKS_OUTSIDE = 1 << 16,
  COMMAND_NEVER_QUEUED = 1 << 17,
};

#define NX_COMMAND_LOOKUP_SIZE 256u

typedef void (*nx_command_fn)(nx_resp *engine, nx_resp_connection *connection);

typedef struct {
  const char *name; /* lower case; a subcommand is "client|id" */
  int32_t arity;    /* with the name; negative: at least */
  uint32_t flags;
  int8_t first_key, last_key, key_step; /* 0: no keys; last_key -1: up to the last argument, -2: the one before */
  nx_command_fn run;                    /* NULL: a container of subcommands, or answered from outside */
} nx_command;

typedef struct {
  uint64_t calls, rejected, failed;
} nx_command_count;

/* What stands behind the commands: one for each kind of node that speaks this protocol. */
typedef struct {
  const nx_command *commands; /* subcommands follow their container */
  uint32_t command_count;     /* below 256: the lookup holds an index in a byte */
  /* Where the changes of the commands are recorded. */
  const nx_buffer *(*effects)(const nx_resp *engine);
  /* Whether a key exists, and when it expires (0: never); for WATCH. */
  bool (*find_key)(nx_resp *engine, nx_resp_connection *connection, nx_slice key, int64_t *expires_at_ms);
  /* A hint about the requests that are next; how many it covers, at least 1. NULL: there is none. */
  uint32_t (*prefetch)(nx_resp *engine, nx_resp_connection *connection, const uint8_t *bytes, uint64_t length);
  /* One line `<channel> <records>` per channel that has records, into `text`. */
  void (*describe_channels)(nx_resp *engine);
  /* After a command that is not inside a transaction, or after a transaction. NULL: nothing to do. */
  void (*after_command)(nx_resp *engine);
  /* A connection goes, whatever it waits for. NULL: it never waits. */
  void (*leave)(nx_resp *engine, nx_resp_connection *connection);
  void (*detach)(nx_resp *engine); /* stops observing, frees `waiting` */
} nx_resp_backend;

/* A parse in progress with the bytes it still needs. Connections own one only while input is unfinished. */
typedef struct nx_input {
  nx_request request;
  nx_buffer buffer;
  uint64_t start;         /* of the current request in buffer */
  uint64_t bytes_counted; /* what this input adds to the engine's total */
  struct nx_input *next;  /* in the list of spares */
} nx_input;

/* Commands between MULTI and EXEC, each as u32 command index, u32 argument count, then u32 length and bytes.
 */
typedef struct {
  nx_buffer queue;
  uint64_t position; /* while EXEC runs: of the next command */
  uint32_t count;
  uint32_t flags; /* of all queued commands together */
  bool aborted;   /* a command was refused while queueing */
  bool running;
} nx_transaction;

typedef struct nx_watch nx_watch;

struct nx_resp_connection {
  nx_input *input;
  nx_transaction *transaction;
  nx_watch *watches;
  nx_channel *channel; /* trusted only while channel_epoch is the engine's */
  uint64_t channel_epoch;
  uint8_t *channel_name;
  uint32_t channel_name_length;
  uint32_t last_command; /* index + 1; 0: none yet */
  uint8_t protocol;
  bool authenticated;
  bool watch_broken; /* a watched key changed */
  bool closing;
  uint32_t stopped; /* NX_RESP_MORE, ADMIN or BLOCKED: waits for the caller, or for a key */
  nx_waiter *waiter; /* what a blocking command waits for */
};

struct nx_resp {
  const nx_resp_backend *backend;
  nx_store *store;     /* of a dht node */
  nx_queues *queues;   /* of a queue node */
  nx_waiting *waiting; /* connections that wait for keys; NULL where no command blocks */
  bool has_signals;    /* a key got something that a connection waits for */
  nx_request_limits limits;
  uint64_t settings[NX_RESP_SETTINGS];
  int64_t now_ms;
  double now_fraction_ms; /* the same with its fraction, for TIME */

  /* The call being served. */
  const nx_slice *argv;
  uint32_t argc;
  uint32_t stop;        /* flags this call will return */
  uint64_t reply_start; /* where the reply to the client's command begins; EXEC's is one reply */
  bool reply_too_large;
  nx_buffer replies;
  nx_buffer text;   /* NX_RESP_TEXT_… */
  nx_slice *replay; /* arguments of a queued command */
  uint32_t replay_capacity;
  nx_resp_connection *asking; /* whose admin command waits for its answer */
  uint32_t admin_command;     /* its index */

  nx_input *spares;
  uint32_t spare_count;
  uint64_t input_bytes;
  uint64_t connections;

  uint64_t channel_epoch; /* raised when any channel is removed */
  nx_watch **watch_table;
  uint32_t watch_table_size;
  uint32_t watch_count;

  uint8_t *refusal; /* why writes are refused; NULL: they are not */
  uint64_t refusal_length;

  uint64_t random;
  uint64_t commands_total, errors_total, hits, misses;
  nx_command_count *counts;
  struct {
    uint64_t folded;
    uint8_t length;
    uint8_t index;                  /* + 1; 0: free */
  } lookup[NX_COMMAND_LOOKUP_SIZE]; /* open addressing */
  double block[NX_RESP_BLOCK];
};

/* lookup.c */
void nx_command_lookup_build(nx_resp *engine);
/* The command of this name in any case, or NULL. */
const nx_command *nx_command_find(const nx_resp *engine, nx_slice name);
/* The subcommand `name` of `container`, or NULL. */
const nx_command *nx_subcommand_find(const nx_resp *engine, const nx_command *container, nx_slice name);
static inline uint32_t nx_command_index(const nx_resp *engine, const nx_command *command) {
  return (uint32_t)(command - engine->backend->commands);
}

/* dispatch.c: one request whose arguments are in argv/argc. */
void nx_dispatch(nx_resp *engine, nx_resp_connection *connection);
/* Runs a command that may run, with its counters and the limit on its reply. */
void nx_call(nx_resp *engine, nx_resp_connection *connection, const nx_command *command);
/* An argument that equals `word` (lower case) in any case. */
bool nx_word_is(nx_slice argument, const char *word);

/* transaction.c */
void nx_transaction_queue(nx_resp *engine, nx_resp_connection *connection, const nx_command *command);
void nx_transaction_run(nx_resp *engine, nx_resp_connection *connection);
void nx_transaction_drop(nx_resp *engine, nx_resp_connection *connection);

/* watch.c */
/* False when the memory bound for clients is reached. */
bool nx_watch_add(nx_resp *engine, nx_resp_connection *connection, nx_slice key);
void nx_watch_clear(nx_resp *engine, nx_resp_connection *connection);
/* True when a watched key changed or its time has come. */
bool nx_watch_is_broken(const nx_resp *engine, const nx_resp_connection *connection);
const nx_watch *nx_watch_next(const nx_watch *watch); /* of the same connection */
/* A key of this channel changes, whether it is watched or not. */
void nx_watch_touch(nx_resp *engine, nx_slice channel, nx_slice key);
/* A whole channel goes. */
void nx_watch_touch_channel(nx_resp *engine, nx_slice channel);

/* engine.c: an engine without a backend's state; NULL for settings out of range. */
nx_resp *nx_resp_make(const nx_resp_backend *backend, const double *settings);
/* describe.c: appends to `text`. */
__attribute__((format(printf, 2, 3))) void nx_describe(nx_resp *engine, const char *format, ...);

/* connection.c */
/* NULL when the channel does not exist and is not created. */
nx_channel *nx_connection_channel_find(nx_resp *engine, nx_resp_connection *connection, bool create);
void nx_connection_select(nx_resp_connection *connection, nx_slice name);
nx_slice nx_connection_channel_name(const nx_resp_connection *connection);

static inline nx_channel *nx_channel_of(nx_resp *engine, nx_resp_connection *connection) {
  if (__builtin_expect(connection->channel != NULL && connection->channel_epoch == engine->channel_epoch,
                       1)) {
    return connection->channel;
  }
  return nx_connection_channel_find(engine, connection, false);
}

/* For writers, and for readers that count no hit or miss. */
static inline bool nx_find(nx_resp *engine, nx_resp_connection *connection, nx_slice key, nx_record *record) {
  nx_channel *channel = nx_channel_of(engine, connection);
  return channel != NULL && nx_channel_get(channel, key, engine->now_ms, record);
}

static inline bool nx_find_counted(nx_resp *engine, nx_resp_connection *connection, nx_slice key,
                                   nx_record *record) {
  bool found = nx_find(engine, connection, key, record);
  if (found) engine->hits++;
  else engine->misses++;
  return found;
}

/* The connection's channel, created if need be. NULL when there is no memory for it: the error is replied. */
nx_channel *nx_channel_for_write(nx_resp *engine, nx_resp_connection *connection);
/* Stores a value; on failure replies the error and returns false. */
bool nx_put(nx_resp *engine, nx_resp_connection *connection, nx_slice key, nx_slice value,
            int64_t expires_at_ms);

#endif
