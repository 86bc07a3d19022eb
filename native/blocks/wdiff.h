/*
 * Diff files (`.wdiff`): their records, packs and index as structs. No file is touched here.
 *
 * File header, 32 bytes:
 *   offset  bytes  field
 *        0      4  checksum of these 32 bytes, salt 0
 *        4      2  version = 2
 *        6      1  type: 0 sorted, 1 indexed
 *       16     16  uuid of the log history (the rest is zero)
 *
 * Sorted: packs, each a header of 4096 bytes and the stored data of its records, then an end pack.
 *        0      4  checksum of the 4096 bytes, salt 0
 *        4      2  records, at most 127
 *        6      1  bit 0: end pack
 *        8      4  bytes of data
 *       16   32 each  records: address u64, blocks u32, flags u8, codec u8, 0 u16, offset in the data u32,
 *                     stored bytes u32, checksum of the stored bytes u32, 0 u32
 * Records of a file are in strictly rising order of addresses and do not overlap.
 *
 * Indexed: stored images one after another, zeros to a multiple of 8, index records, a trailer of 24 bytes.
 *   index record, 48 bytes: address u64, blocks u32, flags u8, codec u8, 0 u16, file offset of the image u64,
 *     stored bytes u32, first block inside the image u32, blocks of the image u32, 0 u32,
 *     checksum of the stored image u32, checksum of this record u32
 *   trailer: offset of the first index record u64, index records u32, writes u32, 0 u32, checksum of the trailer u32
 *
 * Addresses and blocks count 512 bytes. Flags: 0x02 all zero, 0x04 discard; bit 0x01 is read and ignored.
 */
#ifndef NX_BLOCKS_WDIFF_H
#define NX_BLOCKS_WDIFF_H
#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"
#include "../nx.h"
#include "codec.h"

#define NX_BLOCK_BYTES UINT64_C(512)
#define NX_WDIFF_HEADER_BYTES 32u
#define NX_WDIFF_PACK_BYTES 4096u
#define NX_WDIFF_PACK_RECORDS_MAX 127u
#define NX_WDIFF_PACK_DATA_MAX (UINT64_C(32) << 20)
#define NX_WDIFF_INDEX_BYTES 48u
#define NX_WDIFF_TRAILER_BYTES 24u
#define NX_WDIFF_INDEX_BLOCKS_MAX 2048u

enum { NX_WDIFF_SORTED, NX_WDIFF_INDEXED };
enum { NX_KIND_NORMAL = 0, NX_KIND_ZERO = 2, NX_KIND_DISCARD = 4 };

typedef struct {
  uint64_t address;     /* blocks */
  uint64_t offset;      /* of the stored image in the file */
  uint32_t blocks;
  uint32_t size;        /* stored bytes */
  uint32_t checksum;    /* of the stored bytes */
  uint32_t image_start; /* blocks of the image before this record's first */
  uint32_t image_blocks;
  uint8_t kind, codec;
} nx_diff_record;

NX_API void nx_wdiff_header_write(uint8_t *out, uint32_t type, const uint8_t *uuid);
/* The type, or -EBADMSG. */
NX_API int nx_wdiff_header_read(const uint8_t *bytes);

/* What a pack header says of itself. */
typedef struct {
  uint32_t records;
  bool is_end;
  uint32_t data_bytes;
} nx_wdiff_pack;

/* 0, or -EBADMSG when the checksum is wrong, a record lies outside the data, or the order is broken. `floor`: the
 * records must not begin below. */
int nx_wdiff_pack_read(const uint8_t *header, uint64_t floor, nx_wdiff_pack *pack);
/* Record `index` of a header that was read; its data area begins at `data_offset` of the file. */
void nx_wdiff_pack_record(const uint8_t *header, uint32_t index, uint64_t data_offset, nx_diff_record *record);

/* Verifies a whole pack, header and data, as it comes over the wire: where its last record ends, or -EBADMSG. Nothing
 * may begin below `floor` or end behind `end_blocks`. */
NX_API int64_t nx_wdiff_pack_verify(const uint8_t *bytes, uint64_t length, uint64_t floor, uint64_t end_blocks);

void nx_wdiff_index_write(uint8_t *out, const nx_diff_record *record);
/* 0, or -EBADMSG. */
int nx_wdiff_index_read(const uint8_t *bytes, nx_diff_record *record);

NX_API void nx_wdiff_trailer_write(uint8_t *out, uint64_t index_offset, uint32_t records, uint32_t writes);
/* 0, or -EBADMSG. */
NX_API int nx_wdiff_trailer_read(const uint8_t *bytes, uint64_t *index_offset, uint64_t *records);

/* Builds sorted packs at the end of a buffer. */
typedef struct {
  uint64_t start;   /* of the pack in the buffer */
  uint32_t records; /* 0: no pack is open */
  uint64_t data_bytes;
} nx_pack_writer;

/* False when a record with `size` stored bytes must go into the next pack. */
bool nx_pack_has_room(const nx_pack_writer *writer, uint64_t size);
/* Appends a record with `record->size` stored bytes; opens a pack when none is open. */
void nx_pack_add(nx_pack_writer *writer, nx_buffer *out, const nx_diff_record *record, const uint8_t *stored);
/* Completes the header of the open pack, if any. */
void nx_pack_close(nx_pack_writer *writer, nx_buffer *out);
/* Appends the end pack. */
void nx_pack_end(nx_buffer *out);

#endif
