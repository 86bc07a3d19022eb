/* Cutting a byte stream into the requests of transmission.h, and writing answers. */
#include "transmission.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_MAGIC 0x25609513u
#define SIMPLE_MAGIC 0x67446698u
#define CHUNK_MAGIC 0x668e33efu
#define REQUEST_BYTES 28u
/* With so many bytes of answers no further request is looked at: reads are 28 bytes in and up to data_max out. */
#define OUT_MAX (UINT64_C(64) << 20)
#define OUT_KEEP (UINT64_C(4) << 20)

enum { CHUNK_NONE = 0, CHUNK_OFFSET_DATA = 1, CHUNK_BLOCK_STATUS = 5, CHUNK_ERROR = 0x8001 };

struct nx_nbd {
  uint64_t export_bytes;
  uint32_t id, data_max, write_unit, held;
  bool is_structured, has_status, is_read_only, is_closed;
  /* The request whose bytes are arriving. */
  uint8_t head[REQUEST_BYTES];
  uint32_t head_length;
  nx_nbd_request request;
  uint64_t data_missing;
  bool is_refused; /* its data is skipped */
  nx_buffer data;
  uint8_t *lent; /* instead of `data`, by the lender */
  nx_nbd_lender lender;
  nx_buffer backlog; /* bytes that were not looked at, because enough waits to be sent */
  nx_buffer out, queue, payload;
};

static uint32_t get32(const uint8_t *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return __builtin_bswap32(value);
}

static uint64_t get64(const uint8_t *from) {
  uint64_t value;
  memcpy(&value, from, 8);
  return __builtin_bswap64(value);
}

static void put16(uint8_t *to, uint16_t value) {
  value = __builtin_bswap16(value);
  memcpy(to, &value, 2);
}

static void put32(uint8_t *to, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(to, &value, 4);
}

static void put64(uint8_t *to, uint64_t value) {
  value = __builtin_bswap64(value);
  memcpy(to, &value, 8);
}

nx_nbd *nx_nbd_new(uint32_t id, uint64_t export_bytes, uint32_t data_max, uint32_t write_unit, bool is_structured,
                   bool has_status, bool is_read_only) {
  NX_ASSERT(write_unit != 0 && (write_unit & (write_unit - 1)) == 0);
  nx_nbd *nbd = calloc(1, sizeof *nbd);
  NX_ASSERT(nbd != NULL);
  nbd->id = id;
  nbd->export_bytes = export_bytes;
  nbd->data_max = data_max;
  nbd->write_unit = write_unit;
  nbd->is_structured = is_structured;
  nbd->has_status = has_status;
  nbd->is_read_only = is_read_only;
  return nbd;
}

static void free_if_done(nx_nbd *nbd) {
  if (!nbd->is_closed || nbd->held != 0) return;
  nx_buffer_free(&nbd->data);
  nx_buffer_free(&nbd->backlog);
  nx_buffer_free(&nbd->out);
  nx_buffer_free(&nbd->queue);
  nx_buffer_free(&nbd->payload);
  free(nbd);
}

static void give_back(nx_nbd *nbd) {
  if (nbd->lent == NULL) return;
  nbd->lent = NULL;
  nbd->lender.give_back(nbd->lender.context, nbd);
}

void nx_nbd_take_back(nx_nbd *nbd) {
  nx_buffer_append(&nbd->data, nbd->lent, nbd->request.length - nbd->data_missing);
  nbd->lent = NULL;
}

void nx_nbd_close(nx_nbd *nbd) {
  NX_ASSERT(!nbd->is_closed);
  give_back(nbd);
  nbd->is_closed = true;
  free_if_done(nbd);
}

void nx_nbd_resize(nx_nbd *nbd, uint64_t export_bytes) { nbd->export_bytes = export_bytes; }
nx_buffer *nx_nbd_out(nx_nbd *nbd) { return &nbd->out; }
nx_buffer *nx_nbd_backlog(nx_nbd *nbd) { return &nbd->backlog; }
nx_buffer *nx_nbd_queue(nx_nbd *nbd) { return &nbd->queue; }
nx_buffer *nx_nbd_payload(nx_nbd *nbd) { return &nbd->payload; }
uint32_t nx_nbd_id(const nx_nbd *nbd) { return nbd->id; }
uint32_t nx_nbd_held(const nx_nbd *nbd) { return nbd->held; }
bool nx_nbd_is_closed(const nx_nbd *nbd) { return nbd->is_closed; }
void nx_nbd_hold(nx_nbd *nbd) { nbd->held += 1; }

void nx_nbd_release(nx_nbd *nbd) {
  NX_ASSERT(nbd->held != 0);
  nbd->held -= 1;
  free_if_done(nbd);
}

