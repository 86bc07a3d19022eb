/** `node-x channels`: what concerns a whole system of nodes. */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { colorsFor, printJson, printTable } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import type { Phase } from "../redistribute/run.ts";

const json = { type: "boolean", description: "Print JSON" } as const;
const digits = (value: bigint) => value.toString(16).padStart(16, "0");

const redistributeVerb = defineVerb({
  name: "redistribute",
  summary: "Divide the hash space anew among dht nodes, while they serve",
  description:
    "Each node of the file gets an equal part, in the order of the file; a node that leaves gives everything away. Records move while " +
    "clients read and write; clients that know neo or this program's library notice nothing. It may be interrupted: run it again.",
  args: {
    nodes: {
      type: "string",
      valueHint: "FILE",
      required: true,
      description: "Nodes file: one address:port of the legacy protocol per line",
    },
    leaving: {
      type: "string",
      valueHint: "ADDRESS:PORT",
      description: "A node that shall own nothing; may be repeated",
    },
    ca: {
      type: "string",
      valueHint: "FILE",
      description: "PEM file with the authorities of the nodes' certificates: calls them with TLS",
    },
    cert: {
      type: "string",
      valueHint: "FILE",
      description: "With --ca: PEM file with a certificate for nodes that want one",
    },
    key: { type: "string", valueHint: "FILE", description: "PEM file with its private key" },
    "dry-run": { type: "boolean", description: "Show the ranges as they are and as they would be" },
    json,
  },
  repeatable: ["leaving"],
  examples: [
    { command: "node-x channels redistribute --nodes etc/dht.nodes --dry-run", shows: "Look first" },
    { command: "node-x channels redistribute --nodes etc/dht.nodes", shows: "Take new nodes of the file in" },
    {
      command: "node-x channels redistribute --nodes etc/dht.nodes --leaving 10.0.0.4:10000",
      shows: "Empty a node",
    },
    {
      command: "node-x channels redistribute --nodes etc/dht.nodes --ca tls/ca.crt",
      shows: "Nodes that speak TLS",
    },
  ],
  async run(call) {
    const { args, workingDirectory, stdout, stderr, environment } = call;
    const [
      { parseAddress, parseNodesFile },
      { equalParts },
      { readNodes, redistributeSystem },
      { realWorld },
      { readBounded, readNamed, readPrivateFile },
    ] = await Promise.all([
      import("../client/nodes-file.ts"),
      import("../redistribute/plan.ts"),
      import("../redistribute/run.ts"),
      import("../../core/seams/world-real.ts"),
      import("../../core/secret-file.ts"),
    ]);
    const path = resolve(workingDirectory, args.nodes);
    const leaving = call.all("leaving").map((text) => parseAddress(text, "--leaving"));
    const isLeaving = ({ host, port }: { host: string; port: number }) =>
      leaving.some((other) => other.host === host && other.port === port);
    const text = readNamed("--nodes", path, 1 << 20);
    const staying = parseNodesFile(text, args.nodes).filter((node) => !isLeaving(node));
    if (staying.length === 0) throw new NxError("NX_USAGE", "no node would be left");
    const pem = (name: "ca" | "cert", from: string | undefined) =>
      from === undefined ? {} : { [name]: readBounded(resolve(workingDirectory, from), 1 << 20) };
    const own =
      args.key === undefined ? {} : { key: readPrivateFile(resolve(workingDirectory, args.key), 1 << 20) };
    const tls = { ...pem("ca", args.ca), ...pem("cert", args.cert), ...own };
    const nodes = equalParts(staying, leaving).map((node) => ({
      ...node,
      ...(args.ca !== undefined && { tls }),
    }));
    const { net, clock } = realWorld();
    const show = async (wanted: boolean) => {
      const states = await readNodes(net, nodes);
      const rows = states.map(({ host, port, range, target, records }) => ({
        node: `${host}:${port}`,
        min: digits(range.min),
        max: digits(range.max),
        targetMin: digits(target.min),
        targetMax: digits(target.max),
        records,
      }));
      if (args.json) return rows;
      const header = ["NODE", "RANGE", wanted ? "WANTED" : "", "RECORDS"].filter((name) => name !== "");
      const lines = rows.map(({ node, min, max, targetMin, targetMax, records }) => [
        node,
        `${min}-${max}`,
        ...(wanted ? [`${targetMin}-${targetMax}`] : []),
        String(records),
      ]);
      printTable(stdout, header, lines, colorsFor(stdout, environment));
      return rows;
    };
    if (args["dry-run"]) {
      const rows = await show(true);
      if (args.json) printJson(stdout, { ok: true, nodes: rows });
      return Exit.ok;
    }
    await redistributeSystem({
      net,
      clock,
      nodes,
      onPhase: (phase) => stderr.write(`${phaseTexts[phase]}\n`),
      onProgress: (records) =>
        stderr.write(`  ${records.map((each) => `${each.node}: ${each.records}`).join("  ")}\n`),
    });
    const rows = await show(false);
    if (args.json) printJson(stdout, { ok: true, nodes: rows });
    return Exit.ok;
  },
});

const phaseTexts: Record<Phase, string> = {
  shrink: "1 of 4: every node gives up what it shall not own",
  grow: "2 of 4: every node takes what it shall own",
  move: "3 of 4: records move",
  settle: "4 of 4: nodes hear that all have arrived",
};

const promoteVerb = defineVerb({
  name: "promote",
  summary: "Let a mirror take the place of the node that it mirrors",
  description:
    "The mirror stops following and takes writes, also after a restart. What it may lack is printed: with mirror.isSync nothing that " +
    "was acknowledged. Make sure that the other node is down and stays down.",
  args: {
    dir: { type: "positional", required: true, description: "The data directory of the mirror, which runs" },
    force: { type: "boolean", description: "Even if it never had a full copy" },
    json,
  },
  examples: [
    {
      command: "node-x channels promote /srv/dht/mirror/data",
      shows: "The node is gone: go on with the mirror",
    },
  ],
  async run({ args, workingDirectory, stdout }) {
    const { adminPost } = await import("../../core/admin-client.ts");
    const socket = resolve(workingDirectory, args.dir, "admin.sock");
    const { status, body } = await adminPost(
      socket,
      args.force ? "/promote?force=1" : "/promote",
      undefined,
      10_000,
    );
    const answer = JSON.parse(body) as {
      error?: string;
      hint?: string;
      missingBytes: number;
      silentMs: number;
    };
    if (status !== 200)
      throw new NxError(
        "NX_NOT_READY",
        answer.error ?? body,
        answer.hint === undefined ? {} : { hint: answer.hint },
      );
    if (args.json) printJson(stdout, { ok: true, ...answer });
    else
      stdout.write(
        `promoted. Announced by the other node and not here: ${answer.missingBytes} bytes of changes; ` +
          `it was heard last ${answer.silentMs} ms ago, and what it did since is not here either\n`,
      );
    return Exit.ok;
  },
});

export const channelsVerb = defineVerb({
  name: "channels",
  summary: "Do something with a whole system of nodes: divide the hash space anew, promote a mirror",
  examples: [
    { command: "node-x channels redistribute --nodes etc/dht.nodes", shows: "Give each node an equal part" },
  ],
  subVerbs: { redistribute: async () => redistributeVerb, promote: async () => promoteVerb },
});
