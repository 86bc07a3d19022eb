/*
 * A volume between its clients and its files: requests become log records and stretches to be read; answers go out when
 * the log says so. No file is touched here.
 *
 *   chunk --feed--> log records --take--> [log file] --written--> answers, overlay
 *                   reads: stretches of the log file and the data file, to be filled into the connection's output
 *   log --durable--> answers of flushes and FUA --collect--> [log file to data file] --applied--> overlay forgets
 *
 * lsids, in this order: applied <= durable <= written <= next <= limit. What is written is acknowledged, what is
 * durable survives a loss of power, and only that is copied into the data file; so the data file never has a part of a
 * write that the log does not have whole.
 */
#ifndef NX_VOLUME_VOLUME_H
#define NX_VOLUME_VOLUME_H
#include <stdbool.h>
#include <stdint.h>

#include "../nbd/transmission.h"
#include "overlay.h"
#include "packs.h"

/* 64-bit words, read by src/native/volume.ts. */
typedef struct {
  uint64_t next, limit, written, durable, applied;
  uint64_t waiting_bytes;   /* of batches that can be taken */
  uint64_t held, held_bytes; /* requests that wait for room in the log */
  uint64_t durable_waiters;
  uint64_t units;           /* of the overlay */
  uint64_t reads, writes, trims, flushes, read_bytes, written_bytes;
  uint64_t batch_first, batch_end, batch_address, batch_length; /* of the last batch that was taken */
  uint64_t log_units, salt; /* written physical blocks of the log since the start */
} nx_volume_state;

/* A read that waits for its stretches, in the order of `stretches`. */
typedef struct {
  uint64_t cookie, offset, length;
  uint64_t head, data;      /* where its answer and its data begin in the connection's output */
  uint64_t stretches;       /* how many */
} nx_volume_read;

typedef struct nx_volume nx_volume;

NX_API nx_volume *nx_volume_new(uint32_t physical_bytes, uint32_t salt, uint64_t ring, uint64_t ring_start,
                                uint64_t lsid);
NX_API void nx_volume_free(nx_volume *volume);
NX_API nx_volume_state *nx_volume_state_of(nx_volume *volume);
NX_API nx_buffer *nx_volume_reads(nx_volume *volume);
NX_API nx_buffer *nx_volume_stretches(nx_volume *volume);
NX_API nx_buffer *nx_volume_copies(nx_volume *volume);
/* Ids of connections that have something to send, 32 bits each. */
NX_API nx_buffer *nx_volume_ready(nx_volume *volume);

/* Takes a chunk of a connection; what nx_nbd_feed returns. Reads are appended to reads and stretches, block status
 * requests to the connection's queue. */
NX_API uint32_t nx_volume_feed(nx_volume *volume, nx_nbd *nbd, const uint8_t *bytes, uint64_t length);
/* Appends the stretches of a read for someone else than a client. */
NX_API void nx_volume_plan(nx_volume *volume, uint64_t offset, uint64_t length);

/* The next batch of packs for the log: its number, or -1. The state has its lsids and its bytes. */
NX_API int nx_volume_take(nx_volume *volume);
/* The log has it; called in the order in which batches were taken. */
NX_API void nx_volume_written(nx_volume *volume, uint32_t batch);
NX_API void nx_volume_durable(nx_volume *volume, uint64_t lsid);
/* Says what has to be copied into the data file so that it has everything before `lsid`. */
NX_API void nx_volume_collect(nx_volume *volume, uint64_t lsid, uint64_t length_max);
NX_API void nx_volume_applied(nx_volume *volume, uint64_t lsid);
/* Lets the log be written up to `limit`; requests that waited go on. 0 holds everything. */
NX_API void nx_volume_set_limit(nx_volume *volume, uint64_t limit);

/* A pack that is in the log already, found at the start; only its header is read. */
NX_API void nx_volume_found(nx_volume *volume, const uint8_t *header);
/* An empty log with another salt. Nothing may be under way. */
NX_API void nx_volume_reset(nx_volume *volume, uint32_t salt, uint64_t lsid);
/* Answers everything that waits, and all that changes from now on, with an I/O error. */
NX_API void nx_volume_fail(nx_volume *volume);

#endif
