/**
 * Who may use a node's neo port. The file is read again on SIGHUP, or when somebody asks over the admin endpoint: whole,
 * or not at all. Connections that are open stay.
 */
import type { Hono } from "hono";
import { NxError } from "../core/errors.ts";
import type { Log } from "../core/logging/log.ts";
import { readCredentials } from "./wire/neo/credentials.ts";

export class NeoCredentials {
  readonly #file: () => string | undefined;
  readonly #log: Log;
  #secrets: ReadonlyMap<string, Uint8Array> = new Map();

  /** `file`: what the configuration names now; without it nobody may, and the protocol is not spoken. */
  constructor(file: () => string | undefined, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  /** By user. */
  get secrets(): ReadonlyMap<string, Uint8Array> {
    return this.#secrets;
  }

  get users(): string[] {
    return [...this.#secrets.keys()].sort();
  }

  /** Throws NX_SECRET_UNUSABLE. */
  reload(): void {
    const file = this.#file();
    if (file === undefined) return;
    try {
      this.#secrets = readCredentials(file);
    } catch (error) {
      if (!(error instanceof NxError)) throw error;
      throw new NxError(error.code, `neo.credentialsFile: ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    }
    this.#log.info("read the credentials of the neo protocol", { users: this.#secrets.size });
  }

  /** Somebody asks for it: as `reload`, and an error where there is no file to read. */
  update(): void {
    if (this.#file() === undefined)
      throw new NxError(
        "NX_SECRET_UNUSABLE",
        "neo.credentialsFile is not set: the neo protocol is not spoken",
        {
          hint: "set it and start the node anew",
        },
      );
    this.reload();
  }

  /** Routes of the admin endpoint. */
  admin(app: Hono): void {
    app.get("/credentials", (context) => context.json({ users: this.users }));
    app.post("/credentials/reload", (context) => {
      try {
        this.reload();
        return context.json({ users: this.users });
      } catch (error) {
        return context.json({ error: (error as Error).message }, 409);
      }
    });
  }
}
