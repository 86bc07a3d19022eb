/*
 * The sweep of merge.h. At each place the input with the highest number that covers it wins, until it ends or a higher
 * one begins. Nothing changes before all bytes of a step are there, so a step that asks for bytes is simply repeated.
 */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>

#include "../bytes.h"
#include "checksum.h"
#include "log-reader.h"
#include "window.h"

#define IMAGES_MAX 256u
#define IMAGES_BYTES_MAX (UINT64_C(8) << 20)
#define RANDOM_READ_BYTES (UINT64_C(64) << 10)
#define NOT_LEFT UINT64_MAX

typedef struct {
  nx_window list; /* pack headers and data of a sorted diff, the index of an indexed one */
  nx_window images;
  bool is_indexed, is_done;
  uint64_t file_bytes;
  uint64_t next;      /* offset of the next pack header or index record */
  uint64_t left;      /* index records, or NOT_LEFT */
  uint64_t floor;     /* the next record begins here or later */
  uint32_t index, count; /* of the records in `header` */
  uint64_t data_offset;
  uint8_t header[NX_WDIFF_PACK_BYTES];
  bool has_record;
  nx_diff_record record;
} input;

typedef struct {
  uint64_t offset, used;
  uint32_t input;
  nx_buffer content;
} image;

struct nx_merge {
  nx_merge_state state;
  nx_codec *codec;
  uint32_t form, codec_id, level, blocks_max, inputs;
  uint64_t ready_bytes, place, clock, image_bytes;
  bool is_ready, is_ended;
  nx_buffer out, runs, scratch;
  nx_pack_writer pack;
  nx_window *filling;
  image images[IMAGES_MAX];
  input in[];
};

nx_merge *nx_merge_new(uint32_t form, uint32_t inputs, uint32_t codec, uint32_t level, uint32_t blocks_max,
                       uint64_t ready_bytes, uint64_t window_bytes) {
  NX_ASSERT(codec < NX_CODEC_COUNT && inputs <= UINT16_MAX && window_bytes >= NX_WDIFF_PACK_BYTES);
  nx_merge *merge = calloc(1, sizeof *merge + inputs * sizeof(input));
  NX_ASSERT(merge != NULL);
  merge->codec = nx_codec_new();
  merge->form = form;
  merge->codec_id = codec;
  merge->level = level;
  merge->blocks_max = blocks_max;
  merge->inputs = inputs;
  merge->ready_bytes = ready_bytes;
  for (uint32_t i = 0; i < inputs; i++) {
    merge->in[i].is_done = true; /* until it is told what it is */
    merge->in[i].list.wanted = window_bytes;
    merge->in[i].images.wanted = window_bytes < RANDOM_READ_BYTES ? window_bytes : RANDOM_READ_BYTES;
  }
  return merge;
}

void nx_merge_free(nx_merge *merge) {
  for (uint32_t i = 0; i < merge->inputs; i++) {
    nx_buffer_free(&merge->in[i].list.bytes);
    nx_buffer_free(&merge->in[i].images.bytes);
  }
  for (uint32_t i = 0; i < IMAGES_MAX; i++) nx_buffer_free(&merge->images[i].content);
  nx_codec_free(merge->codec);
  nx_buffer_free(&merge->out);
  nx_buffer_free(&merge->runs);
  nx_buffer_free(&merge->scratch);
  free(merge);
}

void nx_merge_sorted(nx_merge *merge, uint32_t index, uint64_t file_bytes) {
  NX_ASSERT(index < merge->inputs);
  input *in = &merge->in[index];
  in->is_done = false;
  in->file_bytes = file_bytes;
  in->next = NX_WDIFF_HEADER_BYTES;
  in->left = NOT_LEFT;
}

void nx_merge_indexed(nx_merge *merge, uint32_t index, uint64_t file_bytes, uint64_t index_offset,
                      uint64_t records) {
  NX_ASSERT(index < merge->inputs);
  input *in = &merge->in[index];
  in->is_indexed = true;
  in->is_done = false;
  in->file_bytes = file_bytes;
  in->next = index_offset;
  in->left = records;
}

nx_merge_state *nx_merge_state_of(nx_merge *merge) { return &merge->state; }
nx_buffer *nx_merge_out(nx_merge *merge) { return &merge->out; }
nx_buffer *nx_merge_runs(nx_merge *merge) { return &merge->runs; }

