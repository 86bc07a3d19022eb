/*
 * Chunks in, messages out: cuts the input into messages, finds the request that each belongs to, lets streams speak in
 * turn.
 *
 * A connection owns memory only while a message is unfinished, waits behind a stop, or requests go on; what clients
 * can make the engine hold is counted in `input_bytes` and bounded.
 */
#include <stdlib.h>

#include "kept-input.h"
#include "service.h"

#define HEADER_BYTES 10u
#define TYPE_REQUEST 1u
#define SUPPORTED 0xfdu
#define VERSION_NOT_SUPPORTED 0xfeu
#define CODE_NOT_SUPPORTED 0xffu
#define REPLY_BYTES_KEPT (4u << 20)
#define SLOTS 64u

struct nx_neo_connection {
  nx_kept_input input;
  nx_neo_request *requests, **last; /* in the order in which they began */
  nx_neo_request *slots[SLOTS];     /* by id */
  nx_neo_request *turn;             /* whose turn it is to speak */
  const nx_neo *engine;
  uint32_t request_count;
  bool may_administrate;
  bool is_waiting; /* stopped: the client has enough to read */
  bool is_closing;
};

struct nx_neo {
  const nx_neo_service *service;
  void *context;
  nx_store *store;
  uint64_t settings[NX_NEO_SETTINGS];
  int64_t now_ms;
  nx_buffer replies;
  nx_event_lines events;
  nx_kept_total input;
  uint64_t connections, active;
  uint64_t requests_total, errors_total;
  nx_request_figures figures;
  double block[NX_NEO_BLOCK];
};

static bool settings_valid(const uint64_t *settings) {
  uint64_t updates = settings[NX_NEO_UPDATES_MAX];
  return settings[NX_NEO_BATCH_BYTES] >= 65536 && settings[NX_NEO_BATCH_BYTES] <= 1u << 24 &&
         settings[NX_NEO_MESSAGE_BYTES_MAX] >= 1024 && settings[NX_NEO_MESSAGE_BYTES_MAX] <= 1u << 30 &&
         settings[NX_NEO_REQUESTS_MAX] >= 1 && settings[NX_NEO_REQUESTS_MAX] <= 1u << 20 && updates >= 16 &&
         updates <= 1u << 24 && (updates & (updates - 1)) == 0;
}

nx_neo *nx_neo_new_for(const nx_neo_service *service, void *context, nx_store *store, const uint64_t *settings) {
  if (!settings_valid(settings)) return NULL;
  nx_neo *engine = calloc(1, sizeof *engine);
  NX_ASSERT(engine != NULL);
  memcpy(engine->settings, settings, sizeof engine->settings);
  engine->service = service;
  engine->context = context;
  engine->store = store;
  engine->input.bytes_max = settings[NX_NEO_INPUT_BYTES_MAX];
  engine->events.places = &engine->block[NX_NEO_EVENTS_ADDRESS];
  return engine;
}

void nx_neo_free(nx_neo *engine) {
  NX_ASSERT(engine->connections == 0 && engine->active == 0);
  engine->service->free(engine);
  nx_buffer_free(&engine->replies);
  nx_events_free(&engine->events);
  free(engine);
}

const double *nx_neo_block(const nx_neo *engine) { return engine->block; }
void *nx_neo_context(nx_neo *engine) { return engine->context; }
uint64_t nx_neo_setting(const nx_neo *engine, uint32_t setting) { return engine->settings[setting]; }
nx_store *nx_neo_store(nx_neo *engine) { return engine->store; }
int64_t nx_neo_now_ms(const nx_neo *engine) { return engine->now_ms; }
nx_request_figures *nx_neo_figures(nx_neo *engine) { return &engine->figures; }
nx_event_lines *nx_neo_events(nx_neo *engine) { return &engine->events; }
bool nx_neo_may_administrate(const nx_neo_connection *connection) { return connection->may_administrate; }
void nx_neo_urge(nx_neo *engine) { engine->block[NX_NEO_URGENT] = 1; }

