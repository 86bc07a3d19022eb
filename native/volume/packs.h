/*
 * Log packs (native/blocks/wlog.h) put together from writes as they come, straight into the memory that is written to
 * the log device: a batch, which is any number of whole packs with consecutive lsids.
 *
 * Invariant: no record lies across the ring's end; the rest of the ring is covered by a padding record. Nothing is put
 * at or behind `limit`: what lies there in the ring is still needed. The header of a pack is written when it is closed,
 * so a batch is only handed out whole.
 */
#ifndef NX_VOLUME_PACKS_H
#define NX_VOLUME_PACKS_H
#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"
#include "../nx.h"

#define NX_BATCHES 12u

enum { NX_BATCH_FREE, NX_BATCH_OPEN, NX_BATCH_CLOSED, NX_BATCH_TAKEN, NX_BATCH_LENT };

typedef struct {
  nx_buffer bytes;
  uint64_t first, end; /* lsids */
  uint32_t state;
  void *lent_to;
} nx_batch;

typedef struct {
  uint32_t physical_bytes, salt;
  uint64_t ring;  /* physical blocks */
  uint64_t next;  /* the lsid behind everything that was put, the open pack included */
  uint64_t limit; /* lsids from here on must not be written yet */
  uint32_t record_blocks_max; /* longest record with data, in blocks of 512 */
  nx_batch batches[NX_BATCHES];
  uint32_t order[NX_BATCHES], closed; /* batches that wait to be taken, oldest first */
  nx_batch *open;
  /* The open pack; none when it has no records. */
  uint64_t pack_start, pack_lsid;
  uint32_t records, total;
} nx_packs;

void nx_packs_free(nx_packs *packs);
/* Puts a record; false when there is no room now. `data` null: zeros. A discard has no data and may be longer than
 * record_blocks_max. */
bool nx_packs_put(nx_packs *packs, uint64_t address, uint32_t blocks, bool is_discard, const uint8_t *data);
/* Where the data of a long record may be put together by somebody before it is put: a batch of its own, so that nothing
 * waits for it. Null: there is none to spare. */
uint8_t *nx_packs_lend(nx_packs *packs, uint32_t blocks, void *borrower);
/* Puts the record whose data the borrower has put together, where it is; false when that cannot be: nx_packs_put may. */
bool nx_packs_put_lent(nx_packs *packs, uint64_t address, uint32_t blocks, const void *borrower);
/* What was lent and not put is free again. */
void nx_packs_end_loan(nx_packs *packs, const void *borrower);
/* Somebody who has a loan, or null. */
void *nx_packs_borrower(const nx_packs *packs);
/* The oldest batch that has bytes, closed, or null when nothing was put. It is the taker's until nx_packs_give_back. */
nx_batch *nx_packs_take(nx_packs *packs);
void nx_packs_give_back(nx_packs *packs, nx_batch *batch);
/* Bytes that wait to be taken. */
uint64_t nx_packs_waiting(const nx_packs *packs);

#endif
