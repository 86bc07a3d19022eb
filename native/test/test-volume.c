/*
 * A volume's log and overlay beside a plain model that paints every block: packs that a reader of logs finds sound and in
 * their places of the ring, reads that find the newest content wherever it is, requests cut into pieces of any size.
 */
#include <string.h>

#include "../blocks/log-reader.h"
#include "../bytes.h"
#include "../nbd/transmission.h"
#include "../volume/ship.h"
#include "../volume/volume.h"
#include "tap.h"

#define BLOCK 512u
#define BYTES_MAX (2u << 20)
#define RING_MAX 1024u
#define SALT 0x1234567u

static uint8_t painted[BYTES_MAX]; /* what the volume holds */
static uint8_t data_file[BYTES_MAX], ring_file[4096 + RING_MAX * 4096];

static void put32(uint8_t *to, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(to, &value, 4);
}

/* A request as it comes over the wire; returns its length. */
static uint64_t request(uint8_t *out, uint32_t type, uint32_t flags, uint64_t cookie, uint64_t offset, uint32_t length,
                        const uint8_t *data) {
  memset(out, 0, 28);
  put32(out, 0x25609513);
  out[4] = (uint8_t)(flags >> 8), out[5] = (uint8_t)flags, out[7] = (uint8_t)type;
  memcpy(out + 8, &cookie, 8);
  put32(out + 20, (uint32_t)offset);
  put32(out + 24, length);
  if (data != NULL) memcpy(out + 28, data, length);
  return 28 + (data == NULL ? 0 : length);
}

typedef struct {
  nx_volume *volume;
  nx_nbd *nbd;
  nx_volume_state *state;
  nx_log_reader *reader;
  uint32_t physical;
  uint64_t bytes, ring; /* of the volume, and blocks of its log */
  uint64_t checkpoint, random;
} world;

static world new_world_of(uint32_t physical, uint64_t bytes, uint64_t ring) {
  memset(painted, 0, sizeof painted);
  memset(data_file, 0, sizeof data_file);
  memset(ring_file, 0, sizeof ring_file);
  world w = {.physical = physical, .bytes = bytes, .ring = ring, .random = physical};
  w.volume = nx_volume_new(physical, SALT, ring, 4096, 0);
  w.state = nx_volume_state_of(w.volume);
  w.nbd = nx_nbd_new(1, bytes, 1 << 20, 512, false, false, false);
  w.reader = nx_log_reader_new(NX_CODEC_SNAPPY, 0, 32);
  nx_log_reader_begin_packs(w.reader, SALT, physical);
  nx_volume_set_limit(w.volume, ring);
  return w;
}

static world new_world(uint32_t physical) { return new_world_of(physical, 512 * BLOCK, 96); }

/* No record of the packs lies across the ring's end. */
static void check_places(const world *w, const uint8_t *bytes, uint64_t length) {
  for (uint64_t at = 0; at < length;) {
    const uint8_t *header = bytes + at;
    for (uint32_t index = 0; index < header[16]; index++) {
      nx_wlog_record record;
      nx_wlog_record_read(header, index, w->physical, &record);
      CHECK((nx_load64(header + 8) + record.position) % w->ring + record.physical_blocks <= w->ring);
    }
    at += (1 + (uint64_t)(header[6] | header[7] << 8)) * w->physical;
  }
}

/* Writes every batch into the ring, and lets a reader of logs look at it. */
static void write_log(world *w) {
  for (int batch; (batch = nx_volume_take(w->volume)) >= 0;) {
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)w->state->batch_address;
    uint64_t place = w->state->batch_first % w->ring, blocks = w->state->batch_length / w->physical;
    CHECK(w->state->batch_end - w->state->batch_first == blocks);
    CHECK(w->state->batch_end <= w->checkpoint + w->ring);
    check_places(w, bytes, w->state->batch_length);
    for (uint64_t block = 0; block < blocks; block++)
      memcpy(ring_file + 4096 + (place + block) % w->ring * w->physical, bytes + block * w->physical, w->physical);
    CHECK(nx_log_feed(w->reader, bytes, w->state->batch_length, 0) == NX_LOG_PACK_HEADER);
    nx_volume_written(w->volume, (uint32_t)batch);
  }
}

