/**
 * What keeps the queues' effects: the append log in files, built in, or a replicated JetStream stream.
 *
 * Both are a `GroupLog`: everything above it (protocols, queues, replies that wait) is the same for both.
 */
import { NatsLink } from "../../core/nats/link.ts";
import { StreamLog } from "../../core/nats/stream-log/stream-log.ts";
import type { RoleContext } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { OpenLog } from "../durable-log.ts";
import type { QueueConfig } from "./config.ts";

/** Undefined for the built-in one. */
export function openLogOf(context: RoleContext<QueueConfig>): OpenLog | undefined {
  const { config, log, clock, random, progress, instance } = context;
  const jetstream = config.engine?.jetstream;
  if (jetstream === undefined) return undefined;
  return (listener, payloadFormat, replay) => {
    const link = new NatsLink({
      ...{ settings: jetstream, clock, random, log: log.child("nats") },
      name: `queue ${instance}`,
    });
    return StreamLog.open(
      { ...jetstream, link, clock, random, crc32c, payloadFormat, listener, progress },
      replay,
    );
  };
}
