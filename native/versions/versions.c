/*
 * Keys, chains, and the two things that go over all of them in steps: collecting and dumping. Both stop at a key and go on
 * at the first one behind it, so keys may come and go in between.
 *
 * A dump must not lose a version that it has yet to reach, so nothing is collected while one is under way; what is written
 * meanwhile has a higher position and is left out.
 */
#include "versions.h"

#include <errno.h>
#include <stdlib.h>

#include "../nx.h"
#include "chain.h"
#include "cursor.h"
#include "fold.h"

struct nx_versions {
  nx_keys keys;
  nx_chains chains;
  uint64_t horizon;
  nx_buffer collect_from; /* where the next step begins; empty: at the first key */
  uint64_t pass_horizon;  /* of the step that began the present pass over all keys */
  uint64_t done_horizon;  /* nothing is left to collect up to it: whatever is written later stands above it */
  nx_buffer dump_from;
  uint64_t dump_position;
  uint64_t removed_keys;
  bool is_dumping, is_dump_begun;
};

nx_versions *nx_versions_new(void) {
  nx_versions *versions = calloc(1, sizeof *versions);
  NX_ASSERT(versions != NULL);
  nx_keys_init(&versions->keys);
  return versions;
}

void nx_versions_free(nx_versions *versions) {
  for (nx_key_node *node = versions->keys.first[0]; node != NULL; node = node->next[0])
    nx_chain_free(&versions->chains, node);
  nx_keys_free(&versions->keys);
  nx_buffer_free(&versions->chains.scratch);
  nx_buffer_free(&versions->collect_from);
  nx_buffer_free(&versions->dump_from);
  free(versions);
}

void nx_versions_raise_horizon(nx_versions *versions, uint64_t horizon) {
  if (horizon > versions->horizon) versions->horizon = horizon;
}

int nx_versions_write(nx_versions *versions, nx_bytes key, uint64_t timestamp, uint64_t position, nx_bytes ops) {
  if (key.length > NX_VERSION_KEY_BYTES_MAX || timestamp == 0 || !nx_ops_valid(ops)) return -EINVAL;
  if (timestamp <= versions->horizon) return -ESTALE;
  nx_key_node *node = nx_keys_add(&versions->keys, key);
  int result = nx_chain_insert(&versions->chains, node, timestamp, position, ops);
  NX_ASSERT(node->newest != NULL);
  return result;
}

static nx_version_view view_of(nx_versions *versions, nx_key_node *node, nx_version *version, const nx_version *above) {
  nx_version_view view = {.start = version->timestamp, .next = above == NULL ? 0 : above->timestamp};
  view.value = nx_chain_value(&versions->chains, node, version, &view.type);
  /* A tombstone down there may have been collected, or may be at any moment. */
  if (view.type == NX_TYPE_ABSENT && version->timestamp <= versions->horizon) view.start = 0;
  return view;
}

int nx_versions_read(nx_versions *versions, nx_bytes key, uint64_t timestamp, nx_version_view *view) {
  *view = (nx_version_view){0};
  if (timestamp < versions->horizon) return -ESTALE;
  nx_key_node *node = nx_keys_find(&versions->keys, key);
  if (node == NULL) return 0;
  nx_version *above, *version = nx_chain_find(node, timestamp, &above);
  if (version != NULL) *view = view_of(versions, node, version, above);
  else view->next = above->timestamp;
  return 0;
}

bool nx_versions_changed(nx_versions *versions, nx_bytes key, nx_part part, uint64_t since, bool was_present) {
  nx_key_node *node = nx_keys_find(&versions->keys, key);
  if (node == NULL) return was_present;
  nx_version *version = node->newest;
  for (; version != NULL && version->timestamp > versions->horizon; version = version->older) {
    if (version->timestamp <= since) return false;
    if (nx_ops_touch((nx_bytes){version->ops, version->ops_length}, part)) return true;
  }
  if (version == NULL) return was_present;
  uint8_t type;
  nx_chain_value(&versions->chains, node, version, &type);
  return type == NX_TYPE_ABSENT ? was_present : version->timestamp > since;
}

static void append32(nx_buffer *out, uint32_t number) { nx_buffer_append(out, &number, sizeof number); }
static void append64(nx_buffer *out, uint64_t number) { nx_buffer_append(out, &number, sizeof number); }
static void append_bytes(nx_buffer *out, nx_bytes bytes) {
  append32(out, (uint32_t)bytes.length);
  nx_buffer_append(out, bytes.data, bytes.length);
}

bool nx_versions_scan(nx_versions *versions, nx_bytes from, bool after, nx_bytes to, uint64_t timestamp,
                      uint32_t count_max, uint64_t bytes_target, nx_buffer *out) {
  if (timestamp < versions->horizon) return false;
  uint64_t end = out->length + bytes_target;
  nx_key_node *node = nx_keys_from(&versions->keys, from, after);
  for (uint32_t count = 0; node != NULL; node = node->next[0]) {
    nx_bytes key = nx_key_of(node);
    if (to.length > 0 && nx_bytes_compare(key, to) >= 0) return false;
    nx_version *above, *version = nx_chain_find(node, timestamp, &above);
    if (version == NULL) continue;
    nx_version_view view = view_of(versions, node, version, above);
    if (view.type == NX_TYPE_ABSENT) continue;
    if (count == count_max || (count > 0 && out->length >= end)) return true;
    append_bytes(out, key);
    append64(out, view.start);
    append64(out, view.next);
    nx_buffer_append(out, &view.type, 1);
    append_bytes(out, view.value);
    count += 1;
  }
  return false;
}