static void apply(world *w) {
  uint64_t lsid = w->state->written;
  nx_volume_durable(w->volume, lsid);
  nx_volume_collect(w->volume, lsid, 8192);
  const nx_buffer *copies = nx_volume_copies(w->volume);
  for (uint64_t at = 0; at < copies->length; at += sizeof(nx_stretch)) {
    const nx_stretch *stretch = (const nx_stretch *)(const void *)(copies->data + at);
    CHECK(stretch->source != NX_SOURCE_DATA && stretch->to + stretch->length <= w->bytes);
    CHECK(stretch->source == NX_SOURCE_ZERO || stretch->from + stretch->length <= 4096 + w->ring * w->physical);
    if (stretch->source == NX_SOURCE_ZERO) memset(data_file + stretch->to, 0, stretch->length);
    else memcpy(data_file + stretch->to, ring_file + stretch->from, stretch->length);
  }
  nx_volume_applied(w->volume, lsid);
  w->checkpoint = lsid;
  nx_volume_set_limit(w->volume, lsid + w->ring);
}

/* Reads through the overlay. */
static void check_read(world *w, uint64_t offset, uint64_t length) {
  static uint8_t target[sizeof painted];
  nx_volume_plan(w->volume, offset, length);
  const nx_buffer *stretches = nx_volume_stretches(w->volume);
  uint64_t end = 0;
  for (uint64_t at = 0; at < stretches->length; at += sizeof(nx_stretch)) {
    const nx_stretch *stretch = (const nx_stretch *)(const void *)(stretches->data + at);
    CHECK(stretch->to == end);
    end += stretch->length;
    if (stretch->source == NX_SOURCE_ZERO) memset(target + stretch->to, 0, stretch->length);
    else memcpy(target + stretch->to, (stretch->source == NX_SOURCE_LOG ? ring_file : data_file) + stretch->from, stretch->length);
  }
  CHECK(end == length && memcmp(target, painted + offset, length) == 0);
}

static uint64_t answers(world *w) {
  nx_buffer *out = nx_nbd_out(w->nbd);
  uint64_t count = 0;
  for (uint64_t at = 0; at + 16 <= out->length; at += 16, count++) CHECK(nx_load32(out->data + at + 4) == 0);
  out->length = 0;
  return count;
}

static void free_world(world *w) {
  nx_nbd_close(w->nbd);
  nx_volume_free(w->volume);
  nx_log_reader_free(w->reader);
}

static void run_model(uint32_t physical) {
  world w = new_world(physical);
  static uint8_t wire[28 + 64 * BLOCK], data[64 * BLOCK];
  uint64_t asked = 0, answered = 0;
  for (uint32_t step = 0; step < 4000; step++) {
    uint64_t blocks = 1 + test_random(&w.random) % (step % 16 == 0 ? 64 : 8);
    uint64_t block = test_random(&w.random) % (w.bytes / BLOCK - blocks + 1);
    uint32_t kind = (uint32_t)(test_random(&w.random) % 8), length = (uint32_t)(blocks * BLOCK);
    uint64_t size;
    if (kind == 0) {
      size = request(wire, NX_NBD_TRIM, 0, step, block * BLOCK, length, NULL);
    } else if (kind == 1) {
      size = request(wire, NX_NBD_WRITE_ZEROES, 0, step, block * BLOCK, length, NULL);
    } else {
      for (uint64_t i = 0; i < length; i++) data[i] = (uint8_t)(step + i / 7);
      size = request(wire, NX_NBD_WRITE, kind == 2 ? NX_NBD_FLAG_FUA : 0, step, block * BLOCK, length, data);
    }
    /* In two pieces, cut anywhere. */
    uint64_t cut = test_random(&w.random) % (size + 1);
    CHECK(nx_volume_feed(w.volume, w.nbd, wire, cut) == NX_NBD_GOOD);
    CHECK(nx_volume_feed(w.volume, w.nbd, wire + cut, size - cut) == NX_NBD_GOOD);
    asked += 1;
    if (kind < 2) memset(painted + block * BLOCK, 0, length);
    else memcpy(painted + block * BLOCK, data, length);
    write_log(&w);
    while (w.state->held != 0) {
      apply(&w);
      write_log(&w);
    }
    if (test_random(&w.random) % 8 == 0) apply(&w);
    uint64_t from = test_random(&w.random) % w.bytes;
    check_read(&w, from, 1 + test_random(&w.random) % (w.bytes - from));
    answered += answers(&w);
  }
  apply(&w);
  answered += answers(&w);
  CHECK(answered == asked && w.state->units == 0);
  CHECK(memcmp(data_file, painted, w.bytes) == 0);
  free_world(&w);
}

/* A client whose requests come in pieces, beside others. */
typedef struct {
  nx_nbd *nbd;
  uint8_t wire[28 + (256u << 10)];
  uint64_t size, sent, offset, length;
} client;

