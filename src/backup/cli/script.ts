/**
 * `node-x walb script` and `walb shell`: TypeScript of the operator's own, with the controller's library as `node-x/walb`.
 *
 * A configuration is a file that exports a layout and a controller (configs/walb-config.ts); scripts import it, the shell
 * has its exports as variables. Nothing is kept: what a script does, it does on the servers.
 */
import { resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import { defineVerb, type Output, type Surroundings } from "../../core/verb.ts";

type Exports = Record<string, unknown>;

/** Makes the library importable by files outside the executable. */
async function offerLibrary(): Promise<void> {
  const library = await import("../client/group/library.ts");
  Bun.plugin({
    name: "node-x/walb",
    setup(build) {
      build.module("node-x/walb", () => ({ exports: { ...library }, loader: "object" }));
    },
  });
}

async function load({ workingDirectory }: Surroundings, file: string): Promise<Exports> {
  await offerLibrary();
  const path = resolve(workingDirectory, file);
  try {
    return (await import(path)) as Exports;
  } catch (error) {
    if (error instanceof NxError) throw error;
    throw new NxError("NX_INPUT_INVALID", `${path}: ${(error as Error).message}`, {
      hint: 'it is TypeScript that imports from "node-x/walb"; configs/walb-config.ts is one',
    });
  }
}

/** What a person wants to see of a value. */
function shown(value: unknown): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : Bun.inspect(value);
  return text.endsWith("\n") ? text : `${text}\n`;
}

/** Variables of a shell: those of the configuration, then those that lines have set, then the language's own. */
function scopeOf(exports: Exports): Exports {
  const own: Exports = { ...exports };
  return new Proxy(own, {
    has: () => true,
    get: (_target, key) =>
      typeof key === "symbol" ? undefined : key in own ? own[key] : (globalThis as Exports)[key],
    set: (_target, key, value) => {
      own[key as string] = value;
      return true;
    },
  });
}

/** Runs one line in a scope. A promise is awaited, so calls need no `await`. */
async function evaluate(line: string, scope: Exports): Promise<unknown> {
  const code = line
    .trim()
    .replace(/;+$/, "")
    .replace(/^(?:const|let|var)\s+(?=[A-Za-z_$][\w$]*\s*=)/, "");
  const compile = (body: string) =>
    new Function("scope", `with (scope) { return (async () => { ${body} })(); }`) as (
      scope: Exports,
    ) => unknown;
  let run: (scope: Exports) => unknown;
  try {
    run = compile(`return await (${code}\n);`);
  } catch {
    run = compile(code);
  }
  return await run(scope);
}

async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of input) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

function printError(output: Output, error: unknown): void {
  const { message, hint } = error as { message: string; hint?: string };
  output.write(`error: ${message}\n${hint === undefined ? "" : `  ${hint}\n`}`);
}

const FILE = { type: "positional", required: true } as const;

export const scriptVerb = defineVerb({
  name: "script",
  summary: "Run a script that controls a backup group",
  description:
    'The file is TypeScript and imports Server, ServerLayout, Controller and the rest of the original\'s library from "node-x/walb". If it exports a function by default, that is called with the words behind the file. -c CODE runs one line with the exports of the file as variables and prints its value.',
  args: { file: { ...FILE, description: "The script, or a configuration for -c" } },
  passesOptions: true,
  examples: [
    {
      command: "node-x walb script configs/walb-config.ts -c 'sLayout.to_cmd_string()'",
      shows: "Print the command lines that start every server of a group",
    },
  ],
  async run(call) {
    const exports = await load(call, call.args.file);
    const [first, code, ...more] = call.rest;
    if (first === "-c" || first === "--code") {
      if (code === undefined || more.length > 0)
        throw new NxError("NX_USAGE", "wanted: -c and one line of code");
      call.stdout.write(shown(await evaluate(code, scopeOf(exports))));
      return 0;
    }
    if (typeof exports.default === "function")
      call.stdout.write(shown(await (exports.default as (words: string[]) => unknown)(call.rest)));
    return 0;
  },
});

export const shellVerb = defineVerb({
  name: "shell",
  summary: "Control a backup group line by line",
  description:
    "Each line is an expression with the exports of the configuration as variables, such as walbc.get_state_all('vol1'). Calls need no await; what a line sets is there for the next one. It ends with the input, or with exit.",
  args: {
    file: {
      ...FILE,
      description: "The configuration: a file that exports servers, a layout and a controller",
    },
  },
  examples: [{ command: "node-x walb shell configs/walb-config.ts", shows: "Begin a session" }],
  async run(call) {
    const exports = await load(call, call.args.file);
    const scope = scopeOf(exports);
    const { stdin, stdout, stderr } = call;
    const prompt = stdout.isTty ? "walb> " : "";
    if (stdout.isTty) stdout.write(`${Object.keys(exports).join(", ")}\n`);
    let failed = 0;
    stdout.write(prompt);
    for await (const line of linesOf(stdin?.() ?? (async function* () {})())) {
      if (/^\s*(exit|quit)\s*$/.test(line)) break;
      if (line.trim() !== "") {
        try {
          stdout.write(shown(await evaluate(line, scope)));
        } catch (error) {
          failed += 1;
          printError(stderr, error);
        }
      }
      stdout.write(prompt);
    }
    // A person has seen the errors; a program must hear of them.
    return failed > 0 && !stdout.isTty ? 1 : 0;
  },
});
