/*
 * Values and what operations do to them. Pure: bytes in, bytes out (formats in versions.h).
 *
 * Invariant: `nx_fold` gives the one encoding of its result, so that replicas that folded in different steps hold equal
 * bytes.
 */
#ifndef NX_VERSIONS_FOLD_H
#define NX_VERSIONS_FOLD_H
#include "versions.h"

/* Whether the bytes are operations as in versions.h, each with a value that has its one encoding. */
bool nx_ops_valid(nx_bytes ops);
bool nx_value_valid(uint8_t type, nx_bytes value);
/* The first operation says the whole value: what was before does not matter. */
bool nx_ops_absolute(nx_bytes ops);
/* Whether one of the operations touches the part. */
bool nx_ops_touch(nx_bytes ops, nx_part part);
/* Applies the operations to the value (`type`, `value`), in place. */
void nx_fold(uint8_t *type, nx_buffer *value, nx_bytes ops);

#endif