bool nx_neo_is_full(const nx_neo *engine) {
  return engine->replies.length >= engine->settings[NX_NEO_REPLY_SOFT_BYTES_MAX];
}

void nx_neo_clear_events(nx_neo *engine) { nx_events_clear(&engine->events); }

void nx_neo_read_statistics(nx_neo *engine) {
  double *block = engine->block;
  block[NX_NEO_REQUESTS_TOTAL] = (double)engine->requests_total;
  block[NX_NEO_ERRORS_TOTAL] = (double)engine->errors_total;
  block[NX_NEO_INPUT_BYTES] = (double)engine->input.bytes;
  block[NX_NEO_CONNECTIONS] = (double)engine->connections;
  block[NX_NEO_ACTIVE] = (double)engine->active;
  block[NX_NEO_FIGURES_ADDRESS] = (double)(uintptr_t)engine->figures.kinds;
}

/* --- messages out ---------------------------------------------------------------------------------------- */

nx_buffer *nx_neo_replies(nx_neo *engine) { return &engine->replies; }

/* XOR of the bytes of a word. */
static uint8_t fold(uint64_t word) {
  word ^= word >> 32;
  word ^= word >> 16;
  return (uint8_t)(word ^ word >> 8);
}

static void write_header(uint8_t *at, uint64_t body_length, uint64_t id) {
  at[0] = TYPE_REQUEST;
  nx_store64(at + 1, body_length);
  at[9] = TYPE_REQUEST ^ fold(body_length);
  nx_store64(at + HEADER_BYTES, id);
}

uint64_t nx_neo_open(nx_neo *engine, uint64_t id) {
  uint64_t place = engine->replies.length;
  uint8_t *at = nx_reserve(&engine->replies, HEADER_BYTES + 8);
  write_header(at, 0, id);
  engine->replies.length += HEADER_BYTES + 8;
  return place;
}

void nx_neo_close(nx_neo *engine, uint64_t place) {
  uint8_t *at = engine->replies.data + place;
  write_header(at, engine->replies.length - place - HEADER_BYTES, nx_load64(at + HEADER_BYTES));
}

void nx_neo_byte(nx_neo *engine, uint64_t id, uint8_t byte) {
  uint8_t *at = nx_reserve(&engine->replies, HEADER_BYTES + 9);
  write_header(at, 9, id);
  at[HEADER_BYTES + 8] = byte;
  engine->replies.length += HEADER_BYTES + 9;
}

void nx_neo_error(nx_neo *engine, uint64_t id, uint8_t byte) {
  engine->errors_total += 1;
  nx_neo_byte(engine, id, byte);
}

/* --- requests that go on --------------------------------------------------------------------------------- */

static nx_neo_request **slot_of(nx_neo_connection *connection, uint64_t id) {
  return &connection->slots[(id ^ id >> 32) % SLOTS];
}

static nx_neo_request *find(nx_neo_connection *connection, uint64_t id) {
  if (connection->request_count == 0) return NULL;
  nx_neo_request *request = *slot_of(connection, id);
  while (request != NULL && request->id != id) request = request->same_slot;
  return request;
}

nx_neo_outcome nx_neo_keep(nx_neo *engine, nx_neo_connection *connection, nx_neo_request *request, uint64_t id,
                           uint8_t code) {
  request->connection = connection;
  request->id = id;
  request->code = code;
  request->next = NULL;
  *connection->last = request;
  connection->last = &request->next;
  nx_neo_request **slot = slot_of(connection, id);
  request->same_slot = *slot;
  *slot = request;
  connection->request_count += 1;
  engine->active += 1;
  nx_figures_active(&engine->figures, code, 1);
  if (connection->request_count <= engine->settings[NX_NEO_REQUESTS_MAX]) return NX_NEO_KEPT;
  nx_events_say(&engine->events, "more than %llu requests at once on one connection",
               (unsigned long long)engine->settings[NX_NEO_REQUESTS_MAX]);
  return NX_NEO_BROKEN;
}