void nx_merge_filled(nx_merge *merge, uint64_t bytes) {
  NX_ASSERT(merge->filling != NULL && bytes <= merge->state.length);
  merge->filling->bytes.length += bytes;
  merge->filling = NULL;
}

enum { DONE, WAIT, BROKEN };

static int broken(nx_merge *merge, uint32_t index, uint64_t offset) {
  merge->state.input = index;
  merge->state.offset = offset;
  return BROKEN;
}

/* Bytes of an input; DONE sets `found`. */
static int find(nx_merge *merge, uint32_t index, nx_window *window, uint64_t offset, uint64_t length,
                const uint8_t **found) {
  const input *in = &merge->in[index];
  if (offset > in->file_bytes || length > in->file_bytes - offset) return broken(merge, index, offset);
  uint8_t *target = NULL;
  nx_merge_state *state = &merge->state;
  uint64_t read_offset = 0, read_length = 0;
  *found = nx_window_find(window, offset, length, &read_offset, &read_length, &target);
  if (*found != NULL) return DONE;
  state->input = index;
  state->offset = read_offset;
  state->length = read_length < in->file_bytes - read_offset ? read_length : in->file_bytes - read_offset;
  state->minimum = offset + length - read_offset;
  state->address = (uint64_t)(uintptr_t)target;
  merge->filling = window;
  return WAIT;
}

static int load_packed(nx_merge *merge, uint32_t index) {
  input *in = &merge->in[index];
  while (in->index == in->count) {
    const uint8_t *header;
    int found = find(merge, index, &in->list, in->next, NX_WDIFF_PACK_BYTES, &header);
    if (found != DONE) return found;
    nx_wdiff_pack pack;
    if (nx_wdiff_pack_read(header, in->floor, &pack) != 0) return broken(merge, index, in->next);
    if (pack.is_end) {
      in->is_done = true;
      return DONE;
    }
    memcpy(in->header, header, sizeof in->header);
    in->data_offset = in->next + NX_WDIFF_PACK_BYTES;
    in->next = in->data_offset + pack.data_bytes;
    in->index = 0;
    in->count = pack.records;
  }
  nx_wdiff_pack_record(in->header, in->index, in->data_offset, &in->record);
  in->index += 1;
  in->has_record = true;
  return DONE;
}

static int load_indexed(nx_merge *merge, uint32_t index) {
  input *in = &merge->in[index];
  if (in->left == 0) {
    in->is_done = true;
    return DONE;
  }
  const uint8_t *bytes;
  int found = find(merge, index, &in->list, in->next, NX_WDIFF_INDEX_BYTES, &bytes);
  if (found != DONE) return found;
  if (nx_wdiff_index_read(bytes, &in->record) != 0 || in->record.address < in->floor)
    return broken(merge, index, in->next);
  in->next += NX_WDIFF_INDEX_BYTES;
  in->left -= 1;
  in->has_record = true;
  return DONE;
}

static void count_in(nx_merge_state *state, const nx_diff_record *record) {
  bool is_normal = record->kind == NX_KIND_NORMAL, is_zero = record->kind == NX_KIND_ZERO;
  state->in_normal += is_normal;
  state->in_zero += is_zero;
  state->in_discard += !is_normal && !is_zero;
  *(is_normal ? &state->in_normal_blocks : is_zero ? &state->in_zero_blocks : &state->in_discard_blocks) +=
      record->blocks;
  state->in_bytes += record->size;
}

/* Gives the input a record that is not behind us, or ends it. */
static int load(nx_merge *merge, uint32_t index) {
  input *in = &merge->in[index];
  while (!in->is_done) {
    if (in->has_record) {
      uint64_t end = in->record.address + in->record.blocks;
      if (end > merge->place) return DONE;
      in->floor = end;
      in->has_record = false;
    }
    int loaded = in->is_indexed ? load_indexed(merge, index) : load_packed(merge, index);
    if (loaded != DONE) return loaded;
    if (in->has_record) count_in(&merge->state, &in->record);
  }
  return DONE;
}

