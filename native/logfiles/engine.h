/*
 * The legacy swarm protocol of the logfiles node: bytes of a client in, bytes of answers out.
 *
 * One engine serves all connections of one node, on the thread of its channels (logs.h); it is built like the dht
 * node's (native/legacy/legacy.h). A call works off as much input as it may and leaves its outcome in the block of
 * nx_logfiles_block. What needs files (ranges, filters, moving records away) it hands out as a task: the connection
 * then stands still until nx_logfiles_resume. A crash loses connections and unanswered requests.
 */
#ifndef NX_LOGFILES_ENGINE_H
#define NX_LOGFILES_ENGINE_H
#include "engine-block.h"
#include "event-lines.h"
#include "kept-input.h"
#include "logs.h"
#include "lzo.h"
#include "request-figures.h"
#include "request.h"

typedef struct nx_logfiles nx_logfiles;
typedef struct nx_logfiles_connection nx_logfiles_connection;

/* Flags of a call's outcome. */
enum {
  NX_LOGFILES_CLOSE = 1, /* write the answers, then close the connection */
  NX_LOGFILES_MORE = 2,  /* call nx_logfiles_resume once the answers are written */
  NX_LOGFILES_TASK = 4,  /* a task was taken; call nx_logfiles_resume when it is done */
};

/*
 * A task, integers little-endian:
 *
 *   u32 code | u32 mode | u64 low | u64 high | u32 length of the name | u32 length of the rest | name | rest
 *
 * `rest` is the filter or the pattern, or a Redistribute request behind its code.
 */
#define NX_LOGFILES_TASK_BYTES 32u

/* The engine's own places in the block (engine-block.h), shared with src/native/logfiles/engine.ts. */
enum {
  NX_LOGFILES_TASK_ADDRESS = NX_BLOCK_OWN,
  NX_LOGFILES_TASK_LENGTH,
  NX_LOGFILES_EVENTS_ADDRESS, /* lines for the log, each ended by a line feed */
  NX_LOGFILES_EVENTS_LENGTH,
  NX_LOGFILES_REQUESTS_TOTAL,
  NX_LOGFILES_ERRORS_TOTAL, /* answers other than 200 */
  NX_LOGFILES_INPUT_BYTES,
  NX_LOGFILES_CONNECTIONS,
  NX_LOGFILES_REMOVALS_TOTAL, /* of channels */
  NX_LOGFILES_MEMTABLE_BYTES,
  NX_LOGFILES_FIGURES_ADDRESS, /* nx_request_figures */
  NX_LOGFILES_BLOCK
};

NX_API nx_logfiles *nx_logfiles_new(nx_logs *logs, uint64_t array_bytes_max, uint64_t channels_max);
/* All connections must be disconnected. */
NX_API void nx_logfiles_free(nx_logfiles *engine);
NX_API const double *nx_logfiles_block(const nx_logfiles *engine);
NX_API void nx_logfiles_read_statistics(nx_logfiles *engine);
NX_API void nx_logfiles_set_address(nx_logfiles *engine, const uint8_t *address, uint64_t length, uint32_t port);
NX_API void nx_logfiles_set_range(nx_logfiles *engine, uint64_t min, uint64_t max);
/* 1: writes are answered 407 until it is called with 0. */
NX_API void nx_logfiles_refuse_writes(nx_logfiles *engine, uint32_t is_refusing);
NX_API void nx_logfiles_clear_events(nx_logfiles *engine);

NX_API nx_logfiles_connection *nx_logfiles_connect(nx_logfiles *engine);
NX_API void nx_logfiles_disconnect(nx_logfiles *engine, nx_logfiles_connection *connection);
/* Each returns flags. `feed` copies what it must keep of the chunk. */
NX_API uint32_t nx_logfiles_feed(nx_logfiles *engine, nx_logfiles_connection *connection, const uint8_t *chunk,
                                 uint64_t length);
/* After MORE, and after TASK once it is done. */
NX_API uint32_t nx_logfiles_resume(nx_logfiles *engine, nx_logfiles_connection *connection);

/* What the files of the engine share. */
struct nx_logfiles_connection {
  nx_kept_input input;
  uint64_t skip; /* bytes to be thrown away before it is closed */
  bool has_task;
  uint32_t task_code; /* of the request that a task was made of */
  bool is_waiting; /* stopped with MORE */
  bool is_closing;
};

struct nx_logfiles {
  nx_logs *logs;
  uint64_t array_bytes_max, channels_max;
  uint64_t range_min, range_max;
  uint8_t address[64];
  uint32_t address_length;
  uint16_t port;
  bool is_refusing;
  nx_buffer replies, content, task;
  nx_event_lines events;
  nx_kept_total input;
  uint64_t connections;
  uint64_t requests_total, errors_total, removals_total;
  nx_request_figures figures;
  double block[NX_LOGFILES_BLOCK];
};

void nx_logfiles_execute(nx_logfiles *engine, nx_logfiles_connection *connection,
                         const nx_logfiles_request *request);

#endif
