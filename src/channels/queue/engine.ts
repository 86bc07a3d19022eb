/**
 * What keeps the queues' effects: the append log in files, built in, or a replicated JetStream stream.
 *
 * Both are a `GroupLog`: everything above it (protocols, queues, replies that wait) is the same for both.
 */
import { NxError } from "../../core/errors.ts";
import { NatsLink } from "../../core/nats/link.ts";
import { StreamLog } from "../../core/nats/stream-log/stream-log.ts";
import type { RoleContext } from "../../core/role.ts";
import { crc32c } from "../../native/crc32c.ts";
import type { OpenLog } from "../durable-log.ts";
import type { QueueConfig } from "./config.ts";

/** Undefined for the built-in one. Throws NX_CONFIG_INVALID. */
export function openLogOf(context: RoleContext<QueueConfig>): OpenLog | undefined {
  const { config, log, clock, random, progress, instance } = context;
  const { engine, durability, jetstream } = config;
  if (engine === "builtin") return undefined;
  if (durability !== "log")
    throw new NxError("NX_CONFIG_INVALID", `engine "jetstream" acknowledges what the stream has: durability "${durability}" is not possible with it`, {
      hint: 'set durability to "log", or engine to "builtin"',
    }); // prettier-ignore
  const { stream, replicas, bytesMax, ...settings } = jetstream;
  return (listener, payloadFormat, replay) => {
    const link = new NatsLink({ settings, clock, random, log: log.child("nats"), name: `queue ${instance}` });
    const shape = { stream, replicas, bytesMax };
    return StreamLog.open(
      { ...shape, ...{ link, clock, random, crc32c, payloadFormat, listener, progress } },
      replay,
    );
  };
}
