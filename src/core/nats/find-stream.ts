/** Finds a stream, or makes it where that is wanted. */
import type { StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { NxError } from "../errors.ts";
import type { NatsSession } from "./link.ts";

/** Throws NX_JETSTREAM_REFUSED when it is missing and nobody says how to make it. */
export async function findStream(
  { manager }: NatsSession,
  stream: string,
  config: Partial<StreamConfig> | undefined,
): Promise<StreamInfo> {
  try {
    return await manager.streams.info(stream);
  } catch (error) {
    if ((error as Error).name !== "StreamNotFoundError") throw error;
    if (config !== undefined) return manager.streams.add({ name: stream, storage: "file", ...config });
    throw new NxError("NX_JETSTREAM_REFUSED", `there is no stream ${stream}`, {
      hint: `make it first, such as with \`nats stream add ${stream}\`, or let ?create=REPLICAS make it`,
      cause: error,
    });
  }
}

/** Of a stream that is made for the messages of one end of a worker; undefined: it is not to be made. */
export function newStream(stream: string, subject: string | undefined, replicas: number | undefined) {
  return replicas === undefined ? undefined : { subjects: [subject ?? stream], num_replicas: replicas };
}