static void feed_piece(world *w, client *c) {
  if (c->sent == c->size) {
    c->length = (1 + test_random(&w->random) % (test_random(&w->random) % 2 == 0 ? 64 : 8)) * 8 * BLOCK;
    c->offset = test_random(&w->random) % ((w->bytes - c->length) / BLOCK + 1) * BLOCK;
    uint8_t fill = (uint8_t)test_random(&w->random);
    for (uint64_t i = 0; i < c->length; i++) c->wire[28 + i] = (uint8_t)(fill + i / 7);
    c->size = request(c->wire, NX_NBD_WRITE, 0, 1, c->offset, (uint32_t)c->length, NULL) + c->length;
    c->sent = 0;
  }
  uint64_t piece = 1 + test_random(&w->random) % (c->size - c->sent);
  CHECK(nx_volume_feed(w->volume, c->nbd, c->wire + c->sent, piece) == NX_NBD_GOOD);
  c->sent += piece;
  if (c->sent == c->size) memcpy(painted + c->offset, c->wire + 28, c->length);
}

/* Long writes of several clients are put together in the log's own memory; some clients leave in the middle. */
static void writes_in_pieces_are_whole(void) {
  enum { CLIENTS = 6 };
  world w = new_world_of(4096, BYTES_MAX, RING_MAX);
  static client clients[CLIENTS];
  for (uint32_t i = 0; i < CLIENTS; i++) clients[i] = (client){.nbd = nx_nbd_new(i + 2, w.bytes, 1 << 20, 512, false, false, false)};
  for (uint32_t step = 0; step < 3000; step++) {
    client *c = &clients[test_random(&w.random) % CLIENTS];
    feed_piece(&w, c);
    if (test_random(&w.random) % 4 == 0) write_log(&w);
    while (w.state->held != 0) {
      write_log(&w);
      apply(&w);
    }
    if (test_random(&w.random) % 32 == 0) {
      write_log(&w);
      apply(&w);
    }
    if (test_random(&w.random) % 64 == 0) {
      nx_nbd_close(c->nbd);
      *c = (client){.nbd = nx_nbd_new(step + 100, w.bytes, 1 << 20, 512, false, false, false)};
    }
  }
  write_log(&w);
  apply(&w);
  CHECK(memcmp(data_file, painted, w.bytes) == 0);
  /* The volume goes first: what came of a write is kept by its connection, and closed with it. */
  for (uint32_t i = 0; i < CLIENTS; i++)
    if (clients[i].sent == clients[i].size) feed_piece(&w, &clients[i]);
  free_world(&w);
  for (uint32_t i = 0; i < CLIENTS; i++) nx_nbd_close(clients[i].nbd);
}

static void what_was_written_is_read_512(void) { run_model(512); }
static void what_was_written_is_read_4096(void) { run_model(4096); }

static void a_flush_waits_for_what_was_acknowledged(void) {
  world w = new_world(512);
  static uint8_t wire[28 + BLOCK], data[BLOCK];
  nx_volume_feed(w.volume, w.nbd, wire, request(wire, NX_NBD_WRITE, 0, 1, 0, BLOCK, data));
  write_log(&w);
  CHECK(answers(&w) == 1);
  nx_volume_feed(w.volume, w.nbd, wire, request(wire, NX_NBD_FLUSH, 0, 2, 0, 0, NULL));
  CHECK(answers(&w) == 0 && w.state->durable_waiters == 1);
  nx_volume_feed(w.volume, w.nbd, wire, request(wire, NX_NBD_WRITE, NX_NBD_FLAG_FUA, 3, 0, BLOCK, data));
  write_log(&w);
  CHECK(answers(&w) == 0 && w.state->durable_waiters == 2);
  nx_volume_durable(w.volume, w.state->written);
  CHECK(answers(&w) == 2 && w.state->durable_waiters == 0);
  nx_volume_feed(w.volume, w.nbd, wire, request(wire, NX_NBD_FLUSH, 0, 4, 0, 0, NULL));
  CHECK(answers(&w) == 1);
  free_world(&w);
}

static uint32_t error_of(nx_nbd *nbd) {
  const nx_buffer *out = nx_nbd_out(nbd);
  uint32_t error = out->length < 16 ? 0 : __builtin_bswap32(nx_load32(out->data + 4));
  nx_nbd_out(nbd)->length = 0;
  return error;
}

