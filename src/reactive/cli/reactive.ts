/** `node-x reactive`: the tools of the transactional store. */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { readBounded, readSecret } from "../../core/secret-file.ts";
import { type Call, defineVerb, type Surroundings } from "../../core/verb.ts";
import type { WebSocketClass } from "../client/socket.ts";
import type { ShellOutput } from "../shell/shell.ts";

const CONNECT_MS = 5000;
const PEM_BYTES_MAX = 1024 * 1024;

const shellArgs = {
  config: {
    type: "string",
    alias: "c",
    valueHint: "FILE",
    description: "A frontend's configuration, with or without `.config`: its address is taken",
  },
  frontend: {
    type: "string",
    alias: "f",
    valueHint: "URL",
    description: "Address of a frontend; may be repeated. http://127.0.0.1:12355 when nothing says otherwise",
  },
  "token-file": { type: "string", valueHint: "FILE", description: "File with the token to show" },
  ca: {
    type: "string",
    valueHint: "FILE",
    description: "PEM file with the authorities of frontends that have TLS; the system's when absent",
  },
  json: { type: "boolean", description: "One JSON object per result" },
} as const;

const shellVerb = defineVerb({
  name: "shell",
  summary: "Read and write a transactional store from a terminal or a script",
  description:
    "Commands: get, put, delete, add, append, insert, remove, set, list, watch, unwatch, begin, commit, abort, help, exit. Between `begin` and " +
    "`commit` all of them are one transaction; outside each is its own. Without words commands are read from standard input, one " +
    "a line; with words they are the only command. Exit code 1 when one failed.",
  args: shellArgs,
  repeatable: ["frontend"],
  variadic: "COMMAND",
  examples: [
    { command: "node-x reactive shell", shows: "Commands from the terminal, on the local cluster" },
    { command: "node-x reactive shell put greeting hello", shows: "One command" },
    {
      command: "node-x reactive shell -c configs/local.frontend0 get greeting",
      shows: "As the original's shell",
    },
    {
      command:
        "printf 'begin\\nadd clicks 1\\nappend log clicked\\ncommit\\n' | node-x reactive shell --json",
      shows: "A transaction from a script",
    },
    {
      command: "node-x reactive shell watch greeting",
      shows: "The value now, and each time that it changes",
    },
  ],
  async run(call) {
    const [{ connect }, { Shell }] = await Promise.all([import("../client.ts"), import("../shell/shell.ts")]);
    const token = call.args["token-file"];
    const connected = (options: Parameters<typeof connect>[0]) =>
      connect(options).catch((error: unknown) => {
        throw error instanceof TypeError ? new NxError("NX_USAGE", error.message) : error;
      });
    await using client = await connected({
      frontends: await frontendsOf(call),
      timeoutMs: CONNECT_MS,
      ...(call.args.ca !== undefined && {
        WebSocket: trusting(resolve(call.workingDirectory, call.args.ca)),
      }),
      ...(token !== undefined && {
        token: readSecret("--token-file", resolve(call.workingDirectory, token)),
      }),
    });
    const output = call.args.json === true ? await jsonOutput(call) : await textOutput(call);
    const shell = new Shell(client, output);
    try {
      await client.connected();
    } catch (error) {
      throw new NxError("NX_CONNECT_FAILED", `no frontend can be reached: ${(error as Error).message}`, {
        hint: "is one running there, with http or https as it is written, and its authority known here (--ca)?",
      });
    }
    if (call.rest.length > 0) {
      const [name = "", ...words] = call.rest;
      await shell.line([name, ...words.map((word) => JSON.stringify(word))].join(" "));
      // What was begun goes on until the program is ended.
      if (name === "watch" && shell.failures === 0) await new Promise(() => undefined);
    } else
      await readLines(
        call,
        (line) => shell.line(line),
        () => shell.isInTransaction,
      );
    await shell.end();
    return shell.failures === 0 ? Exit.ok : Exit.failed;
  },
});

export const reactiveVerb = defineVerb({
  name: "reactive",
  summary: "Tools of the transactional store",
  subVerbs: { shell: async () => shellVerb },
  examples: [{ command: "node-x reactive shell get greeting", shows: "Read a key" }],
});

