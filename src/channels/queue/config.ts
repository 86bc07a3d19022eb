/**
 * The configuration of the queue role, and what it says of itself.
 *
 * Only declarations: `check`, `init`, `config` and the docs read this file without loading the queues.
 */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import {
  crossCheck, type CrossCheck, durability, group, integer, key, limits, port, roleSchema,
} from "../../core/config/schema.ts"; // prettier-ignore
import type { RoleAbout } from "../../core/role.ts";
import { commandSocket, compaction, logSocket, neo, passwordFile, respPort } from "../config-keys.ts";
import { engineChecks, engineKey } from "./engine-config.ts";
import { queueDialect } from "./ini.ts";

const MEBIBYTE = 1024 * 1024;
const RING_BYTES_MIN = 64;

const queueKeys = roleSchema({
  port: port(10020, "Port of the legacy swarm protocol."),
  neoPort: port(10120, "Port of the neo swarm protocol, opened where neo.credentialsFile is set."),
  respPort: respPort(10220),
  passwordFile,
  durability: durability(
    ["log", "save", "memory"],
    "log",
    "What an acknowledged push or pop survives. log: power loss, it is in the append log and synced first. save: a clean shutdown (.rq files, and others/ for streams); a crash or power loss takes everything since the start. memory: nothing.",
  ),
  engine: engineKey,
  compaction,
  channels: key(
    group({
      ringBytes: key(
        integer(64 * MEBIBYTE, { min: RING_BYTES_MIN, max: 64 * 1024 * MEBIBYTE }),
        "The ring of one channel, list or stream. It is reserved when the channel is first used and takes memory as it fills; a record takes its bytes and 8 more.",
      ),
      ringBytesByPrefix: key(
        z
          .array(
            z
              .string()
              .regex(/^[A-Za-z0-9_-]+=[1-9]\d{1,11}$/)
              .meta({ wanted: "<prefix>=<bytes>" }),
          )
          .default([]),
        "Rings of channels whose name begins so, e.g. `clicks=1000000`. No prefix may begin another one.",
      ),
      overflowBytes: key(
        integer(0, { min: 0, max: 1024 * 1024 * MEBIBYTE }),
        "Bytes on disk for what the ring of a list has no room for, each list its own. Taken as they are needed and given back; it is memory, not a copy: `durability` says what survives. 0: none.",
      ),
      sizeBytesMax: key(
        integer(0, { min: 0 }),
        "What all rings may use together; pushes beyond are refused. 0 is no limit.",
        { isReloadable: true },
      ),
      pendingMax: key(
        integer(1_000_000, { min: 0 }),
        "Entries of a stream that one consumer group may have been delivered without acknowledging them; about a hundred bytes each. Then XREADGROUP is refused new ones (-OOM) until some are acknowledged. 0 is no limit.",
        { isReloadable: true },
      ),
      whenFull: key(
        z.enum(["reject", "dropOldest"]).default("reject"),
        "What a push to a channel does whose ring and overflow are full. reject: it is refused (407, or -OOM over RESP). dropOldest: the oldest records go.",
        { isReloadable: true },
      ),
    }),
    "The channels and their rings.",
  ),
  deadLetters: key(
    group({
      deliveriesMax: key(
        integer(0, { min: 0, max: 1_000_000 }),
        "A stream's entry that a consumer group was delivered this often without acknowledging it moves to the dead-letter channel when it is claimed once more. 0: never, as in Redis.",
      ),
      suffix: key(
        z
          .string()
          .regex(/^[A-Za-z0-9_-]{1,64}$/)
          .default("-dead"),
        "The dead-letter channel is a stream of the channel's name with this behind it.",
      ),
    }),
    "Entries that nobody acknowledges.",
  ),
  swarm: key(
    group({
      generation: key(
        z.enum(["seed", "later"]).default("seed"),
        "Which generation of the original this node answers like where they differ. seed: Pop of a missing channel is empty, consumers take from the channel itself, channel lists and sizes are served. later: Pop of a missing channel or of one with consumers is an error (500), Consume subscribes, codes 3, 4, 5 and 7 close the connection and 8 is answered 406.",
      ),
      backlog: key(
        integer(2048, { min: 1, max: 65_535 }),
        "New connections of the swarm ports that may wait to be accepted; net.core.somaxconn caps it.",
      ),
      writeFlushMs: key(
        integer(250, { min: 1, max: 60_000 }),
        "Records are gathered for this long before they are sent to Consume clients.",
      ),
    }),
    "The swarm protocol's own settings.",
  ),
  neo,
  commandSocket,
  logSocket,
  limits: limits({
    channelsMax: key(
      integer(50_000, { min: 1, max: 1_000_000 }),
      "Channels at once, storages of subscribers too; about ten kilobytes each, however short. Pushes to further ones are refused (407, or -OOM over RESP).",
      { isReloadable: true },
    ),
    keyBytesMax: key(
      integer(1024, { min: 1, max: 32_768 }),
      "The longest name of a channel over RESP. A longer one is an error.",
      { isReloadable: true },
    ),
    valueBytesMax: key(
      integer(64 * MEBIBYTE, { min: 1, max: 512 * MEBIBYTE }),
      "The longest value over RESP. A longer one is an error.",
      { isReloadable: true },
    ),
  }),
});

const prefixCheck: CrossCheck = {
  path: ["channels", "ringBytesByPrefix"],
  wanted: "prefixes of which none begins another, each with 64 bytes at least",
  holds(value) {
    const sizes = (value as { channels: { ringBytesByPrefix: string[] } }).channels.ringBytesByPrefix.map(
      (size) => size.split("="),
    );
    const prefixes = sizes.map(([prefix = ""]) => prefix);
    const overlaps = prefixes.some((one, at) =>
      prefixes.some((other, place) => place !== at && other.startsWith(one)),
    );
    return !overlaps && sizes.every(([, bytes]) => Number(bytes) >= RING_BYTES_MIN);
  },
};

export const queueConfig = [prefixCheck, ...engineChecks].reduce(crossCheck, queueKeys);

export type QueueConfig = z.output<typeof queueConfig>;

export const queueAbout: RoleAbout<typeof queueConfig> = {
  name: "queue",
  summary: "Bounded queues and streams for swarm and Redis clients",
  durability:
    "log (default): survives power loss, or, with engine.jetstream, what the NATS servers' stream survives; save: survives a clean shutdown; memory: survives nothing",
  config: queueConfig,
  reloadable: reloadableKeys(queueConfig),
  reach: { respPort: "redis-cli -h {host} -p {port}" },
  ini: queueDialect,
};