static void a_request_that_cannot_be_gets_an_error(void) {
  static uint8_t wire[28 + 2 * BLOCK], data[2 * BLOCK];
  nx_nbd *nbd = nx_nbd_new(1, 8 * BLOCK, 4 * BLOCK, BLOCK, false, false, false);
  static const struct { uint32_t type; uint64_t offset; uint32_t length, error; } cases[] = {
      {NX_NBD_READ, 7 * BLOCK, 2 * BLOCK, NX_NBD_EINVAL},  {NX_NBD_READ, 0, 0, NX_NBD_EINVAL},
      {NX_NBD_READ, 0, 5 * BLOCK, NX_NBD_EINVAL},          {NX_NBD_TRIM, 1, BLOCK, NX_NBD_EINVAL},
      {NX_NBD_WRITE_ZEROES, 8 * BLOCK, BLOCK, NX_NBD_ENOSPC}, {9, 0, BLOCK, NX_NBD_EINVAL},
      {NX_NBD_BLOCK_STATUS, 0, BLOCK, NX_NBD_EINVAL},
  };
  for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t size = request(wire, cases[i].type, 0, i, cases[i].offset, cases[i].length, NULL);
    CHECK(nx_nbd_feed(nbd, wire, size) == NX_NBD_GOOD && error_of(nbd) == cases[i].error);
  }
  CHECK(nx_nbd_queue(nbd)->length == 0);
  /* The data of a refused write is skipped, and the next request is understood. */
  uint64_t size = request(wire, NX_NBD_WRITE, 0, 1, 7 * BLOCK, 2 * BLOCK, data);
  for (uint64_t at = 0; at < size; at += 100) CHECK(nx_nbd_feed(nbd, wire + at, size - at < 100 ? size - at : 100) == NX_NBD_GOOD);
  CHECK(error_of(nbd) == NX_NBD_ENOSPC);
  CHECK(nx_nbd_feed(nbd, wire, request(wire, NX_NBD_READ, 0, 2, 0, BLOCK, NULL)) == NX_NBD_GOOD);
  CHECK(nx_nbd_queue(nbd)->length == sizeof(nx_nbd_request));
  CHECK(nx_nbd_feed(nbd, wire, request(wire, NX_NBD_WRITE, 0, 3, 0, 5 * BLOCK, NULL)) == NX_NBD_BROKEN);
  nx_nbd_close(nbd);
}

static void many_answers_stop_the_reading_of_requests(void) {
  world w = new_world(4096);
  static uint8_t wire[28 * 4000];
  for (uint32_t i = 0; i < 4000; i++) request(wire + 28 * i, NX_NBD_READ, 0, i, 0, (uint32_t)(w.bytes / 2), NULL);
  CHECK(nx_volume_feed(w.volume, w.nbd, wire, sizeof wire) == NX_NBD_GOOD);
  uint64_t seen = 0;
  for (;;) {
    CHECK(nx_nbd_out(w.nbd)->length < (UINT64_C(65) << 20));
    seen += nx_volume_reads(w.volume)->length / sizeof(nx_volume_read);
    nx_nbd_out(w.nbd)->length = 0;
    if (nx_nbd_backlog(w.nbd)->length == 0) break;
    nx_volume_feed(w.volume, w.nbd, wire, 0);
  }
  CHECK(seen == 4000);
  free_world(&w);
}

static void what_is_shipped_is_the_log(void) {
  world w = new_world(512);
  static uint8_t wire[28 + 16 * BLOCK], data[16 * BLOCK];
  for (uint32_t step = 0; step < 3; step++) {
    memset(data, (int)step, sizeof data);
    nx_volume_feed(w.volume, w.nbd, wire, request(wire, NX_NBD_WRITE, 0, step, step * BLOCK, 5 * BLOCK, data));
  }
  write_log(&w);
  nx_codec *codec = nx_codec_new();
  nx_buffer out = {0};
  uint64_t length = w.state->written * 512;
  CHECK(nx_ship_packs(codec, 512, SALT, 0, ring_file + 4096, length, &out) == (int64_t)length && out.length > 0);
  CHECK(nx_ship_packs(codec, 512, SALT, 1, ring_file + 4096, length, &out) < 0);
  CHECK(nx_ship_packs(codec, 512, SALT, 0, ring_file + 4096, length - 512, &out) < (int64_t)length);
  nx_buffer_free(&out);
  nx_codec_free(codec);
  free_world(&w);
}

int main(void) {
  TEST("what was written is read, wherever it is, physical blocks of 512", what_was_written_is_read_512);
  TEST("what was written is read, wherever it is, physical blocks of 4096", what_was_written_is_read_4096);
  TEST("writes in pieces are whole, whoever else writes or leaves", writes_in_pieces_are_whole);
  TEST("a flush waits for what was acknowledged before it", a_flush_waits_for_what_was_acknowledged);
  TEST("a request that cannot be gets an error", a_request_that_cannot_be_gets_an_error);
  TEST("many answers stop the reading of requests", many_answers_stop_the_reading_of_requests);
  TEST("what is shipped is the log", what_is_shipped_is_the_log);
  TAP_END();
}