/** A WebSocket that trusts the authorities of a file. */
function trusting(path: string): WebSocketClass {
  const ca = readBounded(path, PEM_BYTES_MAX);
  return class extends WebSocket {
    constructor(url: string) {
      // Bun's own second argument, beside the protocols of the standard.
      super(url, { tls: { ca } } as unknown as string[]);
    }
  } as unknown as WebSocketClass;
}

async function frontendsOf(call: Call<typeof shellArgs>): Promise<string[]> {
  const given = call.all("frontend");
  const { config } = call.args;
  if (config === undefined) return given.length > 0 ? given : ["http://127.0.0.1:12355"];
  const [{ loadConfig }, { schemaCatalog }, { statSync }] = await Promise.all([
    import("../../core/config/load.ts"),
    import("../../roles.ts"),
    import("node:fs"),
  ]);
  const { environment, workingDirectory } = call;
  const names = [config, `${config}.config`, `${config}.json`].map((name) => resolve(workingDirectory, name));
  // A directory of the same name has the instance's data.
  const file = names.find((name) => statSync(name, { throwIfNoEntry: false })?.isFile() === true) ?? config;
  const loaded = await loadConfig({ file, environment, sets: [], workingDirectory }, schemaCatalog);
  const { host, httpPort, tls } = loaded.config as { host: string; httpPort?: number; tls?: unknown };
  if (!["frontend", "store"].includes(loaded.role) || httpPort === undefined)
    throw new NxError("NX_USAGE", `${file} configures a ${loaded.role}, not a frontend or a store`);
  const scheme = tls === undefined ? "http" : "https";
  return [...given, `${scheme}://${host.includes(":") ? `[${host}]` : host}:${httpPort}`];
}

async function readLines(
  { stdin, stdout }: Surroundings,
  onLine: (line: string) => Promise<boolean>,
  isInTransaction: () => boolean,
): Promise<void> {
  const prompt = () => stdout.isTty && stdout.write(isInTransaction() ? "transaction> " : "> ");
  const decoder = new TextDecoder();
  let kept = "";
  prompt();
  for await (const chunk of stdin?.() ?? []) {
    const lines = (kept + decoder.decode(chunk, { stream: true })).split("\n");
    kept = lines.pop() ?? "";
    for (const line of lines) {
      if (!(await onLine(line))) return;
      prompt();
    }
  }
  if (kept !== "") await onLine(kept);
}

async function jsonOutput({ stdout, stderr }: Surroundings): Promise<ShellOutput> {
  const { toJson } = await import("../frontend/json.ts");
  const write = (object: object) => stdout.write(`${JSON.stringify(object)}\n`);
  return {
    results(results, timestamp) {
      for (const result of results)
        write(
          "value" in result
            ? { key: result.key, value: toJson(result.value), timestamp }
            : { ...result, timestamp },
        );
    },
    listed(entries, isMore) {
      for (const { key, value } of entries) write({ key, value: toJson(value) });
      if (isMore) write({ isMore });
    },
    said: (text) => write({ said: text }),
    failed(message) {
      write({ error: message });
      stderr.write(`error: ${message}\n`);
    },
  };
}

async function textOutput({ stdout, stderr }: Surroundings): Promise<ShellOutput> {
  const { textOf: plain, visible } = await import("../shell/text.ts");
  const safe = (text: string) => (stdout.isTty ? visible(text) : text);
  const textOf = (value: Parameters<typeof plain>[0]) => safe(plain(value));
  return {
    results(results) {
      for (const result of results) {
        const shown = "value" in result ? textOf(result.value) : "ok";
        stdout.write(results.length > 1 ? `${safe(result.key)}\t${shown}\n` : `${shown}\n`);
      }
    },
    listed(entries, isMore) {
      for (const { key, value } of entries) stdout.write(`${safe(key)}\t${textOf(value)}\n`);
      if (isMore) stderr.write("there are more\n");
    },
    said: (text) => void stdout.write(`${text}\n`),
    failed: (message) => void stderr.write(`error: ${message}\n`),
  };
}
