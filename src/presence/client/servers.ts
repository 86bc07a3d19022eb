/**
 * The servers of a presence service as a client speaks to them: addresses, exchanges, what each sent.
 *
 * Invariant: no exchange outlives its deadline, and no server makes the client keep more than an honest one would send.
 */
import { NxError } from "../../core/errors.ts";
import { httpExchange, type HttpAnswer, type HttpExchange } from "../../core/sockets/http-client.ts";
import { baseUrls } from "../address.ts";

export type Transport = (exchange: HttpExchange) => Promise<HttpAnswer>;

export interface ServerOptions {
  transport?: Transport;
  tls?: HttpExchange["tls"];
  deadlineMs?: number;
  /** A connection of its own for each exchange, so that a network sees no link between them. */
  isConnectionFresh?: boolean;
}

/** Bytes of bodies, both directions. */
export interface Traffic {
  sent: number;
  received: number;
}

const DEADLINE_MS = 30_000;

export class Server {
  /** As it was written in the configuration: what messages call it. */
  readonly name: string;
  readonly #options: ServerOptions;
  #bases: string[];

  constructor(address: string, options: ServerOptions) {
    this.name = address;
    this.#options = options;
    this.#bases = baseUrls(address);
    if (this.#bases.length === 0)
      throw new NxError("NX_CONFIG_INVALID", `${address} is not an address`, {
        hint: "give host:port or a URL",
      });
  }

  /** Throws NX_CONNECT_FAILED when there is no complete answer in time. */
  async exchange(
    path: string,
    body: Uint8Array<ArrayBuffer> | undefined,
    answerBytesMax: number,
    traffic?: Traffic,
  ): Promise<HttpAnswer> {
    const { transport = httpExchange, tls, deadlineMs = DEADLINE_MS, isConnectionFresh } = this.#options;
    let failure: unknown;
    for (const base of this.#bases) {
      try {
        const answer = await transport({
          url: `${base}${path}`,
          ...(body !== undefined && { method: "POST", body }),
          ...(tls !== undefined && { tls }),
          ...(isConnectionFresh === true && { isConnectionFresh }),
          deadlineMs,
          answerBytesMax,
        });
        this.#bases = [base];
        if (traffic !== undefined) {
          traffic.sent += body?.byteLength ?? 0;
          traffic.received += answer.body.byteLength;
        }
        return answer;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}
