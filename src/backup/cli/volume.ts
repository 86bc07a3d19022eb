/** `node-x walb volume`: makes, lists, grows and removes the volumes of a storage that runs. */
import { NxError } from "../../core/errors.ts";
import { alignColumns, printJson } from "../../core/print.ts";
import { type Call, defineVerb, type Verb } from "../../core/verb.ts";
import { sizeText } from "../formats/units.ts";
import { connectController, globalOptions, recordsOf } from "./controller.ts";
import { parseOptions } from "./options.ts";

/** A log is written once from end to end when it is made, for which a slow disk takes its time. */
const STORAGE = { host: "127.0.0.1", port: 13000, silenceSeconds: 3600 };
const LOG_SIZE = "1G";
const where = "-a HOST -p PORT of the storage (127.0.0.1 13000)";

async function ask(
  call: Call,
  verb: string,
  least: number,
  usage: string,
): Promise<{ lines: string[]; isJson: boolean }> {
  const options = parseOptions(call.rest, globalOptions);
  const { words } = options;
  if (words.length < least) throw new NxError("NX_USAGE", `too few words: wanted ${usage}`);
  const controller = await connectController(options, call.environment, STORAGE);
  const given = verb === "create" && words.length === 2 ? [...words, LOG_SIZE] : words;
  return { lines: await controller.volumes([verb, ...given]), isJson: options.has("json") };
}

function subVerb(
  name: string,
  summary: string,
  usage: string,
  least: number,
  example: string,
): () => Promise<Verb> {
  return async () =>
    defineVerb({
      name,
      summary,
      description: `${usage}; ${where}.`,
      passesOptions: true,
      examples: [{ command: `node-x walb volume ${name} ${example}`.trim(), shows: summary }],
      async run(call) {
        await ask(call, name, least, usage);
        return 0;
      },
    });
}

const columns = ["name", "size", "log_size", "log_usage", "clients", "backup", "trouble"] as const;

const list = defineVerb({
  name: "list",
  summary: "List the volumes: sizes, use of the log, NBD clients, backup, trouble",
  description: `-json; ${where}.`,
  passesOptions: true,
  examples: [{ command: "node-x walb volume list", shows: "List the volumes" }],
  async run(call) {
    const { lines, isJson } = await ask(call, "list", 0, "");
    const rows = recordsOf(lines) ?? [];
    if (isJson) {
      printJson(call.stdout, rows);
      return 0;
    }
    const cells = rows.map((row) =>
      columns.map((column) => {
        const value = row[column] ?? "";
        return column.startsWith("log_") ? sizeText(Number(value)) : value;
      }),
    );
    const heads = columns.map((column) => column.replace("_", " ").toUpperCase());
    call.stdout.write(`${alignColumns([heads, ...cells]).join("\n")}\n`);
    return 0;
  },
});

export const volumeVerb = defineVerb({
  name: "volume",
  summary: "Make, list, grow and remove the volumes of a storage that runs",
  examples: [
    { command: "node-x walb volume create vol2 10G 1G", shows: "A volume of 10 GiB with a log of 1 GiB" },
    { command: "node-x walb volume list", shows: "List the volumes" },
  ],
  subVerbs: {
    create: subVerb(
      "create",
      "Make a volume, of zeros or of a block device of the storage's host; it is an NBD export at once",
      `NAME SIZE|/dev/DEVICE [LOGSIZE] (${LOG_SIZE})`,
      2,
      "vol2 10G 1G",
    ),
    list: async () => list,
    resize: subVerb(
      "resize",
      "Grow a volume; clients see it when they connect again",
      "NAME SIZE",
      2,
      "vol2 20G",
    ),
    delete: subVerb("delete", "Remove a volume and its log; nobody may use it", "NAME", 1, "vol2"),
  },
});