static nx_bytes content(const nx_buffer *buffer) { return (nx_bytes){buffer->data, buffer->length}; }

static void set_content(nx_buffer *buffer, nx_bytes bytes) {
  buffer->length = 0;
  nx_buffer_append(buffer, bytes.data, bytes.length);
}

bool nx_versions_collect(nx_versions *versions, uint32_t keys_max) {
  if (versions->is_dumping || versions->horizon == versions->done_horizon) return true;
  if (versions->collect_from.length == 0) versions->pass_horizon = versions->horizon;
  nx_key_node *node = nx_keys_from(&versions->keys, content(&versions->collect_from), false);
  for (uint32_t count = 0; node != NULL && count < keys_max; count++) {
    nx_key_node *next = node->next[0];
    if (nx_chain_collect(&versions->chains, node, versions->horizon)) {
      nx_chain_free(&versions->chains, node);
      nx_keys_remove(&versions->keys, nx_key_of(node));
      versions->removed_keys += 1;
    }
    node = next;
  }
  set_content(&versions->collect_from, node == NULL ? (nx_bytes){NULL, 0} : nx_key_of(node));
  if (node == NULL) versions->done_horizon = versions->pass_horizon;
  return node == NULL;
}

void nx_versions_dump_begin(nx_versions *versions, uint64_t position) {
  NX_ASSERT(!versions->is_dumping);
  versions->is_dumping = true;
  versions->is_dump_begun = false;
  versions->dump_position = position;
}

static void dump_version(const nx_version *version, nx_buffer *out) {
  append64(out, version->timestamp);
  append64(out, version->position);
  nx_buffer_append(out, &(uint8_t){version->is_base}, 1);
  if (version->is_base) {
    nx_buffer_append(out, &version->value->type, 1);
    append_bytes(out, (nx_bytes){version->value->bytes, version->value->length});
  } else {
    append_bytes(out, (nx_bytes){version->ops, version->ops_length});
  }
}

/* Oldest first; the chain leads the other way. */
static void dump_chain(const nx_key_node *node, uint64_t position, nx_buffer *out) {
  uint32_t count = 0;
  for (const nx_version *version = node->newest; version != NULL; version = version->older)
    count += version->position <= position;
  if (count == 0) return;
  const nx_version **order = malloc(count * sizeof *order);
  NX_ASSERT(order != NULL);
  uint32_t place = count;
  for (const nx_version *version = node->newest; version != NULL; version = version->older)
    if (version->position <= position) order[--place] = version;
  append_bytes(out, nx_key_of(node));
  append32(out, count);
  for (uint32_t index = 0; index < count; index++) dump_version(order[index], out);
  free(order);
}

bool nx_versions_dump(nx_versions *versions, uint64_t bytes_target, nx_buffer *out) {
  NX_ASSERT(versions->is_dumping);
  uint64_t end = out->length + (bytes_target == 0 ? 1 : bytes_target);
  nx_key_node *node = nx_keys_from(&versions->keys, content(&versions->dump_from), versions->is_dump_begun);
  for (; node != NULL && out->length < end; node = node->next[0]) {
    dump_chain(node, versions->dump_position, out);
    set_content(&versions->dump_from, nx_key_of(node));
    versions->is_dump_begun = true;
  }
  return node != NULL;
}

void nx_versions_dump_end(nx_versions *versions) {
  versions->is_dumping = false;
  versions->dump_from.length = 0;
}

static bool load_version(nx_versions *versions, nx_key_node *node, nx_bytes *bytes, bool is_first) {
  nx_bytes head, type, content;
  if (!nx_take(bytes, 17, &head)) return false;
  uint64_t timestamp = nx_load64(head.data), position = nx_load64(head.data + 8);
  if (head.data[16] == 0) {
    if (!nx_take_bytes(bytes, &content) || timestamp == 0 || !nx_ops_valid(content)) return false;
    return nx_chain_insert(&versions->chains, node, timestamp, position, content) == 0;
  }
  if (head.data[16] != 1 || !is_first || !nx_take(bytes, 1, &type) || !nx_take_bytes(bytes, &content)) return false;
  if (!nx_value_valid(type.data[0], content)) return false;
  nx_chain_add_base(&versions->chains, node, timestamp, position, type.data[0], content);
  nx_versions_raise_horizon(versions, timestamp); /* it was at least there when the base was made */
  return true;
}

int nx_versions_load(nx_versions *versions, nx_bytes bytes) {
  versions->pass_horizon = versions->done_horizon = 0; /* what comes may lie below */
  while (bytes.length > 0) {
    nx_bytes key, field;
    if (!nx_take_bytes(&bytes, &key) || key.length > NX_VERSION_KEY_BYTES_MAX || !nx_take(&bytes, 4, &field)) return -EINVAL;
    uint32_t count = nx_load32(field.data);
    if (count == 0 || nx_keys_find(&versions->keys, key) != NULL) return -EINVAL;
    nx_key_node *node = nx_keys_add(&versions->keys, key);
    for (uint32_t index = 0; index < count; index++) {
      if (load_version(versions, node, &bytes, index == 0)) continue;
      if (node->newest == NULL) nx_keys_remove(&versions->keys, nx_key_of(node));
      return -EINVAL;
    }
  }
  return 0;
}

void nx_versions_read_stats(const nx_versions *versions, nx_versions_stats *out) {
  *out = (nx_versions_stats){
      .keys = (double)versions->keys.count,
      .versions = (double)versions->chains.versions,
      .memory_bytes = (double)(versions->keys.bytes + versions->chains.bytes),
      .removed_keys = (double)versions->removed_keys,
  };
}
