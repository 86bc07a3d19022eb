/** Why a call came to nothing, where the runtime's own words ask the reader whether a computer is able to do something. */

const reasons: Record<string, string> = {
  ECONNREFUSED: "nobody listens there (ECONNREFUSED)",
  ConnectionRefused: "nobody listens there (ECONNREFUSED)",
  ECONNRESET: "the connection was closed before there was an answer (ECONNRESET)",
  ConnectionClosed: "the connection was closed before there was an answer (ECONNRESET)",
  ENOTFOUND: "no such host is known (ENOTFOUND)",
  EPROTO: "the TLS handshake failed: is TLS spoken there? (EPROTO)",
};

/** In plain words; undefined where the error's own are as good. */
export function connectReason(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" && Object.hasOwn(reasons, code) ? reasons[code] : undefined;
}
