/* The batches of log-sort.h. */
#include "log-sort.h"

#include <stdlib.h>

#include "../stretches.h"
#include "checksum.h"

struct nx_log_sort {
  nx_codec *codec;
  uint32_t codec_id, level, blocks_max;
  nx_buffer pieces; /* nx_diff_record */
  uint64_t next, first; /* behind the batch, and its first piece */
  uint64_t bytes;
  nx_pack_writer pack;
  nx_buffer scratch;
};

static nx_diff_record *piece_at(const nx_log_sort *sort, uint64_t index) {
  return (nx_diff_record *)(void *)sort->pieces.data + index;
}

static void keep(void *context, const nx_diff_record *piece, uint32_t write) {
  (void)write;
  nx_log_sort *sort = context;
  nx_diff_record part = *piece;
  for (uint32_t done = 0; done < piece->blocks; done += part.blocks) {
    part.address = piece->address + done;
    part.image_start = piece->image_start + done;
    part.blocks = piece->blocks - done;
    if (sort->blocks_max != 0 && part.blocks > sort->blocks_max) part.blocks = sort->blocks_max;
    nx_buffer_append(&sort->pieces, &part, sizeof part);
  }
}

nx_log_sort *nx_log_sort_new(nx_log_reader *reader, uint32_t codec, uint32_t level, uint32_t blocks_max) {
  NX_ASSERT(codec < NX_CODEC_COUNT);
  nx_log_sort *sort = calloc(1, sizeof *sort);
  NX_ASSERT(sort != NULL);
  sort->codec = nx_codec_new();
  sort->codec_id = codec;
  sort->level = level;
  sort->blocks_max = blocks_max;
  nx_log_visible(reader, keep, sort);
  return sort;
}

void nx_log_sort_free(nx_log_sort *sort) {
  nx_codec_free(sort->codec);
  nx_buffer_free(&sort->pieces);
  nx_buffer_free(&sort->scratch);
  free(sort);
}

uint64_t nx_log_sort_records(const nx_log_sort *sort) { return sort->pieces.length / sizeof(nx_diff_record); }
uint64_t nx_log_sort_bytes(const nx_log_sort *sort) { return sort->bytes; }

uint64_t nx_log_sort_next(nx_log_sort *sort, nx_buffer *stretches, uint64_t bytes) {
  uint64_t count = nx_log_sort_records(sort);
  stretches->length = 0;
  sort->first = sort->next;
  sort->bytes = 0;
  for (; sort->next < count && sort->bytes < bytes; sort->next++) {
    const nx_diff_record *piece = piece_at(sort, sort->next);
    if (piece->kind != NX_KIND_NORMAL) continue;
    nx_stretch stretch = {.source = NX_SOURCE_LOG,
                          .from = piece->offset + piece->image_start * NX_BLOCK_BYTES,
                          .length = piece->blocks * NX_BLOCK_BYTES,
                          .to = sort->bytes};
    nx_buffer_append(stretches, &stretch, sizeof stretch);
    sort->bytes += stretch.length;
  }
  return sort->next - sort->first;
}

bool nx_log_sort_pack(nx_log_sort *sort, const uint8_t *content, uint64_t length, nx_buffer *out) {
  NX_ASSERT(length == sort->bytes);
  for (uint64_t index = sort->first; index < sort->next; index++) {
    const nx_diff_record *piece = piece_at(sort, index);
    nx_diff_record record = {.address = piece->address, .blocks = piece->blocks, .kind = piece->kind};
    const uint8_t *stored = content;
    if (piece->kind == NX_KIND_NORMAL) {
      uint64_t bytes = piece->blocks * NX_BLOCK_BYTES;
      if (piece->blocks == piece->image_blocks && nx_salted_checksum(content, bytes, 0) != piece->checksum) return false;
      sort->scratch.length = 0;
      uint64_t size = nx_codec_encode(sort->codec, sort->codec_id, sort->level, content, bytes, &sort->scratch);
      stored = size == 0 ? content : sort->scratch.data;
      record.size = (uint32_t)(size == 0 ? bytes : size);
      record.codec = size == 0 ? NX_CODEC_NONE : (uint8_t)sort->codec_id;
      record.checksum = nx_salted_checksum(stored, record.size, 0);
      content += bytes;
    }
    if (!nx_pack_has_room(&sort->pack, record.size)) nx_pack_close(&sort->pack, out);
    nx_pack_add(&sort->pack, out, &record, stored);
  }
  sort->first = sort->next;
  return true;
}

uint64_t nx_log_sort_ready(const nx_log_sort *sort, const nx_buffer *out) {
  return sort->pack.records == 0 ? out->length : sort->pack.start;
}

void nx_log_sort_swap(nx_log_sort *sort, nx_buffer *out, nx_buffer *other) {
  uint64_t ready = nx_log_sort_ready(sort, out);
  other->length = 0;
  nx_buffer_append(other, out->data + ready, out->length - ready);
  out->length = ready;
  sort->pack.start = 0;
}

void nx_log_sort_end(nx_log_sort *sort, nx_buffer *out) { nx_pack_close(&sort->pack, out); }
