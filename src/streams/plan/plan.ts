/**
 * The plan: an application's graph checked, numbered and named by a hash.
 *
 * Invariant: two workers with the same hash run the same steps in the same order, as far as the text of the program tells;
 * a cluster lets nobody else in. Everything that workers say to each other names steps by their numbers here.
 */
import { createHash } from "node:crypto";
import type { App, Builder } from "../api/contract.ts";
import { invalid } from "../api/checks.ts";
import { builderOf, Graph } from "../api/streams.ts";
import { NxError } from "../../core/errors.ts";
import { messageOf, thrownAt } from "../thrown.ts";
import type {
  ExchangeNode,
  GeneratorNode,
  Node,
  SinkNode,
  SourceNode,
  StateNode,
  WindowNode,
} from "./nodes.ts";

export interface Plan {
  readonly appName: string;
  readonly nodes: readonly Node[];
  /** By node number: who takes its records. */
  readonly consumers: readonly (readonly Node[])[];
  readonly sources: readonly (SourceNode | GeneratorNode)[];
  readonly exchanges: readonly ExchangeNode[];
  readonly states: readonly (StateNode | WindowNode)[];
  /** The names of all sinks; a sink may be the end of several streams. */
  readonly sinks: readonly string[];
  readonly sinkNodes: readonly SinkNode[];
  /** Of everything above and the program's text. */
  readonly hash: string;
}

export interface PlanOptions {
  args?: readonly string[];
  /** The program's text, for the hash. */
  text?: string;
  /** The clock that the application sees; it stands still when absent. */
  now?: () => number;
}

/** Throws NX_STREAM_APP_INVALID. */
export function planOf(app: App, { args = [], text = "", now = () => 0 }: PlanOptions = {}): Plan {
  const graph = new Graph();
  build(app, builderOf(graph, args, now));
  const { nodes } = graph;
  const consumers = nodes.map((node) => nodes.filter((other) => other.inputs.includes(node)));
  const sinkNodes = nodes.filter((node) => node.kind === "sink");
  if (sinkNodes.length === 0)
    throw invalid(`the application "${app.name}" has no sink`, "end a stream with .to(a.sink(…))");
  assertNothingDangles(app.name, nodes, consumers);
  return {
    appName: app.name,
    nodes,
    consumers,
    sources: nodes.filter((node) => node.kind === "source" || node.kind === "generator"),
    exchanges: nodes.filter((node) => node.kind === "exchange"),
    states: nodes.filter((node) => node.kind === "state" || node.kind === "window"),
    sinks: [...new Set(sinkNodes.map(({ name }) => name))],
    sinkNodes,
    hash: hashOf(app.name, args, nodes, text),
  };
}

function build(app: App, builder: Builder): void {
  try {
    const made: unknown = app.build(builder);
    if (!(made instanceof Promise)) return;
    made.catch(() => undefined);
  } catch (error) {
    if (error instanceof NxError) throw error;
    throw invalid(
      `the application "${app.name}" threw while it made its pipeline: ${messageOf(error)}${thrownAt(error)}`,
    );
  }
  throw invalid(
    `the function of the application "${app.name}" is async`,
    "it only says what the pipeline is: await what it needs before app(…)",
  );
}

function assertNothingDangles(appName: string, nodes: readonly Node[], consumers: Plan["consumers"]): void {
  for (const node of nodes) {
    // A branch that nobody takes leaves out what goes there.
    if (node.kind === "sink" || node.kind === "branch" || (consumers[node.id] as readonly Node[]).length > 0)
      continue;
    const name = "name" in node ? ` "${node.name}"` : "";
    throw invalid(
      `in the application "${appName}" nobody takes what the ${node.kind}${name} emits`,
      "lead it to a sink, or leave it out",
    );
  }
}

function hashOf(name: string, args: readonly string[], nodes: readonly Node[], sourceText: string): string {
  const shape = nodes.map((node) => [
    node.kind,
    "name" in node ? node.name : "",
    node.inputs.map(({ id }) => id),
    node.kind === "window" ? node.spec : "",
  ]);
  return createHash("sha256")
    .update(JSON.stringify([name, args, shape, sourceText]))
    .digest("hex")
    .slice(0, 32);
}

/** The source whose bytes a record of `node` still is, if steps since then only chose: it can be sent as it came. */
export function rawSourceOf(node: Node): SourceNode | undefined {
  if (node.kind === "source") return node;
  const chooses =
    node.kind === "filter" || node.kind === "branch" || node.kind === "split" || node.kind === "eventTime";
  return chooses ? rawSourceOf(node.inputs[0] as Node) : undefined;
}
