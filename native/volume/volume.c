/* The requests of volume.h on their way through the log. */
#include "volume.h"

#include <stdlib.h>

#include "../blocks/wlog.h"
#include "../bytes.h"

#define BLOCK 512u
/* Discards carry no data, so the ring does not bound them: their units in the overlay do, 72 bytes each. */
#define UNITS_MAX (UINT64_C(1) << 20)
#define DISCARD_BLOCKS_MAX (UINT64_C(1) << 18)
/* From here on a write is put together where the log has it. */
#define LENT_BYTES_MIN (128u << 10)

/* A change that waits for room: `done` blocks of it are in the log. */
typedef struct {
  nx_nbd *nbd;
  nx_nbd_request request;
  uint8_t *data;
  uint64_t done;
} held_request;

/* An answer that waits until the log has everything before `lsid`. */
typedef struct {
  nx_nbd *nbd;
  uint64_t cookie, lsid;
  uint32_t type;
} answer;

/* First in, first out; structs of one size in a buffer. */
typedef struct {
  nx_buffer items;
  uint64_t head;
} fifo;

struct nx_volume {
  nx_volume_state state;
  nx_packs packs;
  nx_overlay overlay;
  fifo held, on_written, on_durable;
  nx_buffer reads, stretches, copies, ready;
  uint64_t discarded; /* blocks of discards that are not in the overlay yet */
  bool has_failed;
};

static void fifo_push(fifo *queue, const void *item, uint64_t size) { nx_buffer_append(&queue->items, item, size); }

static void *fifo_first(fifo *queue) {
  return queue->head == queue->items.length ? NULL : queue->items.data + queue->head;
}

static void fifo_pop(fifo *queue, uint64_t size) {
  queue->head += size;
  if (queue->head < queue->items.length && queue->head < 65536) return;
  uint64_t left = queue->items.length - queue->head;
  nx_move(queue->items.data, queue->items.data + queue->head, left);
  queue->items.length = left;
  queue->head = 0;
}

static void set_log(nx_volume *volume, uint32_t salt, uint64_t lsid) {
  nx_packs *packs = &volume->packs;
  packs->salt = salt;
  packs->next = lsid;
  nx_volume_state *state = &volume->state;
  state->next = state->written = state->durable = state->applied = lsid;
  state->salt = salt;
}

nx_volume *nx_volume_new(uint32_t physical_bytes, uint32_t salt, uint64_t ring, uint64_t ring_start, uint64_t lsid) {
  NX_ASSERT((physical_bytes == 512 || physical_bytes == 4096) && ring >= 16);
  nx_volume *volume = calloc(1, sizeof *volume);
  NX_ASSERT(volume != NULL);
  nx_packs *packs = &volume->packs;
  packs->physical_bytes = physical_bytes;
  packs->ring = ring;
  uint64_t blocks = ring / 8 * (physical_bytes / BLOCK), most = (UINT64_C(4) << 20) / BLOCK;
  packs->record_blocks_max = (uint32_t)(blocks < most ? blocks : most);
  volume->overlay.ring_start = ring_start;
  volume->overlay.ring_bytes = ring * physical_bytes;
  set_log(volume, salt, lsid);
  return volume;
}

static void free_held(nx_volume *volume, uint32_t error) {
  for (held_request *held; (held = fifo_first(&volume->held)) != NULL; fifo_pop(&volume->held, sizeof *held)) {
    nx_nbd_reply(held->nbd, held->request.type, held->request.cookie, error);
    free(held->data);
    nx_nbd_release(held->nbd);
  }
  volume->state.held = volume->state.held_bytes = 0;
}

static void mark_ready(nx_volume *volume, const nx_nbd *nbd) {
  uint32_t id = nx_nbd_id(nbd);
  nx_buffer *ready = &volume->ready;
  if (ready->length != 0 && nx_load32(ready->data + ready->length - 4) == id) return;
  nx_buffer_append(ready, &id, sizeof id);
}

static void answer_one(nx_volume *volume, const answer *waiting, uint32_t error) {
  if (!nx_nbd_is_closed(waiting->nbd)) {
    nx_nbd_reply(waiting->nbd, waiting->type, waiting->cookie, error);
    mark_ready(volume, waiting->nbd);
  }
  nx_nbd_release(waiting->nbd);
}