static void forget(nx_neo *engine, nx_neo_request *request) {
  nx_neo_connection *connection = request->connection;
  nx_neo_request **slot = slot_of(connection, request->id);
  while (*slot != request) slot = &(*slot)->same_slot;
  *slot = request->same_slot;
  nx_neo_request **at = &connection->requests;
  while (*at != request) at = &(*at)->next;
  *at = request->next;
  if (connection->last == &request->next) connection->last = at;
  if (connection->turn == request) connection->turn = request->next;
  connection->request_count -= 1;
  engine->active -= 1;
  nx_figures_active(&engine->figures, request->code, -1);
  engine->service->drop(engine, request);
}

/* --- messages in ----------------------------------------------------------------------------------------- */

static nx_neo_outcome begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload) {
  uint8_t code = 0, version = 0;
  if (!nx_neo_take_u8(&payload, &code) || !nx_neo_take_u8(&payload, &version)) return NX_NEO_BROKEN;
  engine->requests_total += 1;
  uint8_t known = code < NX_NEO_CODES ? engine->service->versions[code] : NX_NEO_NO_VERSION;
  if (known == NX_NEO_NO_VERSION || known != version) {
    nx_neo_error(engine, id, known == NX_NEO_NO_VERSION ? CODE_NOT_SUPPORTED : VERSION_NOT_SUPPORTED);
    return NX_NEO_DONE;
  }
  nx_figures_handled(&engine->figures, code);
  nx_neo_byte(engine, id, SUPPORTED);
  return engine->service->begin(engine, connection, id, code, payload);
}

static nx_neo_outcome handle(nx_neo *engine, nx_neo_connection *connection, nx_slice body) {
  uint64_t id = 0;
  if (!nx_neo_take_u64(&body, &id) || id == 0) return NX_NEO_BROKEN;
  nx_neo_request *request = find(connection, id);
  if (request == NULL) return begin(engine, connection, id, body);
  nx_neo_outcome outcome = engine->service->message(engine, request, body);
  if (outcome == NX_NEO_DONE) forget(engine, request);
  return outcome;
}

/* Works off the messages that `bytes` completes. Returns how many bytes they took. */
static uint64_t serve(nx_neo *engine, nx_neo_connection *connection, const uint8_t *bytes, uint64_t length) {
  uint64_t consumed = 0;
  while (length - consumed >= HEADER_BYTES && !connection->is_closing) {
    if (nx_neo_is_full(engine)) {
      connection->is_waiting = true;
      break;
    }
    const uint8_t *at = bytes + consumed;
    uint64_t body_length = nx_load64(at + 1);
    bool is_message = at[0] == TYPE_REQUEST && at[9] == (at[0] ^ fold(body_length)) && body_length >= 8 &&
                      body_length <= engine->settings[NX_NEO_MESSAGE_BYTES_MAX];
    if (!is_message) {
      nx_events_say(&engine->events, "what was sent is no message: type %u, %llu bytes", at[0],
                   (unsigned long long)body_length);
      connection->is_closing = true;
      break;
    }
    if (length - consumed - HEADER_BYTES < body_length) break;
    consumed += HEADER_BYTES + body_length;
    if (handle(engine, connection, (nx_slice){at + HEADER_BYTES, body_length}) == NX_NEO_BROKEN) {
      nx_events_say(&engine->events, "a request that does not keep to the protocol");
      connection->is_closing = true;
    }
  }
  return consumed;
}

static void settle(nx_neo *engine, nx_neo_connection *connection, uint64_t consumed) {
  if (nx_kept_settle(&connection->input, consumed, 0, connection->is_closing, &engine->input)) return;
  nx_events_say(&engine->events, "too much unfinished input on this node");
  connection->is_closing = true;
}

static void serve_kept(nx_neo *engine, nx_neo_connection *connection) {
  connection->is_waiting = false;
  uint64_t length = nx_kept_length(&connection->input), consumed = 0;
  if (length > 0) consumed = serve(engine, connection, nx_kept_bytes(&connection->input), length);
  settle(engine, connection, consumed);
}

/* --- calls ----------------------------------------------------------------------------------------------- */

