/*
 * Turns the bytes of a log, in pieces of any size, into writes: what a diff is made of, and what a replay writes.
 *
 * Stored images are appended to `out`, whose first byte has the place `out_offset` in the file that they go to; the
 * owner takes them whenever it likes. The writes themselves stay here, 40 bytes each, until `nx_log_index` or
 * `nx_log_runs` has said what is visible of them.
 *
 * A data checksum that does not match ends the log: nothing of that record or behind it is taken.
 */
#ifndef NX_BLOCKS_LOG_READER_H
#define NX_BLOCKS_LOG_READER_H
#include <stdint.h>

#include "../buffer.h"
#include "codec.h"
#include "pieces.h"
#include "wdiff.h"
#include "wlog.h"

enum { NX_LOG_FILE_HEADER, NX_LOG_PACK_HEADER, NX_LOG_DATA, NX_LOG_ENDED, NX_LOG_FAILED };

/* Why a log failed. */
enum {
  NX_LOG_GOOD,
  NX_LOG_BAD_FILE_HEADER,
  NX_LOG_BAD_PACK_HEADER,
  NX_LOG_BAD_DATA,
  NX_LOG_OTHER_HISTORY,   /* a further file has another uuid or salt */
  NX_LOG_NOT_CONSECUTIVE, /* a further file does not begin where the last one ended */
};

/* 64-bit words, read by src/native/log-reader.ts. */
typedef struct {
  uint64_t phase, failure;
  uint64_t lsid;                      /* the next pack's; where the log ends so far */
  uint64_t first_lsid, salt, physical_bytes;
  uint64_t failed_lsid, failed_record; /* of the pack that is damaged */
  uint64_t packs, writes;             /* writes: zero and discard count, padding does not */
  uint64_t normal_blocks, zero_blocks, discard_blocks, padding_physical;
  uint64_t end_blocks;                /* behind the last block that is written to */
  uint64_t out_offset;
  uint64_t normal_writes, discard_writes; /* the others are zero */
  uint8_t uuid[16];
  uint64_t visible, visible_blocks;   /* writes and blocks that nx_log_stretches has told of */
} nx_log_state;

typedef struct nx_log_reader nx_log_reader;

NX_API nx_log_reader *nx_log_reader_new(uint32_t codec, uint32_t level, uint64_t out_offset);
NX_API void nx_log_reader_free(nx_log_reader *reader);
/* For a log without file header: packs only. */
NX_API void nx_log_reader_begin_packs(nx_log_reader *reader, uint32_t salt, uint32_t physical_bytes);
/* Images stay where they are in the log: nothing goes to `out`, a write says where its data begins in the stream. The log
 * must be one that can be read again, and must not come as snappy blocks. */
NX_API void nx_log_reader_in_place(nx_log_reader *reader);
/* Data is taken as it is, whatever its checksum says; headers are compared all the same. */
NX_API void nx_log_reader_trust(nx_log_reader *reader);
NX_API nx_log_state *nx_log_reader_state(nx_log_reader *reader);
NX_API nx_buffer *nx_log_reader_out(nx_log_reader *reader);

/* Takes all bytes; returns the phase. With `snappy_length` not 0 the bytes are one snappy block of that content. */
NX_API uint32_t nx_log_feed(nx_log_reader *reader, const uint8_t *bytes, uint64_t length, uint64_t snappy_length);

/* Takes a part of an image as if it had been written in pieces of `io_blocks`; `length` is a multiple of 512. */
NX_API void nx_log_add_image(nx_log_reader *reader, uint64_t address, const uint8_t *bytes, uint64_t length,
                             uint32_t io_blocks);

/* Appends what ends an indexed diff: padding to 8, index, trailer. `blocks_max` is a power of two; 0 leaves the
 * pieces whole, which only a merge reads. The writes are forgotten. Returns the number of index records. */
NX_API uint64_t nx_log_index(nx_log_reader *reader, uint32_t blocks_max);

/* One stretch of an image, for whoever writes it. */
typedef struct {
  uint64_t address, blocks, kind;
  uint64_t data; /* where its bytes begin in the data buffer; only for normal ones */
} nx_run;

/* Appends a piece to runs and data; it joins the last run where it continues it. `content` is null unless normal. */
void nx_run_add(nx_buffer *runs, nx_buffer *data, uint64_t address, uint64_t blocks, uint32_t kind,
                const uint8_t *content);

/* What is visible of the writes so far, in the order of addresses: `runs` gets nx_run structs, `data` the bytes. The
 * codec must be none and nothing may have been taken from `out`. Writes and `out` are forgotten. Returns how many
 * writes are visible at least in part. */
NX_API uint64_t nx_log_runs(nx_log_reader *reader, nx_buffer *runs, nx_buffer *data);

/* The same of a log that is read in place, as stretches to copy from the log into an image. `discards_too`: they become
 * zeros, else they are left out. The writes are forgotten. */
NX_API void nx_log_stretches(nx_log_reader *reader, uint32_t discards_too, nx_buffer *stretches);

/* Hands out what is visible, in the order of addresses; the writes are forgotten. */
void nx_log_visible(nx_log_reader *reader, nx_piece_taker *take, void *context);

#endif
