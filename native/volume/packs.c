/* Records into packs, packs into batches, as packs.h says. */
#include "packs.h"

#include <stdlib.h>

#include "../blocks/checksum.h"
#include "../blocks/wlog.h"
#include "../bytes.h"

#define BLOCK 512u
#define BATCH_BYTES_MAX (UINT64_C(4) << 20)
#define PACK_BYTES_MAX (UINT64_C(1) << 20)
#define PACK_TYPE 3u
#define PAGE_BYTES 4096u
/* So many batches are never lent. */
#define BATCHES_KEPT 3u

void nx_packs_free(nx_packs *packs) {
  for (uint32_t index = 0; index < NX_BATCHES; index++) nx_buffer_free(&packs->batches[index].bytes);
}

/* One record of the header is kept for padding. */
static uint32_t records_max(const nx_packs *packs) {
  return (packs->physical_bytes - NX_WLOG_PACK_HEADER_BYTES) / NX_WLOG_RECORD_BYTES - 1;
}

/* Memory of a batch begins at a page, so that it can be written past the page cache. */
static void reserve(nx_buffer *bytes, uint64_t extra) {
  uint64_t needed = bytes->length + extra, doubled = bytes->capacity * 2;
  if (needed <= bytes->capacity) return;
  uint64_t capacity = ((needed > doubled ? needed : doubled) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
  uint8_t *data = aligned_alloc(PAGE_BYTES, capacity);
  NX_ASSERT(data != NULL);
  if (bytes->length != 0) memcpy(data, bytes->data, bytes->length);
  free(bytes->data);
  *bytes = (nx_buffer){data, bytes->length, capacity, bytes->generation + 1};
}

static uint8_t *zeros(nx_buffer *buffer, uint64_t length) {
  reserve(buffer, length);
  uint8_t *at = buffer->data + buffer->length;
  memset(at, 0, length);
  buffer->length += length;
  return at;
}

static uint32_t physical_of(const nx_packs *packs, uint32_t blocks) {
  return (uint32_t)(((uint64_t)blocks * BLOCK + packs->physical_bytes - 1) / packs->physical_bytes);
}

/* Appends a record to the open pack; its data follows the pack's last data. */
static void append(nx_packs *packs, uint64_t address, uint32_t blocks, uint32_t flags, const uint8_t *data) {
  nx_buffer *bytes = &packs->open->bytes;
  uint32_t checksum = 0, physical = 0;
  if ((flags & NX_LOG_DISCARD) == 0) {
    uint64_t length = (uint64_t)blocks * BLOCK;
    physical = physical_of(packs, blocks);
    uint64_t padded = (uint64_t)physical * packs->physical_bytes;
    if (data != NULL) {
      reserve(bytes, padded);
      uint8_t *to = bytes->data + bytes->length;
      if (data != to) memcpy(to, data, length);
      bytes->length += length;
      zeros(bytes, padded - length);
    } else {
      zeros(bytes, padded);
    }
    if ((flags & NX_LOG_PADDING) == 0)
      checksum = nx_salted_checksum(bytes->data + bytes->length - padded, length, packs->salt);
  }
  uint8_t *record = bytes->data + packs->pack_start + NX_WLOG_PACK_HEADER_BYTES + NX_WLOG_RECORD_BYTES * packs->records;
  uint32_t position = 1 + packs->total;
  nx_store32(record, checksum);
  nx_store32(record + 4, NX_LOG_EXISTS | flags);
  nx_store64(record + 8, address);
  nx_store32(record + 16, blocks);
  record[20] = (uint8_t)position;
  record[21] = (uint8_t)(position >> 8);
  nx_store64(record + 24, packs->pack_lsid + position);
  packs->records += 1;
  packs->total += physical;
  packs->next = packs->pack_lsid + 1 + packs->total;
}

static void close_pack(nx_packs *packs) {
  if (packs->records == 0) return;
  /* A single block before the ring's end could not be padded by a pack of its own. */
  bool has_padding = packs->ring - packs->next % packs->ring == 1;
  if (has_padding) append(packs, 0, packs->physical_bytes / BLOCK, NX_LOG_PADDING, NULL);
  uint8_t *header = packs->open->bytes.data + packs->pack_start;
  bool is_padding = (nx_load32(header + NX_WLOG_PACK_HEADER_BYTES + 4) & NX_LOG_PADDING) != 0;
  header[4] = PACK_TYPE;
  header[6] = (uint8_t)packs->total;
  header[7] = (uint8_t)(packs->total >> 8);
  nx_store64(header + 8, packs->pack_lsid);
  header[16] = (uint8_t)packs->records;
  header[18] = has_padding || is_padding;
  nx_store32(header, nx_salted_checksum(header, packs->physical_bytes, packs->salt));
  packs->open->end = packs->next;
  packs->records = 0;
}

static void close_batch(nx_packs *packs) {
  if (packs->open == NULL) return;
  close_pack(packs);
  packs->open->state = NX_BATCH_CLOSED;
  packs->order[packs->closed++] = (uint32_t)(packs->open - packs->batches);
  packs->open = NULL;
}

static void begin_batch(nx_packs *packs, nx_batch *batch) {
  batch->state = NX_BATCH_OPEN;
  batch->bytes.length = 0;
  batch->first = batch->end = packs->next;
  packs->open = batch;
}

static bool open_batch(nx_packs *packs) {
  if (packs->open != NULL && packs->open->bytes.length >= BATCH_BYTES_MAX) close_batch(packs);
  for (uint32_t index = 0; index < NX_BATCHES && packs->open == NULL; index++) {
    nx_batch *batch = &packs->batches[index];
    if (batch->state == NX_BATCH_FREE) begin_batch(packs, batch);
  }
  return packs->open != NULL;
}

static void open_pack(nx_packs *packs) {
  packs->pack_start = packs->open->bytes.length;
  packs->pack_lsid = packs->next;
  packs->records = packs->total = 0;
  zeros(&packs->open->bytes, packs->physical_bytes);
}

/* Opens a pack, or goes on with the open one, so that a record of `physical` blocks can be put. */
static bool ready_for(nx_packs *packs, uint32_t physical) {
  uint64_t before_end = packs->ring - packs->next % packs->ring;
  if (packs->records != 0) {
    bool fits = packs->records < records_max(packs) && physical <= before_end &&
                (uint64_t)(packs->total + physical) * packs->physical_bytes <= PACK_BYTES_MAX;
    /* One block more, for the padding that closing may need. */
    if (fits) return packs->next + physical + 1 <= packs->limit;
    close_pack(packs);
    before_end = packs->ring - packs->next % packs->ring;
  }
  bool is_padded = before_end < 1 + (uint64_t)physical;
  if (packs->next + (is_padded ? before_end : 0) + 1 + physical + 1 > packs->limit) return false;
  if (!open_batch(packs)) return false;
  if (is_padded) {
    open_pack(packs);
    uint64_t blocks = (before_end - 1) * (packs->physical_bytes / BLOCK);
    append(packs, 0, (uint32_t)blocks, NX_LOG_PADDING, NULL);
    close_pack(packs);
  }
  open_pack(packs);
  return true;
}

bool nx_packs_put(nx_packs *packs, uint64_t address, uint32_t blocks, bool is_discard, const uint8_t *data) {
  NX_ASSERT(blocks != 0 && (is_discard || blocks <= packs->record_blocks_max));
  if (!ready_for(packs, is_discard ? 0 : physical_of(packs, blocks))) return false;
  append(packs, address, blocks, is_discard ? NX_LOG_DISCARD : 0, data);
  return true;
}

uint8_t *nx_packs_lend(nx_packs *packs, uint32_t blocks, void *borrower) {
  NX_ASSERT(blocks != 0 && blocks <= packs->record_blocks_max);
  nx_batch *spare = NULL;
  uint32_t count = 0;
  for (uint32_t index = 0; index < NX_BATCHES; index++) {
    if (packs->batches[index].state != NX_BATCH_FREE) continue;
    spare = &packs->batches[index];
    count += 1;
  }
  if (count <= BATCHES_KEPT) return NULL;
  spare->state = NX_BATCH_LENT;
  spare->lent_to = borrower;
  spare->bytes.length = 0;
  reserve(&spare->bytes, (1 + (uint64_t)physical_of(packs, blocks)) * packs->physical_bytes);
  return spare->bytes.data + packs->physical_bytes;
}

static nx_batch *loan_of(nx_packs *packs, const void *borrower) {
  for (uint32_t index = 0; index < NX_BATCHES; index++) {
    nx_batch *batch = &packs->batches[index];
    if (batch->state == NX_BATCH_LENT && batch->lent_to == borrower) return batch;
  }
  return NULL;
}

bool nx_packs_put_lent(nx_packs *packs, uint64_t address, uint32_t blocks, const void *borrower) {
  nx_batch *batch = loan_of(packs, borrower);
  if (batch == NULL) return false;
  close_batch(packs);
  uint64_t physical = physical_of(packs, blocks), before_end = packs->ring - packs->next % packs->ring;
  /* A padding pack would have to come before it. */
  if (before_end < 1 + physical || packs->next + 1 + physical + 1 > packs->limit) return false;
  begin_batch(packs, batch);
  open_pack(packs);
  append(packs, address, blocks, 0, batch->bytes.data + packs->physical_bytes);
  return true;
}

void nx_packs_end_loan(nx_packs *packs, const void *borrower) {
  nx_batch *batch = loan_of(packs, borrower);
  if (batch != NULL) batch->state = NX_BATCH_FREE;
}

void *nx_packs_borrower(const nx_packs *packs) {
  for (uint32_t index = 0; index < NX_BATCHES; index++)
    if (packs->batches[index].state == NX_BATCH_LENT) return packs->batches[index].lent_to;
  return NULL;
}

nx_batch *nx_packs_take(nx_packs *packs) {
  if (packs->closed == 0) close_batch(packs);
  if (packs->closed == 0) return NULL;
  nx_batch *batch = &packs->batches[packs->order[0]];
  packs->closed -= 1;
  for (uint32_t index = 0; index < packs->closed; index++) packs->order[index] = packs->order[index + 1];
  batch->state = NX_BATCH_TAKEN;
  return batch;
}

void nx_packs_give_back(nx_packs *packs, nx_batch *batch) {
  NX_ASSERT(batch >= packs->batches && batch < packs->batches + NX_BATCHES && batch->state == NX_BATCH_TAKEN);
  batch->state = NX_BATCH_FREE;
  batch->bytes.length = 0;
  if (batch->bytes.capacity > 2 * BATCH_BYTES_MAX) nx_buffer_free(&batch->bytes);
}

uint64_t nx_packs_waiting(const nx_packs *packs) {
  uint64_t bytes = packs->open == NULL ? 0 : packs->open->bytes.length;
  for (uint32_t index = 0; index < packs->closed; index++) bytes += packs->batches[packs->order[index]].bytes.length;
  return bytes;
}
