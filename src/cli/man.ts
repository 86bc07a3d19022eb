/**
 * `node-x man`: the manual page in mdoc(7), made from the tree of verbs, the error table and the roles.
 *
 *   node-x man | man -l -
 */
import { errorKinds, Exit } from "../core/errors.ts";
import { leafVerbs } from "./commands-page.ts";
import { optionWords, usageLine } from "./help.ts";
import { wrap } from "./print.ts";
import { defineVerb, type Verb } from "./verb.ts";

/** The page's date: that of the release, so that the same release always prints the same page. */
const PAGE_DATE = "November 25, 2026";

const exitMeanings: Record<keyof typeof Exit, string> = {
  ok: "Success.",
  failed: "A check that was asked for did not pass.",
  workToDo: "A plan has work to do.",
  usage: "The command line is not understood.",
  dataError: "Stored data is damaged.",
  unavailable: "A peer, an instance or a program is not there.",
  internal: "A broken assumption inside node-x.",
  cannotCreate: "A file or directory cannot be created.",
  ioError: "Reading or writing failed.",
  temporary: "In use; try again later.",
  denied: "Not permitted.",
  config: "The configuration has mistakes.",
};

/** Text that roff prints as it is. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** One line per sentence, as mdoc wants it, broken before 80 columns. */
function sentences(text: string): string[] {
  const lines = (paragraph: string) =>
    paragraph.split(/(?<=[.!?]) (?=[A-Z])/).flatMap((sentence) => wrap(sentence, 72).map(roff));
  return text
    .split("\n\n")
    .flatMap((paragraph, index) => [...(index > 0 ? [".Pp"] : []), ...lines(paragraph)]);
}

function verbSection(verb: Verb, path: readonly string[]): string[] {
  const lines = [
    `.Ss ${roff(path.join(" "))}`,
    ".Bd -literal -compact",
    roff(usageLine(verb, path)),
    ".Ed",
    ".Pp",
    ...sentences(`${verb.summary}.`),
  ];
  if (verb.description !== "") lines.push(".Pp", ...sentences(verb.description));
  const args = Object.entries(verb.args);
  if (args.length > 0) {
    lines.push(".Bl -tag -width Ds");
    for (const [name, definition] of args) {
      const words = definition.type === "positional" ? name.toUpperCase() : optionWords(name, definition);
      lines.push(`.It ${roff(words)}`, ...sentences(definition.description ?? ""));
    }
    lines.push(".El");
  }
  lines.push(
    ".Pp",
    verb.examples.length > 1 ? "Examples:" : "Example:",
    ".Bd -literal -offset indent -compact",
    ...verb.examples.map((example) => roff(example.command)),
    ".Ed",
  );
  return lines;
}

/** The whole page. */
export async function manPage(root: Verb): Promise<string> {
  const lines = [
    `.Dd ${PAGE_DATE}`,
    ".Dt NODE-X 1",
    ".Os",
    ".Sh NAME",
    ".Nm node-x",
    ".Nd one executable that runs your servers, and deploys itself",
    ".Sh SYNOPSIS",
    ".Nm",
    ".Ar verb",
    ".Op Ar options",
    ".Sh DESCRIPTION",
    ".Nm",
    "runs server roles.",
    "The first word picks what to do;",
    ".Fl \\-help",
    "after any verb shows what it accepts.",
    "Errors go to standard error with what, where, what to do and a stable code.",
    ".Sh COMMANDS",
  ];
  for await (const { verb, path } of leafVerbs(root)) lines.push(...verbSection(verb, path));
  lines.push(".Sh ENVIRONMENT", ".Bl -tag -width Ds");
  lines.push(
    ".It Ev NODE_X_<ROLE>_<KEY>",
    ...sentences(
      "Sets a configuration key of a role: adminPort of role dht is NODE_X_DHT_ADMIN_PORT. It overrules the file and is overruled by --set.",
    ),
  );
  lines.push(
    ".It Ev NO_COLOR",
    "No colours.",
    ".It Ev NODE_X_TRACE",
    "With value 1, errors show where in the program they arose.",
    ".El",
  );
  lines.push(".Sh FILES", ".Bl -tag -width Ds");
  lines.push(
    ".It Pa prefix.<role><n>.json",
    ...sentences("Configuration of one instance of a cluster. JSON with comments."),
  );
  lines.push(".It Pa <dataDir>/admin.sock", "The admin endpoint of a running instance.");
  lines.push(".It Pa <dataDir>/ports.json", "The ports that a running instance listens on.", ".El");
  lines.push(".Sh EXIT STATUS", ".Bl -tag -width Ds");
  for (const [name, code] of Object.entries(Exit))
    lines.push(`.It ${code}`, ...sentences(exitMeanings[name as keyof typeof Exit]));
  lines.push(".El", ".Sh DIAGNOSTICS", ".Bl -diag");
  for (const [code, kind] of Object.entries(errorKinds))
    lines.push(`.It ${code}`, ...sentences(kind.meaning));
  lines.push(".El");
  return `${lines.join("\n")}\n`;
}

export const manVerb = defineVerb({
  name: "man",
  summary: "Print the manual page (mdoc)",
  examples: [
    { command: "node-x man | man -l -", shows: "Read it" },
    { command: "node-x man > /usr/local/share/man/man1/node-x.1", shows: "Install it" },
  ],
  async run({ stdout }) {
    const { rootVerb } = await import("./main.ts");
    stdout.write(await manPage(rootVerb));
    return 0;
  },
});