static void answer_until(nx_volume *volume, fifo *queue, uint64_t lsid, uint32_t error) {
  for (answer *waiting; (waiting = fifo_first(queue)) != NULL && waiting->lsid <= lsid;) {
    answer copy = *waiting;
    fifo_pop(queue, sizeof copy);
    if (queue == &volume->on_durable) volume->state.durable_waiters -= 1;
    answer_one(volume, &copy, error);
  }
}

void nx_volume_fail(nx_volume *volume) {
  volume->has_failed = true;
  for (uint64_t at = volume->held.head; at < volume->held.items.length; at += sizeof(held_request))
    mark_ready(volume, ((held_request *)(void *)(volume->held.items.data + at))->nbd);
  free_held(volume, NX_NBD_EIO);
  answer_until(volume, &volume->on_written, UINT64_MAX, NX_NBD_EIO);
  answer_until(volume, &volume->on_durable, UINT64_MAX, NX_NBD_EIO);
}

void nx_volume_free(nx_volume *volume) {
  nx_volume_fail(volume);
  for (nx_nbd *borrower; (borrower = nx_packs_borrower(&volume->packs)) != NULL;) {
    nx_nbd_take_back(borrower);
    nx_packs_end_loan(&volume->packs, borrower);
  }
  nx_packs_free(&volume->packs);
  nx_overlay_free(&volume->overlay);
  nx_buffer *buffers[] = {&volume->held.items, &volume->on_written.items, &volume->on_durable.items, &volume->reads,
                          &volume->stretches, &volume->copies, &volume->ready};
  for (uint32_t index = 0; index < sizeof buffers / sizeof *buffers; index++) nx_buffer_free(buffers[index]);
  free(volume);
}

nx_volume_state *nx_volume_state_of(nx_volume *volume) { return &volume->state; }
nx_buffer *nx_volume_reads(nx_volume *volume) { return &volume->reads; }
nx_buffer *nx_volume_stretches(nx_volume *volume) { return &volume->stretches; }
nx_buffer *nx_volume_copies(nx_volume *volume) { return &volume->copies; }
nx_buffer *nx_volume_ready(nx_volume *volume) { return &volume->ready; }

static void update(nx_volume *volume) {
  volume->state.next = volume->packs.next;
  volume->state.limit = volume->packs.limit;
  volume->state.waiting_bytes = nx_packs_waiting(&volume->packs);
  volume->state.units = volume->overlay.count;
}

/* Puts what is left of a change into the log, record by record; true when all of it is there. */
static bool put_change(nx_volume *volume, const nx_nbd_request *request, const uint8_t *data, uint64_t *done) {
  uint64_t blocks = request->length / BLOCK, address = request->offset / BLOCK;
  bool is_discard = request->type == NX_NBD_TRIM;
  while (*done < blocks) {
    uint64_t most = is_discard ? DISCARD_BLOCKS_MAX : volume->packs.record_blocks_max;
    uint64_t count = blocks - *done < most ? blocks - *done : most;
    const uint8_t *from = data == NULL ? NULL : data + *done * BLOCK;
    if (is_discard && volume->overlay.count + volume->discarded / 8 > UNITS_MAX) return false;
    if (!nx_packs_put(&volume->packs, address + *done, (uint32_t)count, is_discard, from)) return false;
    if (is_discard) volume->discarded += count;
    *done += count;
  }
  return true;
}

static bool put_lent(nx_volume *volume, nx_nbd *nbd, const nx_nbd_request *request) {
  uint64_t address = request->offset / BLOCK;
  return request->type == NX_NBD_WRITE && request->length >= LENT_BYTES_MIN &&
         nx_packs_put_lent(&volume->packs, address, request->length / BLOCK, nbd);
}

/* All of the change is in the log: it is answered when the log has it. */
static void wait_for_log(nx_volume *volume, nx_nbd *nbd, const nx_nbd_request *request) {
  bool is_durable = (request->flags & NX_NBD_FLAG_FUA) != 0;
  answer waiting = {.nbd = nbd, .cookie = request->cookie, .lsid = volume->packs.next, .type = request->type};
  fifo_push(is_durable ? &volume->on_durable : &volume->on_written, &waiting, sizeof waiting);
  volume->state.durable_waiters += is_durable;
}