/* The command flags that a request may have. FUA means something wherever data changes, and is harmless elsewhere. */
static uint16_t flags_of(const nx_nbd *nbd, uint16_t type) {
  switch (type) {
    case NX_NBD_READ: return NX_NBD_FLAG_FUA | (nbd->is_structured ? NX_NBD_FLAG_DF : 0);
    case NX_NBD_WRITE_ZEROES: return NX_NBD_FLAG_FUA | NX_NBD_FLAG_NO_HOLE | NX_NBD_FLAG_FAST_ZERO;
    case NX_NBD_BLOCK_STATUS: return NX_NBD_FLAG_FUA | NX_NBD_FLAG_REQ_ONE;
    default: return NX_NBD_FLAG_FUA;
  }
}

/* The error that a request deserves, or 0. */
static uint32_t check(const nx_nbd *nbd, const nx_nbd_request *request) {
  bool changes = request->type == NX_NBD_WRITE || request->type == NX_NBD_TRIM || request->type == NX_NBD_WRITE_ZEROES;
  if ((request->flags & ~flags_of(nbd, request->type)) != 0) return NX_NBD_EINVAL;
  if (request->type == NX_NBD_FLUSH) return 0;
  if (!changes && request->type != NX_NBD_READ && request->type != NX_NBD_BLOCK_STATUS) return NX_NBD_EINVAL;
  if (changes && nbd->is_read_only) return NX_NBD_EPERM;
  if (request->type == NX_NBD_BLOCK_STATUS && !nbd->has_status) return NX_NBD_EINVAL;
  if (request->length == 0) return NX_NBD_EINVAL;
  if (request->type == NX_NBD_READ && request->length > nbd->data_max)
    return nbd->is_structured ? NX_NBD_EOVERFLOW : NX_NBD_EINVAL;
  if (request->offset > nbd->export_bytes || request->length > nbd->export_bytes - request->offset)
    return changes && request->type != NX_NBD_TRIM ? NX_NBD_ENOSPC : NX_NBD_EINVAL;
  if (changes && ((request->offset | request->length) & (nbd->write_unit - 1)) != 0) return NX_NBD_EINVAL;
  if (request->type == NX_NBD_WRITE_ZEROES && (request->flags & NX_NBD_FLAG_FAST_ZERO) != 0) return NX_NBD_ENOTSUP;
  return 0;
}

/* Takes the head that is complete: NX_NBD_GOOD, or how the connection ends. */
static uint32_t take_head(nx_nbd *nbd, const uint8_t *head) {
  if (get32(head) != REQUEST_MAGIC) return NX_NBD_BROKEN;
  nx_nbd_request *request = &nbd->request;
  *request = (nx_nbd_request){.flags = (uint16_t)(head[4] << 8 | head[5]),
                              .type = (uint16_t)(head[6] << 8 | head[7]),
                              .offset = get64(head + 16),
                              .length = get32(head + 24)};
  memcpy(&request->cookie, head + 8, 8);
  if (request->type == NX_NBD_DISCONNECT) return NX_NBD_ENDED;
  if (request->type == NX_NBD_WRITE && request->length > nbd->data_max) return NX_NBD_BROKEN;
  uint32_t error = check(nbd, request);
  if (error != 0) nx_nbd_reply(nbd, request->type, request->cookie, error);
  nbd->is_refused = error != 0;
  nbd->data_missing = request->type == NX_NBD_WRITE ? request->length : 0;
  nbd->data.length = 0;
  return NX_NBD_GOOD;
}

/* Appends to what has come of a write's data. */
static void put_together(nx_nbd *nbd, const uint8_t *bytes, uint64_t length, const nx_nbd_lender *lender) {
  uint64_t before = nbd->request.length - nbd->data_missing;
  if (before == 0 && lender != NULL) {
    nbd->lender = *lender;
    nbd->lent = lender->lend(lender->context, nbd, nbd->request.length);
  }
  if (nbd->lent != NULL) {
    memcpy(nbd->lent + before, bytes, length);
    return;
  }
  if (before == 0) nx_buffer_reserve(&nbd->data, nbd->request.length);
  nx_buffer_append(&nbd->data, bytes, length);
}

