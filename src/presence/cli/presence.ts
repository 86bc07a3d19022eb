/**
 * `node-x presence`: made-up users, and the harness that drives a presence service with them.
 *
 * Exit code 0 means that every user saw exactly who was there; 1 that something was wrong.
 */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { wholeOption as whole } from "../../core/option-values.ts";
import { colorsFor, printJson, printTable } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import { readNamed } from "../../core/secret-file.ts";
import { defineVerb, type Call, type Surroundings } from "../../core/verb.ts";
import type { HarnessReport, PhaseReport } from "../harness.ts";

const USERS_BYTES_MAX = 1024 * 1024 * 1024;
const CONFIG_BYTES_MAX = 1024 * 1024;

const usersVerb = defineVerb({
  name: "users",
  summary: "Make a file of users with keys and friends, for tests",
  args: {
    count: { type: "positional", required: true, description: "How many users" },
    file: { type: "positional", required: true, description: "The file to write; it must not exist" },
    buddies: { type: "string", valueHint: "N", default: "100", description: "Friends of each user" },
    seed: { type: "string", valueHint: "N", description: "Makes the same users again" },
  },
  examples: [
    { command: "node-x presence users 200 users.200", shows: "200 users with 100 friends each" },
    {
      command: "node-x presence users 20 few --buddies 5 --seed 1",
      shows: "The same 20 users each time",
    },
  ],
  async run({ args, workingDirectory, stderr }) {
    const [{ makeUsers }, { nodePrimitives }, { realWorld }, files] = await Promise.all([
      import("../users.ts"),
      import("../protocol/primitives-node.ts"),
      import("../../core/seams/world-real.ts"),
      import("../../core/seams/durable-files.ts"),
    ]);
    const count = whole("COUNT", args.count, 1, 1_000_000);
    const buddies = whole("--buddies", args.buddies, 0, 1000);
    const seed = args.seed === undefined ? undefined : whole("--seed", args.seed, 0, 2 ** 32 - 1);
    const path = resolve(workingDirectory, args.file);
    const { disk } = realWorld();
    if (await disk.exists(path))
      throw new NxError("NX_FILE_EXISTS", `${path} exists`, { hint: "choose another name, or remove it" });
    await files.writeFileAtomically(
      disk,
      path,
      `${JSON.stringify(makeUsers(nodePrimitives, count, buddies, seed))}\n`,
    );
    stderr.write(`${path}: ${count} users\n`);
    return Exit.ok;
  },
});

const clientArgs = {
  config: { type: "positional", required: true, description: "Where the servers are (servers.cfg)" },
  users: { type: "positional", required: true, description: "A file of users" },
  lookups: { type: "positional", required: false, description: "How many users look up; all when absent" },
  "force-pir": { type: "boolean", description: "Send queries even where fetching the database is cheaper" },
  epochs: { type: "string", valueHint: "N", default: "1", description: "Epochs to go through" },
  concurrency: { type: "string", valueHint: "N", default: "10", description: "Users that are busy at once" },
  wait: { type: "boolean", description: "Wait for the next epoch instead of asking for it" },
  show: { type: "boolean", description: "Print what each user saw" },
  json: { type: "boolean", description: "Print JSON" },
} as const;

const clientVerb = defineVerb({
  name: "client",
  summary: "Register all users, begin the next epoch, let all look their friends up, and judge what they see",
  description:
    "The file of servers is JSON with comments: regServer, lookupServers, privacyLevel. What it leaves out (protocol, " +
    "combined …) the registration server tells. With the keys standard and combined it describes the two-database system: " +
    "fresh short-term keys through the standard service, statuses through the combined one.",
  args: clientArgs,
  examples: [
    { command: "node-x presence client servers.cfg users.200", shows: "Drive a service with 200 users" },
    {
      command: "node-x presence client servers.cfg users.200 --force-pir --json",
      shows: "Never download, and print figures for programs",
    },
    {
      command: "node-x presence client servers.cfg users.200 --epochs 100",
      shows: "Keep it up for 100 epochs",
    },
  ],
  run: (call) => runClient(call),
});

