/**
 * `node-x bench`: a role's own load generator. Its options are the role's; `node-x bench dht --help` shows
 * them.
 */
import { NxError } from "../core/errors.ts";
import { roleEntry, roleNames } from "../roles.ts";
import { defineVerb } from "./verb.ts";

export const benchVerb = defineVerb({
  name: "bench",
  summary: "Measure a role with its load generator: throughput and latency percentiles",
  args: { role: { type: "positional", required: true, description: "A role (`node-x roles`)" } },
  passesOptions: true,
  examples: [
    { command: "node-x bench dht --help", shows: "Show what the load generator of a role accepts" },
    {
      command: "node-x bench dht --seconds 30",
      shows: "Measure the dht node of this host for half a minute",
    },
    {
      command: "node-x bench dht --json figures.json --chart latency.svg",
      shows: "Keep the figures for programs, and a chart for people",
    },
    { command: "node-x bench queue --rate 5000", shows: "Measure the queue node at a fixed load" },
  ],
  async run({ args, rest, stdout, stderr }) {
    const role = await roleEntry(args.role).load();
    if (role.bench === undefined) {
      const loaded = await Promise.all(roleNames.map((name) => roleEntry(name).load()));
      const able = loaded.filter(({ bench }) => bench !== undefined).map(({ name }) => name);
      throw new NxError("NX_USAGE", `role ${role.name} has no load generator`, {
        hint: `these have one: ${able.join(", ")}`,
      });
    }
    const { default: bench } = await role.bench();
    // Ctrl-C ends the run early, with a report of what was measured; a second one ends the process.
    const interruption = new AbortController();
    const interrupt = () => interruption.abort();
    process.once("SIGINT", interrupt);
    try {
      return await bench(rest, { stdout, stderr, interrupted: interruption.signal });
    } finally {
      process.off("SIGINT", interrupt);
    }
  },
});