static void take_change(nx_volume *volume, nx_nbd *nbd, const nx_nbd_request *request, const uint8_t *data) {
  if (request->type == NX_NBD_TRIM) volume->state.trims += 1;
  else volume->state.writes += 1, volume->state.written_bytes += request->length;
  uint64_t done = 0;
  nx_nbd_hold(nbd);
  if (fifo_first(&volume->held) == NULL && (put_lent(volume, nbd, request) || put_change(volume, request, data, &done))) {
    wait_for_log(volume, nbd, request);
    return;
  }
  held_request held = {.nbd = nbd, .request = *request, .done = done};
  if (data != NULL) {
    held.data = malloc(request->length);
    NX_ASSERT(held.data != NULL);
    memcpy(held.data, data, request->length);
    volume->state.held_bytes += request->length;
  }
  fifo_push(&volume->held, &held, sizeof held);
  volume->state.held += 1;
}

static void go_on(nx_volume *volume) {
  for (held_request *held; (held = fifo_first(&volume->held)) != NULL;) {
    if (!put_change(volume, &held->request, held->data, &held->done)) break;
    wait_for_log(volume, held->nbd, &held->request);
    if (held->data != NULL) volume->state.held_bytes -= held->request.length;
    volume->state.held -= 1;
    free(held->data);
    fifo_pop(&volume->held, sizeof *held);
  }
  update(volume);
}

static void take_read(nx_volume *volume, nx_nbd *nbd, const nx_nbd_request *request) {
  volume->state.reads += 1;
  volume->state.read_bytes += request->length;
  nx_volume_read read = {.cookie = request->cookie, .offset = request->offset, .length = request->length};
  read.head = nx_nbd_out(nbd)->length;
  read.data = nx_nbd_reply_data(nbd, request->cookie, request->offset, request->length);
  uint64_t before = volume->stretches.length;
  nx_overlay_plan(&volume->overlay, request->offset, request->length, read.data, &volume->stretches);
  read.stretches = (volume->stretches.length - before) / sizeof(nx_stretch);
  nx_buffer_append(&volume->reads, &read, sizeof read);
}

static void take_flush(nx_volume *volume, nx_nbd *nbd, const nx_nbd_request *request) {
  volume->state.flushes += 1;
  answer waiting = {.nbd = nbd, .cookie = request->cookie, .lsid = volume->state.written, .type = request->type};
  nx_nbd_hold(nbd);
  if (volume->has_failed || waiting.lsid <= volume->state.durable) {
    answer_one(volume, &waiting, volume->has_failed ? NX_NBD_EIO : 0);
    return;
  }
  /* Behind FUA writes that are not written yet it waits for those, too. */
  fifo_push(&volume->on_durable, &waiting, sizeof waiting);
  volume->state.durable_waiters += 1;
}

static void take_request(void *context, nx_nbd *nbd, const nx_nbd_request *request, const uint8_t *data) {
  nx_volume *volume = context;
  switch (request->type) {
    case NX_NBD_READ: take_read(volume, nbd, request); break;
    case NX_NBD_FLUSH: take_flush(volume, nbd, request); break;
    case NX_NBD_BLOCK_STATUS: nx_buffer_append(nx_nbd_queue(nbd), request, sizeof *request); break;
    default:
      if (volume->has_failed) nx_nbd_reply(nbd, request->type, request->cookie, NX_NBD_EIO);
      else take_change(volume, nbd, request, data);
  }
}

static uint8_t *lend(void *context, nx_nbd *nbd, uint32_t length) {
  nx_volume *volume = context;
  uint32_t blocks = length / BLOCK;
  bool is_worth_it = length >= LENT_BYTES_MIN && blocks <= volume->packs.record_blocks_max;
  bool is_waiting = volume->has_failed || fifo_first(&volume->held) != NULL;
  return is_worth_it && !is_waiting ? nx_packs_lend(&volume->packs, blocks, nbd) : NULL;
}

static void give_back(void *context, nx_nbd *nbd) {
  nx_volume *volume = context;
  nx_packs_end_loan(&volume->packs, nbd);
}

uint32_t nx_volume_feed(nx_volume *volume, nx_nbd *nbd, const uint8_t *bytes, uint64_t length) {
  volume->reads.length = volume->stretches.length = 0;
  nx_nbd_lender lender = {volume, lend, give_back};
  uint32_t ended = nx_nbd_feed_to(nbd, bytes, length, take_request, volume, &lender);
  update(volume);
  return ended;
}