/* The stored bytes of the input's record, their checksum verified. */
static int stored_bytes(nx_merge *merge, uint32_t index, const uint8_t **stored) {
  input *in = &merge->in[index];
  nx_window *window = in->is_indexed ? &in->images : &in->list;
  int found = find(merge, index, window, in->record.offset, in->record.size, stored);
  if (found != DONE) return found;
  if (nx_salted_checksum(*stored, in->record.size, 0) != in->record.checksum)
    return broken(merge, index, in->record.offset);
  return DONE;
}

static image *known_image(nx_merge *merge, uint32_t index, uint64_t offset) {
  for (uint32_t i = 0; i < IMAGES_MAX; i++) {
    image *each = &merge->images[i];
    if (each->content.length == 0 || each->input != index || each->offset != offset) continue;
    each->used = ++merge->clock;
    return each;
  }
  return NULL;
}

static void give_up_image(nx_merge *merge, image *each) {
  merge->image_bytes -= each->content.capacity;
  nx_buffer_free(&each->content);
  each->used = 0;
}

/* An empty place; those that were not used for longest are given up while all together are too large. */
static image *spare_image(nx_merge *merge, uint64_t bytes) {
  for (;;) {
    image *empty = NULL, *oldest = NULL;
    for (uint32_t i = 0; i < IMAGES_MAX; i++) {
      image *each = &merge->images[i];
      if (each->used == 0) empty = each;
      else if (oldest == NULL || each->used < oldest->used) oldest = each;
    }
    if (oldest == NULL || (empty != NULL && merge->image_bytes + bytes <= IMAGES_BYTES_MAX)) return empty;
    give_up_image(merge, oldest);
  }
}

/* The decoded content of the input's record from its first block on. */
static int content_of(nx_merge *merge, uint32_t index, const uint8_t **content) {
  const nx_diff_record *record = &merge->in[index].record;
  const uint64_t start = record->image_start * NX_BLOCK_BYTES;
  if (record->codec != NX_CODEC_NONE) {
    image *kept = known_image(merge, index, record->offset);
    if (kept != NULL && kept->content.length == record->image_blocks * NX_BLOCK_BYTES) {
      *content = kept->content.data + start;
      return DONE;
    }
  }
  const uint8_t *stored;
  int found = stored_bytes(merge, index, &stored);
  if (found != DONE) return found;
  if (record->codec == NX_CODEC_NONE) {
    *content = stored + start;
    return DONE;
  }
  uint64_t bytes = record->image_blocks * NX_BLOCK_BYTES;
  image *place = spare_image(merge, bytes);
  nx_buffer_reserve(&place->content, bytes);
  merge->image_bytes += place->content.capacity;
  place->used = ++merge->clock;
  if (nx_codec_decode(merge->codec, record->codec, stored, record->size, place->content.data, bytes) != 0)
    return broken(merge, index, record->offset);
  place->content.length = bytes;
  place->input = index;
  place->offset = record->offset;
  *content = place->content.data + start;
  return DONE;
}

static void count_out(nx_merge_state *state, uint64_t end, uint32_t blocks, uint32_t kind, uint64_t bytes) {
  if (kind == NX_KIND_NORMAL) state->out_normal += 1, state->out_normal_blocks += blocks;
  else if (kind == NX_KIND_ZERO) state->out_zero += 1, state->out_zero_blocks += blocks;
  else state->out_discard += 1, state->out_discard_blocks += blocks;
  state->out_bytes += bytes;
  if (end > state->end_blocks) state->end_blocks = end;
}

/* Puts a record into the open pack; false when that pack must be taken first, by itself. */
static bool put_record(nx_merge *merge, const nx_diff_record *record, const uint8_t *stored) {
  if (!nx_pack_has_room(&merge->pack, record->size)) {
    nx_pack_close(&merge->pack, &merge->out);
    if (merge->out.length > merge->ready_bytes) {
      merge->is_ready = true;
      return false;
    }
  }
  nx_pack_add(&merge->pack, &merge->out, record, stored);
  count_out(&merge->state, record->address + record->blocks, record->blocks, record->kind, record->size);
  return true;
}