static void begin_call(nx_neo *engine, double now_ms) {
  nx_figures_begin_call(&engine->figures);
  engine->now_ms = (int64_t)now_ms;
  nx_buffer_reuse(&engine->replies, REPLY_BYTES_KEPT);
}

uint32_t nx_neo_waits(const nx_neo_connection *connection, double now_ms) {
  if (connection->is_closing) return 0;
  if (connection->is_waiting) return 1;
  const nx_neo_service *service = connection->engine->service;
  for (const nx_neo_request *request = connection->requests; request != NULL; request = request->next)
    if (service->waits(request, (int64_t)now_ms)) return 1;
  return 0;
}

static uint32_t end_call(nx_neo *engine, const nx_neo_connection *connection) {
  nx_figures_end_call(&engine->figures);
  nx_block_show(engine->block, &engine->replies, engine->service->effects(engine));
  if (connection->is_closing) return NX_NEO_CLOSE;
  uint32_t flags = connection->is_waiting ? NX_NEO_MORE | NX_NEO_STOPPED : 0;
  if (connection->requests == NULL) return flags;
  if (nx_neo_waits(connection, (double)engine->now_ms) != 0) flags |= NX_NEO_MORE;
  return flags | NX_NEO_STREAMING;
}

nx_neo_connection *nx_neo_connect(nx_neo *engine, uint32_t may_administrate) {
  nx_neo_connection *connection = calloc(1, sizeof *connection);
  NX_ASSERT(connection != NULL);
  connection->engine = engine;
  connection->last = &connection->requests;
  connection->may_administrate = may_administrate != 0;
  engine->connections += 1;
  return connection;
}

void nx_neo_disconnect(nx_neo *engine, nx_neo_connection *connection) {
  while (connection->requests != NULL) forget(engine, connection->requests);
  nx_kept_free(&connection->input, &engine->input);
  free(connection);
  engine->connections -= 1;
}

uint32_t nx_neo_feed(nx_neo *engine, nx_neo_connection *connection, const uint8_t *chunk, uint64_t length,
                     double now_ms) {
  begin_call(engine, now_ms);
  if (connection->is_closing) return end_call(engine, connection);
  if (connection->is_waiting) {
    nx_kept_append(&connection->input, chunk, length);
    if (nx_kept_length(&connection->input) > engine->settings[NX_NEO_MESSAGE_BYTES_MAX] + (64u << 10)) {
      nx_events_say(&engine->events, "too much sent without reading the answers");
      connection->is_closing = true;
    }
    settle(engine, connection, 0);
  } else if (nx_kept_length(&connection->input) == 0) {
    /* In place, without a copy of the bytes that complete messages. */
    uint64_t consumed = serve(engine, connection, chunk, length);
    if (consumed < length && !connection->is_closing)
      nx_kept_append(&connection->input, chunk + consumed, length - consumed);
    if (nx_kept_any(&connection->input)) settle(engine, connection, 0);
  } else {
    nx_kept_append(&connection->input, chunk, length);
    serve_kept(engine, connection);
  }
  return end_call(engine, connection);
}

/* Each stream speaks once a round, until the client has enough to read. */
static void pump_streams(nx_neo *engine, nx_neo_connection *connection) {
  uint32_t rounds = connection->request_count;
  for (; rounds > 0 && connection->requests != NULL && !nx_neo_is_full(engine); rounds--) {
    nx_neo_request *request = connection->turn != NULL ? connection->turn : connection->requests;
    connection->turn = request->next;
    if (!engine->service->waits(request, engine->now_ms)) continue;
    if (engine->service->pump(engine, request) == NX_NEO_DONE) forget(engine, request);
  }
}

uint32_t nx_neo_pump(nx_neo *engine, nx_neo_connection *connection, double now_ms) {
  begin_call(engine, now_ms);
  if (connection->is_closing) return end_call(engine, connection);
  if (connection->is_waiting) serve_kept(engine, connection);
  if (!connection->is_closing) pump_streams(engine, connection);
  return end_call(engine, connection);
}
