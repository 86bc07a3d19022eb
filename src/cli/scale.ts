/** `node-x scale`: what a family would do on many hosts, from the costs that one machine was measured to have. */
import { nearest } from "../core/config/nearest.ts";
import { NxError } from "../core/errors.ts";
import { colorsFor, printJson, printTable } from "./print.ts";
import { type Call, defineVerb } from "./verb.ts";

const args = {
  family: { type: "string", description: "Only this one: channels, reactive, backup …", valueHint: "NAME" },
  hosts: { type: "string", description: "Numbers of hosts (1,10,100,1000)", valueHint: "N[,N…]" },
  set: {
    type: "string",
    description: "Another value of a cost, NAME=VALUE; may be repeated",
    valueHint: "NAME=VALUE",
  },
  seed: { type: "string", description: "Seed of the simulation (1)", valueHint: "N" },
  costs: { type: "boolean", description: "Print the costs and where they come from" },
  measured: { type: "boolean", description: "Simulate one machine and compare with what was measured" },
  json: { type: "boolean", description: "Print JSON" },
} as const;

const HOSTS_MAX = 10_000;

function integerOf(text: string, what: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new NxError("NX_USAGE", `${what}: wanted a number from ${least} to ${most}, got "${text}"`);
}

async function valuesOf(sets: readonly string[]) {
  const { costs, costValues } = await import("../scale/costs.ts");
  const changed: Record<string, number> = {};
  for (const text of sets) {
    const match = /^([A-Za-z]+)=(\d{1,15}(?:\.\d{1,9})?)$/.exec(text);
    const [, name = "", value = ""] = match ?? [];
    if (!Object.hasOwn(costs, name)) {
      const suggestion = nearest(name, Object.keys(costs));
      const hint =
        suggestion === undefined ? "`node-x scale --costs` lists them" : `did you mean "${suggestion}"?`;
      throw new NxError("NX_USAGE", `--set ${text}: wanted COST=NUMBER`, { hint });
    }
    changed[name] = Number(value);
  }
  return costValues(changed);
}

async function familiesOf(name: string | undefined) {
  const { scaleFamilies } = await import("../scale/families.ts");
  if (name === undefined) return scaleFamilies;
  const found = scaleFamilies.filter((family) => family.name === name);
  if (found.length > 0) return found;
  const names = scaleFamilies.map((family) => family.name);
  throw new NxError("NX_USAGE", `there is no family "${name}"`, {
    hint: `wanted one of ${names.join(", ")}`,
  });
}

async function printCosts({ stdout, environment, args: { json } }: Call<typeof args>): Promise<void> {
  const { costs } = await import("../scale/costs.ts");
  if (json) return void printJson(stdout, costs);
  const rows = Object.entries(costs).map(([name, { value, unit, of, source }]) => [
    name,
    `${value.toLocaleString("en-US", { maximumFractionDigits: 4 })} ${unit}`,
    of,
    source,
  ]);
  printTable(stdout, ["COST", "VALUE", "OF", "FROM"], rows, colorsFor(stdout, environment));
}

async function printMeasured(call: Call<typeof args>): Promise<void> {
  const { stdout, environment, args: given } = call;
  const [{ compared }, { figureText, percentText }] = await Promise.all([
    import("../scale/run.ts"),
    import("../scale/text.ts"),
  ]);
  const costs = await valuesOf(call.all("set"));
  const results = (await familiesOf(given.family)).flatMap(({ name, unit, measured }) =>
    measured.map((each) => ({ family: name, unit, ...compared(each, costs) })),
  );
  if (given.json) {
    const plain = results.map(({ family, unit, simulated, deviation, measured }) => ({
      ...{ family, unit: measured.figure?.unit ?? unit, what: measured.what, source: measured.source },
      ...{ measured: measured.value, simulated, deviation, tolerance: measured.tolerance },
    }));
    return void printJson(stdout, plain);
  }
  const rows = results.map(({ family, unit, simulated, deviation, measured }) => [
    ...[
      family,
      measured.what,
      `${figureText(measured.value)} ${measured.figure?.unit ?? unit}`,
      figureText(simulated),
    ],
    `${deviation < 0 ? "-" : "+"}${percentText(Math.abs(deviation))}`,
  ]);
  printTable(
    stdout,
    ["FAMILY", "WHAT", "MEASURED", "SIMULATED", "AWAY"],
    rows,
    colorsFor(stdout, environment),
  );
}

async function printScaled(call: Call<typeof args>): Promise<void> {
  const { stdout, environment, args: given } = call;
  const [{ scaled, SEED, SIZES }, { SCALED_HEAD, scaledRow }] = await Promise.all([
    import("../scale/run.ts"),
    import("../scale/text.ts"),
  ]);
  const costs = await valuesOf(call.all("set"));
  const seed = given.seed === undefined ? SEED : integerOf(given.seed, "--seed", 0, 2 ** 31);
  const sizes = given.hosts?.split(",").map((text) => integerOf(text, "--hosts", 1, HOSTS_MAX)) ?? SIZES;
  const results = (await familiesOf(given.family)).flatMap((family) =>
    sizes.map((hosts) => scaled(family, hosts, costs, seed)),
  );
  if (given.json) return void printJson(stdout, results);
  const head = ["FAMILY", "UNIT", ...SCALED_HEAD.map((each) => each.toUpperCase())];
  const rows = results.map((each) => [each.family, each.unit, ...scaledRow(each)]);
  printTable(stdout, head, rows, colorsFor(stdout, environment));
}

export const scaleVerb = defineVerb({
  name: "scale",
  summary: "What a family would do on 10, 100 or 1,000 hosts, simulated from measured costs",
  description:
    "Plays the costs of one machine through queues, from one seed. Nothing is connected to. docs/SCALE.md says what the figures mean and what is not in them",
  args,
  repeatable: ["set"],
  examples: [
    { command: "node-x scale", shows: "Every family at four sizes" },
    {
      command: "node-x scale --family reactive --hosts 10,25,50",
      shows: "Where the timestamp servers saturate",
    },
    {
      command: "node-x scale --family channels --set cores=16 --set networkBytes=3125000000",
      shows: "Other hosts",
    },
    { command: "node-x scale --measured", shows: "The simulation beside what was measured" },
    { command: "node-x scale --costs --json", shows: "Every cost with the command that measured it" },
  ],
  async run(call) {
    if (call.args.costs) await printCosts(call);
    else if (call.args.measured) await printMeasured(call);
    else await printScaled(call);
    return 0;
  },
});