void nx_volume_plan(nx_volume *volume, uint64_t offset, uint64_t length) {
  volume->stretches.length = 0;
  nx_overlay_plan(&volume->overlay, offset, length, 0, &volume->stretches);
}

int nx_volume_take(nx_volume *volume) {
  const nx_batch *batch = nx_packs_take(&volume->packs);
  if (batch == NULL) return -1;
  nx_volume_state *state = &volume->state;
  state->batch_first = batch->first;
  state->batch_end = batch->end;
  state->batch_address = (uint64_t)(uintptr_t)batch->bytes.data;
  state->batch_length = batch->bytes.length;
  update(volume);
  return (int)(batch - volume->packs.batches);
}

/* What a pack has written; `header` is sound. Returns the physical blocks of the pack. */
static uint64_t note_pack(nx_volume *volume, const uint8_t *header) {
  const nx_packs *packs = &volume->packs;
  uint64_t lsid = nx_load64(header + 8), unit = packs->physical_bytes / BLOCK;
  uint32_t records = (uint32_t)(header[16] | header[17] << 8), total = (uint32_t)(header[6] | header[7] << 8);
  for (uint32_t index = 0; index < records; index++) {
    nx_wlog_record record;
    nx_wlog_record_read(header, index, packs->physical_bytes, &record);
    if ((record.flags & NX_LOG_PADDING) != 0) continue;
    uint64_t position = (lsid + record.position) * unit;
    bool is_discard = (record.flags & NX_LOG_DISCARD) != 0;
    if (is_discard) {
      /* It has no place of its own: that of its header orders it. */
      position = lsid * unit | NX_OVERLAY_ZERO;
      volume->discarded -= record.blocks < volume->discarded ? record.blocks : volume->discarded;
    }
    nx_overlay_put(&volume->overlay, record.address, record.blocks, position);
  }
  return 1 + total;
}

void nx_volume_written(nx_volume *volume, uint32_t number) {
  NX_ASSERT(number < NX_BATCHES);
  nx_batch *batch = &volume->packs.batches[number];
  NX_ASSERT(batch->first == volume->state.written);
  for (uint64_t at = 0; at < batch->bytes.length;)
    at += note_pack(volume, batch->bytes.data + at) * volume->packs.physical_bytes;
  volume->state.written = batch->end;
  volume->state.log_units += batch->end - batch->first;
  nx_packs_give_back(&volume->packs, batch);
  answer_until(volume, &volume->on_written, volume->state.written, 0);
  go_on(volume);
}

void nx_volume_durable(nx_volume *volume, uint64_t lsid) {
  NX_ASSERT(lsid >= volume->state.durable && lsid <= volume->state.written);
  volume->state.durable = lsid;
  answer_until(volume, &volume->on_durable, lsid, 0);
}

void nx_volume_collect(nx_volume *volume, uint64_t lsid, uint64_t length_max) {
  NX_ASSERT(lsid <= volume->state.durable);
  volume->copies.length = 0;
  nx_overlay_collect(&volume->overlay, lsid * (volume->packs.physical_bytes / BLOCK), length_max, &volume->copies);
}

void nx_volume_applied(nx_volume *volume, uint64_t lsid) {
  NX_ASSERT(lsid >= volume->state.applied && lsid <= volume->state.durable);
  volume->state.applied = lsid;
  nx_overlay_drop(&volume->overlay, lsid * (volume->packs.physical_bytes / BLOCK));
  update(volume);
}

void nx_volume_set_limit(nx_volume *volume, uint64_t limit) {
  volume->packs.limit = limit;
  go_on(volume);
}

void nx_volume_found(nx_volume *volume, const uint8_t *header) {
  nx_volume_state *state = &volume->state;
  NX_ASSERT(nx_load64(header + 8) == volume->packs.next);
  volume->packs.next += note_pack(volume, header);
  state->written = state->durable = volume->packs.next;
  update(volume);
}

void nx_volume_reset(nx_volume *volume, uint32_t salt, uint64_t lsid) {
  NX_ASSERT(volume->overlay.count == 0 && volume->packs.open == NULL && volume->packs.closed == 0);
  NX_ASSERT(volume->state.written == volume->packs.next);
  set_log(volume, salt, lsid);
  update(volume);
}
