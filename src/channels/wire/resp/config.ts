/** CONFIG GET, SET, RESETSTAT, REWRITE over the parameters that the role offers under Redis' names. */
import type { AdminCall, ConfigParameter } from "./host.ts";
import type { ReplyWriter } from "./reply.ts";

/** A parameter that was asked for by its name is told under the name as it was spelled. */
function get({ host, words }: AdminCall, reply: ReplyWriter): void {
  const asked = words.slice(2).map((word) => word.toString());
  const matching = host.parameters.filter(({ name }) =>
    asked.some((pattern) => host.engine.globMatches(pattern.toLowerCase(), name)),
  );
  const spelled = (name: string) => asked.find((word) => word.toLowerCase() === name) ?? name;
  reply.pairs(matching.map((parameter) => [spelled(parameter.name), parameter.get()]));
}

/** All or nothing: a refused value puts back what was set before it. */
function set({ host, words }: AdminCall, reply: ReplyWriter): void {
  const pairs: { parameter: ConfigParameter; value: string }[] = [];
  if (words.length % 2 !== 0) {
    reply.error("ERR wrong number of arguments for 'config|set' command");
    return;
  }
  for (let index = 2; index < words.length; index += 2) {
    const name = (words[index] as Buffer).toString();
    const parameter = host.parameters.find((known) => known.name === name.toLowerCase());
    if (parameter === undefined) {
      reply.error(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`);
      return;
    }
    const failed = `ERR CONFIG SET failed (possibly related to argument '${name}') - `;
    if (parameter.set === undefined) {
      reply.error(`${failed}can't set immutable config`);
      return;
    }
    if (pairs.some((pair) => pair.parameter === parameter)) {
      reply.error(`${failed}duplicate parameter`);
      return;
    }
    pairs.push({ parameter, value: (words[index + 1] as Buffer).toString() });
  }
  const before = pairs.map(({ parameter }) => parameter.get());
  for (const [index, { parameter, value }] of pairs.entries()) {
    const reason = parameter.set?.(value);
    if (reason === undefined) continue;
    for (const [done, old] of before.slice(0, index).entries()) pairs[done]?.parameter.set?.(old);
    reply.error(`ERR CONFIG SET failed (possibly related to argument '${parameter.name}') - ${reason}`);
    return;
  }
  reply.status("OK");
}

export function configCommand(call: AdminCall, reply: ReplyWriter): void {
  switch (call.words[1]?.toString().toLowerCase()) {
    case "get":
      get(call, reply);
      return;
    case "set":
      set(call, reply);
      return;
    case "resetstat":
      call.host.engine.resetStatistics();
      reply.status("OK");
      return;
    case "rewrite":
      reply.error(
        "ERR the configuration file is not rewritten; edit it and send SIGHUP to have it read again",
      );
      return;
    default:
      reply.help("CONFIG", [
        "GET <pattern> [<pattern> ...]",
        "    Parameters whose names match, with their values.",
        "SET <parameter> <value> [<parameter> <value> ...]",
        "    Change parameters until the next start: all of them, or none.",
        "RESETSTAT",
        "    Begin counting anew for INFO.",
        "REWRITE",
        "    Refused: edit the configuration file instead.",
      ]);
  }
}

const units: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1e6,
  mb: 1024 ** 2,
  g: 1e9,
  gb: 1024 ** 3,
};

/** A memory size as Redis writes it (`100mb`), in bytes, or undefined. */
export function readMemorySize(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,15})([a-z]*)$/i.exec(text) ?? [];
  const factor = units[(unit ?? "").toLowerCase()];
  if (digits === undefined || factor === undefined) return undefined;
  const bytes = Number(digits) * factor;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A parameter that only says how things are. */
export function fixedParameter(name: string, value: string): ConfigParameter {
  return { name, get: () => value };
}
