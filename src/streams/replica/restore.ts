/**
 * Finds the newest copy of a worker's state log among the replicas.
 *
 * Invariant: a copy is taken only when a whole snapshot of it passes its checksums. Newest is the one with the highest
 * committed checkpoint, then the highest prepared one; replicas that are away are passed over, so `restore` succeeds when
 * one of those that acknowledged answers.
 */
import type { World } from "../../core/role.ts";
import { NxError } from "../../core/errors.ts";
import type { Address } from "../sender/line.ts";
import { ReplicaConnection } from "./connection.ts";
import { generationOf, readCopy, type Copy } from "./copy-file.ts";

/** What a copy's records amount to. */
export interface CopyRank {
  committed: number;
  prepared: number;
}

export interface FoundCopy extends CopyRank {
  copy: Copy;
  address: Address;
  name: string;
}

export interface FindOptions {
  world: Pick<World, "net" | "clock">;
  addresses: readonly Address[];
  directory: string;
  timeoutMs: number;
  /** Throws when the records are no state log. */
  rank(records: readonly Uint8Array[]): CopyRank;
  /** Told of replicas and copies that cannot be used. */
  onProblem(text: string): void;
}

/** Throws NX_INPUT_INVALID when no replica has a whole copy. */
export async function findNewestCopy(options: FindOptions): Promise<FoundCopy> {
  const found = (await Promise.all(options.addresses.map((address) => copiesAt(address, options)))).flat();
  found.sort(
    (a, b) =>
      b.committed - a.committed ||
      b.prepared - a.prepared ||
      b.copy.header.generation - a.copy.header.generation ||
      b.copy.bytes - a.copy.bytes,
  );
  const [newest] = found;
  if (newest !== undefined) return newest;
  const places = options.addresses.map(({ host, port }) => `${host}:${port}`).join(", ");
  throw new NxError("NX_INPUT_INVALID", `no whole copy of ${options.directory} is at ${places}`, {
    hint: "start the replicas that the worker had, and look at the warnings above",
  });
}

async function copiesAt(address: Address, options: FindOptions): Promise<FoundCopy[]> {
  const { world, timeoutMs, directory, rank, onProblem } = options;
  const found: FoundCopy[] = [];
  let connection: ReplicaConnection | undefined;
  try {
    connection = await ReplicaConnection.connect({ world, address, timeoutMs });
    await connection.request({ command: "V", directory });
    for (const file of await connection.list()) {
      if (generationOf(file.name) === undefined) continue;
      const copy = readCopy(await connection.download(file));
      if (copy?.isComplete !== true) {
        onProblem(`${address.host}:${address.port}: ${file.name} holds no whole snapshot`);
        continue;
      }
      if (copy.bytes < file.bytes)
        onProblem(
          `${address.host}:${address.port}: ${file.name} ends within a piece, byte ${copy.bytes} of ${file.bytes}`,
        );
      found.push({ ...rank(copy.records), copy, address, name: file.name });
    }
  } catch (error) {
    onProblem((error as Error).message);
  } finally {
    connection?.close();
  }
  return found;
}
