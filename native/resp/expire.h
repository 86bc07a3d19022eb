/* Reading of expiry options, shared by SET, SETEX, GETEX. */
#ifndef NX_RESP_EXPIRE_H
#define NX_RESP_EXPIRE_H
#include "engine.h"

typedef enum {
  EXPIRY_NONE,
  EXPIRY_KEEP,
  EXPIRY_PERSIST,
  EXPIRY_EX,
  EXPIRY_PX,
  EXPIRY_EXAT,
  EXPIRY_PXAT
} nx_expire_kind;

typedef struct {
  nx_expire_kind kind;
  nx_slice amount; /* for the last four kinds */
} nx_expire_option;

/* Takes the option at argv[*index] if it is one about expiry and allowed beside what was taken before; moves
 * *index to its last argument. `keep` admits KEEPTTL, else PERSIST is admitted. */
bool nx_expire_take(const nx_resp *engine, uint32_t *index, bool keep, nx_expire_option *expiry);
/* The moment in milliseconds; on failure replies the error and returns false. Needs one of the last four
 * kinds. */
bool nx_expire_moment(nx_resp *engine, const nx_expire_option *expiry, const char *command,
                      int64_t *expires_at_ms);

#endif
