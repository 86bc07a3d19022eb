/*
 * Connections that wait for keys: BLPOP, XREAD BLOCK and their like.
 *
 * A waiting command is kept as its bytes and run again, for the one key that got something, within the very call
 * that brought it: so a blocked client is served before the next command of whoever pushed, in the order of
 * its coming, as Redis does it. Its reply goes to a buffer of its own; nx_resp_woken names the connection and
 * nx_resp_resume hands the reply out. A crash forgets who waited; what a waiter took is an effect like any other.
 */
#ifndef NX_RESP_WAITING_H
#define NX_RESP_WAITING_H
#include "engine.h"

nx_waiting *nx_waiting_make(void);
void nx_waiting_drop(nx_waiting *waiting);

/* From a command that found nothing: the connection waits for any of `keys`, until `deadline_ms` (0: for ever).
 * `argv` as it is now is run again then. Replies an error instead when clients hold too much memory. */
void nx_wait(nx_resp *engine, nx_resp_connection *connection, const nx_slice *keys, uint32_t count,
             double deadline_ms);
/* Inside a transaction nothing blocks; nor does a command that is run again wait anew for other keys. */
bool nx_may_wait(const nx_resp *engine, const nx_resp_connection *connection);
/* A command that waited is being run again. */
bool nx_is_again(const nx_resp *engine);
/* The command is run again for this key alone: others are to be passed over. */
bool nx_is_passed_over(const nx_resp *engine, nx_slice key);
/* `key` may have something for those who wait for it. */
void nx_wait_signal(nx_resp *engine, nx_slice key);
/* Serves those whose keys were signalled. `is_drained` says that no further waiter of this key needs to be tried. */
void nx_wait_serve(nx_resp *engine, bool (*is_drained)(nx_resp *engine, nx_slice key));
/* The connection goes. */
void nx_wait_leave(nx_resp *engine, nx_resp_connection *connection);
/* Appends the reply of a served connection, which waits no more. */
void nx_wait_finish(nx_resp *engine, nx_resp_connection *connection);
/* Brings the block's figures about waiting up to date. */
void nx_wait_publish(nx_resp *engine);

#endif
