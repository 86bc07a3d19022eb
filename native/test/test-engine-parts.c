/* What the protocol engines share: input that is kept, lines for people, replies and where they are. */
#include "../engine-block.h"
#include "../event-lines.h"
#include "../kept-input.h"

#include <stdlib.h>
#include <string.h>

#include "../nx.h"
#include "tap.h"

#define CONNECTIONS 4u
#define MODEL_BYTES 65536u

typedef struct {
  nx_kept_input input;
  uint8_t bytes[MODEL_BYTES]; /* what must be kept */
  uint64_t length;
} connection;

/* Whether the input has exactly these bytes. */
static bool is_kept(const connection *c) {
  if (nx_kept_length(&c->input) != c->length) return false;
  return c->length == 0 || memcmp(nx_kept_bytes(&c->input), c->bytes, c->length) == 0;
}

static uint64_t owned(const connection *connections) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < CONNECTIONS; i++) sum += connections[i].input.bytes.capacity;
  return sum;
}

static void kept_input_is_what_was_not_worked_off(void) {
  static connection connections[CONNECTIONS];
  nx_kept_total total = {.bytes_max = UINT64_MAX};
  uint64_t random = 7;
  for (uint32_t step = 0; step < 20000; step++) {
    connection *c = &connections[test_random(&random) % CONNECTIONS];
    uint8_t chunk[700];
    uint64_t length = test_random(&random) % sizeof chunk;
    for (uint64_t i = 0; i < length; i++) chunk[i] = (uint8_t)test_random(&random);
    if (c->length + length <= MODEL_BYTES) {
      nx_kept_append(&c->input, chunk, length);
      memcpy(c->bytes + c->length, chunk, length);
      c->length += length;
    }
    bool is_all = test_random(&random) % 8 == 0;
    uint64_t consumed = is_all ? c->length : test_random(&random) % (c->length + 1);
    CHECK(nx_kept_settle(&c->input, consumed, 0, false, &total));
    memmove(c->bytes, c->bytes + consumed, c->length - consumed);
    c->length -= consumed;
    CHECK(is_kept(c));
    CHECK(c->length > 0 || c->input.bytes.capacity == 0);
    CHECK(nx_kept_any(&c->input) == (c->input.bytes.capacity != 0));
    CHECK(total.bytes == owned(connections));
  }
  for (uint32_t i = 0; i < CONNECTIONS; i++) nx_kept_free(&connections[i].input, &total);
  CHECK(total.bytes == 0);
}

static void input_beyond_the_bound_closes_who_brings_it(void) {
  nx_kept_total total = {.bytes_max = 20000};
  nx_kept_input first = {0}, second = {0};
  uint8_t chunk[12000] = {0};
  nx_kept_append(&first, chunk, sizeof chunk);
  CHECK(nx_kept_settle(&first, 0, 0, false, &total));
  CHECK(!nx_kept_settle(&first, 0, 9000, false, &total));
  CHECK(nx_kept_settle(&first, 0, 0, false, &total));
  nx_kept_append(&second, chunk, sizeof chunk);
  CHECK(!nx_kept_settle(&second, 0, 0, false, &total));
  /* It closes: nothing of it is kept, and it is not refused a second time. */
  CHECK(nx_kept_settle(&second, 0, 0, true, &total));
  CHECK(nx_kept_length(&second) == 0 && total.bytes == first.bytes.capacity);
  nx_kept_free(&first, &total);
  nx_kept_free(&second, &total);
  CHECK(total.bytes == 0);
}

static void lines_are_shown_cut_and_bounded(void) {
  double places[2] = {0, 0};
  nx_event_lines events = {.places = places};
  nx_events_say(&events, "the %dst of %s", 1, "two");
  CHECK(places[1] == 15 && memcmp((const void *)(uintptr_t)places[0], "the 1st of two\n", 15) == 0);
  nx_events_clear(&events);
  CHECK(places[1] == 0);
  char longest[2000];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  for (uint32_t i = 0; i < 1000; i++) nx_events_say(&events, "%s", longest);
  const char *text = (const char *)(uintptr_t)places[0];
  uint64_t length = (uint64_t)places[1];
  CHECK(length > NX_EVENTS_BYTES_MAX && length <= NX_EVENTS_BYTES_MAX + 512);
  CHECK(length % 511 == 0 && text[510] == '\n' && text[length - 1] == '\n');
  nx_events_free(&events);
}

static void replies_are_where_the_block_says(void) {
  double block[NX_BLOCK_OWN];
  nx_buffer replies = {0}, effects = {0};
  uint8_t *large = calloc(1, 100000);
  NX_ASSERT(large != NULL);
  nx_buffer_append(&replies, "+OK\r\n", 5);
  nx_buffer_append(&effects, large, 77);
  nx_block_show(block, &replies, &effects);
  nx_slice shown = nx_block_replies(block);
  CHECK(shown.length == 5 && memcmp(shown.data, "+OK\r\n", 5) == 0);
  CHECK(block[NX_BLOCK_EFFECTS_LENGTH] == 77);
  CHECK(block[NX_BLOCK_REPLY_CAPACITY] == (double)replies.capacity);
  CHECK(block[NX_BLOCK_REPLY_GENERATION] == (double)replies.generation);
  uint64_t capacity = replies.capacity, generation = replies.generation;
  nx_buffer_reuse(&replies, 50000);
  CHECK(replies.length == 0 && replies.capacity == capacity && replies.generation == generation);
  nx_buffer_append(&replies, large, 100000);
  nx_buffer_reuse(&replies, 50000);
  CHECK(replies.length == 0 && replies.capacity == 25000 && replies.generation > generation);
  nx_buffer_free(&replies);
  nx_buffer_free(&effects);
  free(large);
}

int main(void) {
  TEST("kept input is what was not worked off, and owns nothing when that is nothing",
       kept_input_is_what_was_not_worked_off);
  TEST("input beyond the bound of all connections closes who brings it",
       input_beyond_the_bound_closes_who_brings_it);
  TEST("lines for people are shown, cut and bounded", lines_are_shown_cut_and_bounded);
  TEST("replies are where the block says, and long ones give their memory back",
       replies_are_where_the_block_says);
  TAP_END();
}