async function runClient(call: Call<typeof clientArgs>): Promise<number> {
  const { args, workingDirectory, stdout, stderr } = call;
  const [config, users, { nodePrimitives }, { nativeEngine }] = await Promise.all([
    import("../client-config.ts"),
    import("../users.ts"),
    import("../protocol/primitives-node.ts"),
    import("../pir/native-engine.ts"),
  ]);
  const read = (word: string, file: string, bytesMax: number) =>
    readNamed(word, resolve(workingDirectory, file), bytesMax);
  const services = config.parseClientConfig(
    args.config,
    new TextEncoder().encode(read("CONFIG", args.config, CONFIG_BYTES_MAX)),
  );
  const epochs = whole("--epochs", args.epochs, 1, 1_000_000_000);
  const concurrency = whole("--concurrency", args.concurrency, 1, 10_000);
  const lookups = args.lookups === undefined ? undefined : whole("LOOKUPS", args.lookups, 0, 1_000_000);
  const base = { primitives: nodePrimitives, engine: nativeEngine() };
  const warn = (text: string) => void stderr.write(`warning: ${text}\n`);
  const people = users.parseUsers(nodePrimitives, args.users, read("USERS", args.users, USERS_BYTES_MAX));
  const line = progressLine(stderr, realClock);
  const shared = {
    users: people,
    clock: realClock,
    concurrency,
    isWaiting: args.wait === true,
    ...(lookups !== undefined && { lookups }),
    onProgress: (phase: string, done: number, total: number) => line.show(`${phase}: ${done} of ${total}`),
  };
  const forced = args["force-pir"] === true ? { forcePir: true } : {};
  const standard = { ...(await config.clientOptions(services.standard, base, warn)), ...forced };
  const combined =
    services.combined === undefined
      ? undefined
      : { ...(await config.clientOptions(services.combined, base, warn)), ...forced };
  const { runHarness } = await import("../harness.ts");
  let wrong = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const shown = (user: number, states: readonly { state: string }[]) => {
      const online = states.filter(({ state }) => state === "online").length;
      if (args.show === true) stdout.write(`user ${user}: ${online} of ${states.length} friends online\n`);
    };
    const report =
      combined === undefined
        ? await runHarness({
            ...shared,
            client: standard,
            onLooked: (user, { friends }) => shown(user, friends),
          })
        : await (
            await import("../two-database-harness.ts")
          ).runTwoDatabases({ ...shared, standard, combined });
    line.end();
    wrong += report.wrong;
    if (args.json === true) printJson(stdout, { ok: report.wrong === 0, ...report });
    else printReport(report, call);
  }
  return wrong === 0 ? Exit.ok : Exit.failed;
}

function printReport(report: HarnessReport, { stdout, environment }: Surroundings): void {
  const colors = colorsFor(stdout, environment);
  const row = (name: string, { users, seconds, msPerUser, traffic }: PhaseReport) => [
    name,
    String(users),
    seconds.toFixed(2),
    msPerUser.toFixed(1),
    kibibytes(traffic.sent / Math.max(1, users)),
    kibibytes(traffic.received / Math.max(1, users)),
  ];
  stdout.write(`${report.fastForward}\n`);
  printTable(
    stdout,
    ["PHASE", "USERS", "SECONDS", "MS / USER", "SENT KIB / USER", "RECEIVED KIB / USER"],
    [row("register", report.register), row("look up", report.lookup)],
    colors,
  );
  if (report.downloads > 0)
    stdout.write(`${report.downloads} users fetched the whole database: that was cheaper\n`);
  for (const [server, times] of Object.entries(report.dropped))
    stdout.write(`${colors.yellow("left out:")} ${server}, ${times} times\n`);
  for (const server of report.liars) stdout.write(`${colors.red("lied:")} ${server}\n`);
  const verdict = report.wrong === 0 ? colors.green("all right:") : colors.red(`${report.wrong} wrong:`);
  const deferred = report.deferred === 0 ? "" : `, ${report.deferred} left for the next epoch`;
  stdout.write(`${verdict} ${report.states} states, ${report.online} online${deferred}\n`);
}

const kibibytes = (bytes: number) => (bytes / 1024).toFixed(1);
export const presenceVerb = defineVerb({
  name: "presence",
  summary: "Drive a private presence service with made-up users",
  examples: [
    { command: "node-x presence users 200 users.200", shows: "Make 200 users" },
    {
      command: "node-x presence client servers.cfg users.200",
      shows: "Let them register and look each other up",
    },
  ],
  subVerbs: {
    users: async () => usersVerb,
    client: async () => clientVerb,
  },
});
