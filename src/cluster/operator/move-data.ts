/** Copies the data directory of a stopped instance from one host to another, through the operator's machine. */
import { createHash } from "node:crypto";
import { NxError } from "../../core/errors.ts";
import type { AgentClient } from "../agent/client.ts";
import type { Fence } from "../release/upload.ts";

export interface MoveData {
  instance: string;
  from: { agent: AgentClient; dataDir: string };
  to: { agent: AgentClient; dataDir: string };
  fence: Fence;
  onProgress(bytes: number): void;
}

/** What belongs to a running process, not to the data. */
const NOT_DATA = ["./admin.sock", "./lock", "./ports.json"];
const PIECE_BYTES = 1 << 20;
const TIMEOUT_MS = 24 * 3600 * 1000;

/** Resolves with the size when the data is on the other host, checked and synced. The source keeps its own. */
export async function moveData({ instance, from, to, fence, onProgress }: MoveData): Promise<number> {
  const hash = createHash("sha256");
  const complaints: string[] = [];
  let offset = 0;
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let sending: Promise<unknown> = Promise.resolve();
  const send = (sha256?: string) => {
    const block = Buffer.concat(gathered);
    const params = {
      generation: fence.generation,
      instance,
      dataDir: to.dataDir,
      offset,
      ...(sha256 && { sha256 }),
    };
    offset += block.byteLength;
    [gathered, gatheredBytes] = [[], 0];
    sending = sending.then(() => to.agent.call("put-data", params, { block }));
    sending.catch(() => undefined);
    onProgress(offset);
  };
  const words = [
    "tar",
    "--create",
    "--file",
    "-",
    "--directory",
    from.dataDir,
    ...NOT_DATA.map((name) => `--exclude=${name}`),
    ".",
  ];
  const { operation, operator } = fence;
  const { result } = await from.agent.call(
    "exec",
    { words, operation, operator, timeoutMs: TIMEOUT_MS },
    {
      onEvent({ stream, base64 }) {
        const bytes = Buffer.from(base64, "base64");
        if (stream === "stderr") return void complaints.push(bytes.toString());
        hash.update(bytes);
        gathered.push(bytes);
        gatheredBytes += bytes.byteLength;
        if (gatheredBytes >= PIECE_BYTES) send();
      },
    },
  );
  if (result.code !== 0)
    throw new NxError(
      "NX_DISK_FAILED",
      `${from.agent.host}: tar of ${from.dataDir}: ${complaints.join("").trim()}`,
      {
        hint: "tar is needed on both hosts",
      },
    );
  send(hash.digest("hex"));
  await sending;
  return offset;
}
