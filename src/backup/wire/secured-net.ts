/**
 * Encrypted connections between servers of ours, found out over the plain port that originals know, too:
 *
 *   plain port     > text clientId, text "node-x-secure", u32 1        < text serverId, text "ok", u16 port
 *                                                                      (an original: "…bad protocol…")
 *   that port, TLS > text token, empty without one                     then everything as on the plain port
 *
 * Invariant: with `required` nothing but the question above is ever sent in the clear, and a server that does not answer it
 * is not talked to; the token is sent only to a server whose certificate is trusted.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { ConnectOptions, Net, Socket } from "../../core/seams/net.ts";
import { Conversation } from "./conversation.ts";
import { Writer } from "./serial.ts";

export const SECURE_PROTOCOL = "node-x-secure";

export interface PeerSecurity {
  /** `preferred`: servers that offer no encryption are talked to in the clear. */
  mode: "required" | "preferred";
  ca: string;
  cert?: string | undefined;
  key?: string | undefined;
  token?: string | undefined;
}

const TIMEOUT_MS = 10_000;

/** Asks a server for its port with TLS; undefined when it has none. */
async function securePortOf(net: Net, clock: Clock, host: string, port: number): Promise<number | undefined> {
  const conversation = await Conversation.connect(net, host, port, { clock, timeoutMs: TIMEOUT_MS });
  try {
    await conversation.send(new Writer().text("node-x").text(SECURE_PROTOCOL).u32(1));
    await conversation.reader.text(256);
    if ((await conversation.reader.text()) !== "ok") return undefined;
    return await conversation.reader.u16();
  } finally {
    conversation.end();
  }
}

/** A network whose connections to WalB servers are encrypted. */
export function securedNet(net: Net, clock: Clock, security: PeerSecurity): Net {
  const { mode, ca, cert, key, token = "" } = security;
  const hello = new Writer().text(token).bytes;
  return {
    listen: (options) => net.listen(options),
    async connect<Data>(options: ConnectOptions<Data>): Promise<Socket> {
      const { host, port, handlers } = options;
      const securePort = await securePortOf(net, clock, host, port);
      if (securePort === undefined && mode === "preferred") return await net.connect(options);
      if (securePort === undefined)
        throw new NxError("NX_CONNECT_FAILED", `${host}:${port} offers no encrypted connections`, {
          hint: "set its securePort and secure, or peers.mode to preferred here",
        });
      const tls = { ca, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
      const open = (socket: Socket): Data => {
        if (socket.write(hello) < hello.byteLength) socket.terminate();
        return handlers.open(socket);
      };
      return await net.connect({ host, port: securePort, tls, handlers: { ...handlers, open } });
    },
  };
}