/* Emits [place, place + blocks) of the input's record, or a first part of it; moves `place`. */
static int emit_packed(nx_merge *merge, uint32_t index, uint32_t blocks) {
  const nx_diff_record *whole = &merge->in[index].record;
  uint32_t skipped = (uint32_t)(merge->place - whole->address);
  if (merge->blocks_max != 0 && blocks > merge->blocks_max) blocks = merge->blocks_max;
  nx_diff_record part = {.address = merge->place, .blocks = blocks, .kind = whole->kind};
  const uint8_t *stored = NULL;
  if (whole->kind == NX_KIND_NORMAL) {
    bool is_kept = blocks == whole->image_blocks && whole->codec == merge->codec_id;
    int found = is_kept ? stored_bytes(merge, index, &stored) : content_of(merge, index, &stored);
    if (found != DONE) return found;
    part.size = is_kept ? whole->size : blocks * (uint32_t)NX_BLOCK_BYTES;
    part.codec = is_kept ? whole->codec : NX_CODEC_NONE;
    if (!is_kept) {
      stored += skipped * NX_BLOCK_BYTES;
      merge->scratch.length = 0;
      uint64_t size = nx_codec_encode(merge->codec, merge->codec_id, merge->level, stored, part.size, &merge->scratch);
      if (size != 0) {
        part.size = (uint32_t)size;
        part.codec = (uint8_t)merge->codec_id;
        stored = merge->scratch.data;
      }
    }
    part.checksum = is_kept ? whole->checksum : nx_salted_checksum(stored, part.size, 0);
  }
  if (put_record(merge, &part, stored)) merge->place += blocks;
  return DONE;
}

static int emit_run(nx_merge *merge, uint32_t index, uint32_t blocks) {
  const nx_diff_record *whole = &merge->in[index].record;
  const uint8_t *content = NULL;
  if (whole->kind == NX_KIND_NORMAL) {
    /* A long record leaves in parts, so that what is ready stays near what was asked for. */
    uint64_t room = merge->ready_bytes / NX_BLOCK_BYTES + 1;
    if (blocks > room) blocks = (uint32_t)room;
    int found = content_of(merge, index, &content);
    if (found != DONE) return found;
    content += (merge->place - whole->address) * NX_BLOCK_BYTES;
  }
  nx_run_add(&merge->runs, &merge->out, merge->place, blocks, whole->kind, content);
  count_out(&merge->state, merge->place + blocks, blocks, whole->kind, content == NULL ? 0 : blocks * NX_BLOCK_BYTES);
  merge->place += blocks;
  merge->is_ready = merge->out.length >= merge->ready_bytes || merge->runs.length >= merge->ready_bytes;
  return DONE;
}

static uint64_t start_of(const nx_merge *merge, const input *in) {
  return in->record.address > merge->place ? in->record.address : merge->place;
}

/* One piece: the winner at the next place that anyone covers, up to where it ends or a higher one begins. */
static int advance(nx_merge *merge) {
  uint64_t start = UINT64_MAX;
  uint32_t winner = 0;
  for (uint32_t i = 0; i < merge->inputs; i++) {
    int loaded = load(merge, i);
    if (loaded != DONE) return loaded;
    if (merge->in[i].is_done) continue;
    uint64_t own = start_of(merge, &merge->in[i]);
    if (own <= start) start = own, winner = i;
  }
  if (start == UINT64_MAX) {
    merge->is_ended = true;
    return DONE;
  }
  merge->place = start;
  uint64_t end = merge->in[winner].record.address + merge->in[winner].record.blocks;
  for (uint32_t i = winner + 1; i < merge->inputs; i++)
    if (!merge->in[i].is_done && merge->in[i].record.address < end) end = merge->in[i].record.address;
  uint32_t blocks = (uint32_t)(end - start);
  return merge->form == NX_MERGE_PACKS ? emit_packed(merge, winner, blocks) : emit_run(merge, winner, blocks);
}

static bool has_output(const nx_merge *merge) { return merge->out.length != 0 || merge->runs.length != 0; }

uint32_t nx_merge_step(nx_merge *merge) {
  if (merge->is_ready) {
    merge->out.length = merge->runs.length = 0;
    merge->is_ready = false;
  }
  while (!merge->is_ready && !merge->is_ended) {
    int advanced = advance(merge);
    if (advanced != DONE) return advanced == WAIT ? NX_MERGE_NEED : NX_MERGE_DAMAGED;
  }
  if (merge->is_ended && merge->form == NX_MERGE_PACKS) nx_pack_close(&merge->pack, &merge->out);
  merge->is_ready = has_output(merge);
  return merge->is_ready ? NX_MERGE_READY : NX_MERGE_END;
}
