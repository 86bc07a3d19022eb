/**
 * The sample files that `node-x init` writes and that configs/ holds: one per role, and the `local` cluster.
 */
import { sampleText, type SampleValues } from "../core/config/sample.ts";
import { jsonSchemaText } from "../core/config/json-schema.ts";
import { roleEntry, roleNames } from "../roles.ts";

/** Files by path relative to the directory they go to. */
export type Files = Map<string, string>;

const localDirectory = ".node-x/local";

/**
 * The cluster that `node-x up` starts: two key/value nodes that share the hash space, a queue node, a log store, a
 * transactional store of one shard, a volume with its backup, a stream worker, a private presence service with
 * three lookup servers; the page that shows them all comes last.
 */
const localServers: { role: string; name: string; values: SampleValues }[] = [
  {
    role: "dht",
    name: "dht0",
    values: {
      dataDir: `${localDirectory}/dht0`,
      port: 10000,
      respPort: 10200,
      "hashRange.min": "0000000000000000",
      "hashRange.max": "7fffffffffffffff",
    },
  },
  {
    role: "dht",
    name: "dht1",
    values: {
      dataDir: `${localDirectory}/dht1`,
      port: 10001,
      respPort: 10201,
      "hashRange.min": "8000000000000000",
      "hashRange.max": "ffffffffffffffff",
    },
  },
  {
    role: "queue",
    name: "queue0",
    values: { dataDir: `${localDirectory}/queue0`, port: 10020, respPort: 10220 },
  },
  {
    role: "logfiles",
    name: "logfiles0",
    values: { dataDir: `${localDirectory}/logfiles0`, port: 10010, httpPort: 10310 },
  },
  { role: "tss", name: "tss0", values: { dataDir: `${localDirectory}/tss0`, port: 12348 } },
  {
    role: "shard",
    name: "shard0",
    values: { dataDir: `${localDirectory}/shard0`, port: 12345, replicas: ["127.0.0.1:12345"] },
  },
  {
    role: "frontend",
    name: "frontend0",
    values: { dataDir: `${localDirectory}/frontend0`, httpPort: 12355, samples: true },
  },
  {
    role: "regserver",
    name: "regserver0",
    // Short epochs, and the command that begins one at once: made for looking at.
    values: { dataDir: `${localDirectory}/regserver0`, port: 8443, epochSeconds: 300, debug: true },
  },
  {
    role: "archive",
    name: "archive0",
    values: { dataDir: `${localDirectory}/archive0`, port: 13020, discard: "zero" },
  },
  { role: "proxy", name: "proxy0", values: { dataDir: `${localDirectory}/proxy0`, port: 13010 } },
  {
    role: "storage",
    name: "storage0",
    values: {
      dataDir: `${localDirectory}/storage0`,
      port: 13000,
      nbdPort: 10809,
      volumes: [{ name: "vol1", size: "64M", logSize: "32M" }],
      archive: "127.0.0.1:13020",
      proxies: ["127.0.0.1:13010"],
    },
  },
  {
    role: "worker",
    name: "worker0",
    values: {
      dataDir: `${localDirectory}/worker0`,
      controlPort: 12500,
      dataPort: 12501,
      app: "word-count",
      sources: ["Lines=tcp://127.0.0.1:7000"],
      sinks: [`counts=file:${localDirectory}/worker0/counts.out`],
    },
  },
  ...[0, 1, 2].map((index) => ({
    role: "lookup",
    name: `lookup${index}`,
    values: {
      dataDir: `${localDirectory}/lookup${index}`,
      port: 8444 + index,
      regServer: "http://127.0.0.1:8443",
      epochSeconds: 300,
      pirThreads: 1,
    },
  })),
];

const bucketDirectory = ".node-x/bucket";

/** A volume whose archive follows into a bucket: docs/object-storage.md starts it beside an S3-compatible store. */
const bucketCluster = [
  {
    role: "archive",
    name: "archive0",
    values: {
      dataDir: `${bucketDirectory}/archive0`,
      port: 13220,
      discard: "zero",
      "bucket.url": "s3://backups/archive0",
      "bucket.endpoint": "http://127.0.0.1:9000",
      "bucket.keepUnused": "1d",
    },
  },
  { role: "proxy", name: "proxy0", values: { dataDir: `${bucketDirectory}/proxy0`, port: 13210 } },
  {
    role: "storage",
    name: "storage0",
    values: {
      dataDir: `${bucketDirectory}/storage0`,
      port: 13200,
      nbdPort: 10819,
      volumes: [{ name: "vol1", size: "64M", logSize: "32M" }],
      archive: "127.0.0.1:13220",
      proxies: ["127.0.0.1:13210"],
    },
  },
];

const localCluster = [
  ...localServers,
  {
    role: "hub",
    name: "hub0",
    values: {
      dataDir: `${localDirectory}/hub0`,
      port: 4000,
    },
  },
];

async function schemaFile(role: string): Promise<[string, string]> {
  return [`schema/${role}.json`, jsonSchemaText(role, (await roleEntry(role).about()).config)];
}

/** `<role>.json` with every key commented, and its schema for editors. */
export async function roleSample(role: string): Promise<Files> {
  const { config } = await roleEntry(role).about();
  return new Map([
    [`${role}.json`, sampleText(role, config, `./schema/${role}.json`)],
    await schemaFile(role),
  ]);
}

/**
 * `<prefix>.<role><n>.json` for a small cluster on this host, only what differs from the defaults, and the
 * schemas.
 */
export async function clusterSample(prefix: string): Promise<Files> {
  const files: Files = new Map();
  for (const { role, name, values } of localCluster) {
    const renamed = JSON.parse(
      JSON.stringify(values).replaceAll(`${localDirectory}/`, `.node-x/${prefix}/`),
    ) as SampleValues;
    files.set(`${prefix}.${name}.json`, shortText(role, renamed));
    files.set(...(await schemaFile(role)));
  }
  return files;
}

function shortText(role: string, values: SampleValues): string {
  const object: Record<string, unknown> = { $schema: `./schema/${role}.json` };
  for (const [name, value] of Object.entries(values)) {
    const [group = "", member] = name.split(".");
    if (member === undefined) object[group] = value;
    else object[group] = { ...(object[group] as object | undefined), [member]: value };
  }
  const body = JSON.stringify(object, null, 2).replace(
    "\n",
    `\n  // Part of a small cluster on one host; every other key has its default (\`node-x init ${role}\` lists them).\n`,
  );
  return `${body}\n`;
}

/** The schema of `prefix.cluster.json`. */
async function clusterSchemaText(): Promise<string> {
  const [{ clusterFileSchema }, { plainJsonSchema }] = await Promise.all([
    import("../cluster/topology/cluster-file.ts"),
    import("../core/config/json-schema.ts"),
  ]);
  return `${JSON.stringify(plainJsonSchema("node-x cluster file", clusterFileSchema), null, 2)}\n`;
}

/** Every file under configs/, for the generator and its freshness test. */
export async function allSamples(): Promise<Files> {
  const files: Files = new Map();
  for (const role of roleNames) for (const [path, text] of await roleSample(role)) files.set(path, text);
  for (const [path, text] of await clusterSample("local")) files.set(path, text);
  for (const { role, name, values } of bucketCluster)
    files.set(`bucket.${name}.json`, shortText(role, values));
  files.set("schema/cluster.json", await clusterSchemaText());
  return files;
}