static uint32_t parse(nx_nbd *nbd, const uint8_t *bytes, uint64_t length, nx_nbd_taker *take, void *context,
                      const nx_nbd_lender *lender) {
  for (uint64_t at = 0; at < length;) {
    if (nbd->data_missing == 0) {
      if (nbd->out.length > OUT_MAX) {
        nx_buffer_append(&nbd->backlog, bytes + at, length - at);
        return NX_NBD_GOOD;
      }
      const uint8_t *head = bytes + at;
      if (nbd->head_length != 0 || length - at < REQUEST_BYTES) {
        uint64_t missing = REQUEST_BYTES - nbd->head_length;
        uint64_t taken = length - at < missing ? length - at : missing;
        memcpy(nbd->head + nbd->head_length, bytes + at, taken);
        nbd->head_length += (uint32_t)taken;
        at += taken;
        if (nbd->head_length < REQUEST_BYTES) return NX_NBD_GOOD;
        nbd->head_length = 0;
        head = nbd->head;
      } else {
        at += REQUEST_BYTES;
      }
      uint32_t ended = take_head(nbd, head);
      if (ended != NX_NBD_GOOD) return ended;
      if (nbd->data_missing == 0) {
        if (!nbd->is_refused) take(context, nbd, &nbd->request, NULL);
        continue;
      }
    }
    uint64_t taken = length - at < nbd->data_missing ? length - at : nbd->data_missing;
    bool is_whole = taken == nbd->request.length; /* it need not be put together */
    if (!is_whole && !nbd->is_refused) put_together(nbd, bytes + at, taken, lender);
    nbd->data_missing -= taken;
    if (nbd->data_missing == 0 && !nbd->is_refused) {
      const uint8_t *together = nbd->lent != NULL ? nbd->lent : nbd->data.data;
      take(context, nbd, &nbd->request, is_whole ? bytes + at : together);
      give_back(nbd);
    }
    at += taken;
  }
  if (nbd->data_missing == 0) nx_buffer_trim(&nbd->data, 0);
  return NX_NBD_GOOD;
}

uint32_t nx_nbd_feed_to(nx_nbd *nbd, const uint8_t *bytes, uint64_t length, nx_nbd_taker *take, void *context,
                        const nx_nbd_lender *lender) {
  if (nbd->out.length == 0 && nbd->out.capacity > OUT_KEEP) nx_buffer_trim(&nbd->out, OUT_KEEP);
  if (nbd->backlog.length == 0) return parse(nbd, bytes, length, take, context, lender);
  nx_buffer_append(&nbd->backlog, bytes, length);
  nx_buffer waiting = nbd->backlog;
  nbd->backlog = (nx_buffer){.generation = waiting.generation + 1};
  uint32_t ended = parse(nbd, waiting.data, waiting.length, take, context, lender);
  nx_buffer_free(&waiting);
  return ended;
}

static void queue_request(void *context, nx_nbd *nbd, const nx_nbd_request *request, const uint8_t *data) {
  (void)context;
  nx_nbd_request queued = *request;
  queued.payload = nbd->payload.length;
  if (data != NULL) nx_buffer_append(&nbd->payload, data, request->length);
  nx_buffer_append(&nbd->queue, &queued, sizeof queued);
}

uint32_t nx_nbd_feed(nx_nbd *nbd, const uint8_t *bytes, uint64_t length) {
  return nx_nbd_feed_to(nbd, bytes, length, queue_request, NULL, NULL);
}

/* Room for `length` bytes at the end of `out`. */
static uint8_t *room(nx_nbd *nbd, uint64_t length) {
  nx_buffer_reserve(&nbd->out, length);
  uint8_t *at = nbd->out.data + nbd->out.length;
  nbd->out.length += length;
  return at;
}

static void put_chunk(uint8_t *at, uint16_t type, uint64_t cookie, uint32_t length) {
  put32(at, CHUNK_MAGIC);
  put16(at + 4, 1);
  put16(at + 6, type);
  memcpy(at + 8, &cookie, 8);
  put32(at + 16, length);
}

void nx_nbd_reply(nx_nbd *nbd, uint32_t type, uint64_t cookie, uint32_t error) {
  if (nbd->is_closed) return;
  if (nbd->is_structured && error != 0) {
    uint8_t *at = room(nbd, 26);
    put_chunk(at, CHUNK_ERROR, cookie, 6);
    put32(at + 20, error);
    put16(at + 24, 0);
    return;
  }
  NX_ASSERT(error != 0 || type != NX_NBD_READ);
  uint8_t *at = room(nbd, 16);
  put32(at, SIMPLE_MAGIC);
  put32(at + 4, error);
  memcpy(at + 8, &cookie, 8);
}

uint64_t nx_nbd_reply_data(nx_nbd *nbd, uint64_t cookie, uint64_t offset, uint32_t length) {
  if (nbd->is_structured) {
    uint8_t *at = room(nbd, 28 + (uint64_t)length);
    put_chunk(at, CHUNK_OFFSET_DATA, cookie, 8 + length);
    put64(at + 20, offset);
  } else {
    uint8_t *at = room(nbd, 16 + (uint64_t)length);
    put32(at, SIMPLE_MAGIC);
    put32(at + 4, 0);
    memcpy(at + 8, &cookie, 8);
  }
  return nbd->out.length - length;
}

void nx_nbd_reply_status(nx_nbd *nbd, uint64_t cookie, uint32_t context, const uint32_t *extents, uint32_t count) {
  uint8_t *at = room(nbd, 24 + 8 * (uint64_t)count);
  put_chunk(at, CHUNK_BLOCK_STATUS, cookie, 4 + 8 * count);
  put32(at + 20, context);
  for (uint32_t index = 0; index < 2 * count; index++) put32(at + 24 + 4 * index, extents[index]);
}
