/**
 * A conversation with the agent of a host: a child of this process for the operator's own machine, ssh for
 * all others.
 *
 * Invariant: whoever gets an `AgentClient` talks to an agent in the wanted deployment, on a host whose key was
 * checked. It is one of the same protocol; only callers who change nothing, or kill, also take one of another. A
 * host without an agent, or with one of another protocol, is given this executable first, if the caller allows
 * it and the executable can run there.
 */
import { isLoopback } from "../../core/config/schema.ts";
import { errnoOf, NxError } from "../../core/errors.ts";
import { AgentClient } from "../agent/client.ts";
import { AGENT_PROTOCOL, OLDEST_PROTOCOL, type Result } from "../agent/messages.ts";
import { agentExecutable } from "../topology/layout.ts";
import type { Host } from "../topology/types.ts";
import { mebibytesText, percentText } from "../release/upload.ts";
import { absentAgent } from "./absent-agent.ts";
import { bootAnswer, bootInput, REMOTE_COMMAND, type BootAnswer } from "./bootstrap.ts";
import { spawnStream, type ChildStream } from "./child.ts";
import { sshCommand, type SshAccess } from "./command.ts";
import { failureOf, SSH_FAILED, sshError } from "./failures.ts";
import { introduce, pinnedHostsFile, type ConfirmKeys, type HostKeyOptions } from "./host-keys.ts";

/** The executable that a host without agent is given. */
export interface AgentExecutable {
  sha256: string;
  /** All of it, in pieces. */
  readonly plain: readonly Uint8Array[];
  /** Its gzip stream, in pieces. */
  readonly gzip: readonly Uint8Array[];
  /** By machine (`machineId`): the copy there, once it has arrived; undefined when it did not. */
  readonly copies: Map<string, Promise<InstalledCopy | undefined>>;
  /** Why it cannot run on such a host; undefined when it can. */
  whyUnfit(machine: string, libc: string): string | undefined;
}

export interface InstalledCopy {
  path: string;
  inode: string;
}

export interface ConnectOptions extends HostKeyOptions {
  prefix: string;
  /** The agent on this machine: `[executable, "agent", "--stdio"]`. */
  localAgent: readonly string[];
  /** Given to hosts that have no agent; without it they are refused with NX_NOT_RUNNING. */
  executable?: AgentExecutable;
  /** Nothing is brought anywhere: a host without agent counts as an empty one. */
  isReadOnly?: boolean;
  /** Only what agents of every version understand is asked (messages.ts, OLDEST_PROTOCOL). */
  takesAnyProtocol?: boolean;
  confirmKeys?: ConfirmKeys;
  /** What takes long, and how far it is. */
  onProgress?(host: string, phase: string, detail: string): void;
}

/**
 * Throws NX_HOST_UNREACHABLE, NX_HOST_KEY_UNKNOWN, NX_HOST_KEY_CHANGED, NX_HOST_DENIED, NX_EXECUTABLE_UNFIT
 * and others.
 */
export async function connectAgent(host: Host, options: ConnectOptions): Promise<AgentClient> {
  if (host.access.kind === "local") {
    const client = clientOf(host.name, spawnStream(options.localAgent, options.environment));
    return greet(client, host, options);
  }
  const door = await openDoor(host, host.access, options);
  const removed = new Set<Obstacle["kind"]>();
  for (;;) {
    const child = door.run();
    await child.write(bootInput(host.workingDirectory, { task: "agent" })).catch(() => undefined);
    const client = clientOf(host.name, child);
    try {
      return await greet(client, host, options);
    } catch (error) {
      client.close();
      const obstacle = obstacleOf(host, error);
      if (obstacle === undefined || removed.has(obstacle.kind)) throw error;
      removed.add(obstacle.kind);
      if (
        obstacle.kind === "no-agent" &&
        options.isReadOnly === true &&
        obstacle.instead?.kind === "missing"
      ) {
        return absentAgent(host, obstacle.instead);
      }
      if (obstacle.kind === "key-unknown") await introduce(host, host.access, options, options.confirmKeys);
      else await install(host, door, obstacle.instead, options);
    }
  }
}

interface Door {
  run(): ChildStream;
}

async function openDoor(host: Host, access: SshAccess, options: ConnectOptions): Promise<Door> {
  const knownHostsFile =
    host.hostKeys.length === 0 ? undefined : await pinnedHostsFile(host, access, options);
  const command = sshCommand(access, options.settings, REMOTE_COMMAND, {
    ...(knownHostsFile !== undefined && { knownHostsFile }),
  });
  return { run: () => spawnStream(command, options.environment) };
}

/** What is there instead of an agent that we can talk to: the script's words, one of another protocol, or neither. */
type Instead = BootAnswer | ({ kind: "other" } & Result<"hello">) | undefined;

class NoAgent extends Error {
  readonly instead: Instead;

  constructor(instead: Instead) {
    super("there is no agent");
    this.instead = instead;
  }
}

function clientOf(host: string, child: ChildStream): AgentClient {
  return new AgentClient(host, child, async (noise) => {
    const status = await child.exited;
    const answer = bootAnswer(noise);
    if (answer !== undefined) return new NoAgent(answer);
    const stderr = child.stderr();
    if (status === SSH_FAILED && noise.trim() === "") return sshError(host, stderr);
    const words = [stderr.split("\n").at(-1), noise.trim().slice(0, 200)].filter(Boolean).join("; ");
    return new NxError(
      "NX_HOST_LOST",
      `${host}: the connection ended (${status})${words === "" ? "" : `: ${words}`}`,
      {
        hint: "the same command finds out what was done and goes on",
      },
    );
  });
}

async function greet(client: AgentClient, host: Host, options: ConnectOptions): Promise<AgentClient> {
  const { workingDirectory } = host;
  const question = { protocol: AGENT_PROTOCOL, workingDirectory, prefix: options.prefix };
  let answer: Result<"hello">;
  try {
    answer = (await client.call("hello", question)).result;
  } catch (error) {
    // A lost connection may have been no agent at all: the reason of its end says so.
    const end = client.isOpen ? undefined : await client.ended;
    throw end instanceof NoAgent ? end : error;
  }
  const { protocol, machineId = "" } = answer;
  client.machineId = machineId;
  if (protocol === AGENT_PROTOCOL) return client;
  const isEnough = options.takesAnyProtocol === true && protocol >= OLDEST_PROTOCOL;
  if (!isEnough) throw new NoAgent({ kind: "other", ...answer });
  // A later one has opened the deployment for our protocol; an earlier one does so for its own.
  if (protocol < AGENT_PROTOCOL) await client.call("hello", { ...question, protocol });
  return client;
}

type Obstacle = { kind: "key-unknown" } | { kind: "no-agent"; instead: Instead };

/** What stands between us and an agent, if it can be removed. */
function obstacleOf(host: Host, error: unknown): Obstacle | undefined {
  if (error instanceof NoAgent) return { kind: "no-agent", instead: error.instead };
  if (!(error instanceof NxError)) return undefined;
  if (error.code === "NX_HOST_KEY_UNKNOWN" && host.hostKeys.length === 0) return { kind: "key-unknown" };
  if (error.code === "NX_AGENT_PROTOCOL") return { kind: "no-agent", instead: undefined };
  return undefined;
}

async function install(
  host: Host,
  door: Door,
  instead: Instead,
  { executable, onProgress }: ConnectOptions,
): Promise<void> {
  if (executable === undefined) throw refusal(host, instead);
  if (instead?.kind === "missing") {
    const reason = executable.whyUnfit(instead.machine, instead.libc);
    if (reason !== undefined) throw unfit(host.name, reason);
  }
  const machineId = instead?.kind === "missing" ? instead.machineId : "";
  const arriving = executable.copies.get(machineId);
  // Nothing is waited for otherwise: whoever comes first must be known before the next one asks.
  const copy = arriving === undefined ? undefined : await arriving;
  if (copy !== undefined && (await adopt(host, door, executable.sha256, copy))) return;
  const tell = (sent: number, total: number) =>
    onProgress?.(
      host.name,
      "sending the executable for the first time",
      `${percentText(sent, total)} of ${mebibytesText(total)}`,
    );
  const sent = send(host, door, executable, tell);
  // Those that follow on the same machine wait for it and need not be sent it.
  if (machineId !== "" && !executable.copies.has(machineId))
    executable.copies.set(
      machineId,
      sent.then(
        (inode) => ({ path: agentExecutable(host.workingDirectory), inode }),
        () => undefined,
      ),
    );
  await sent;
}

/** For callers who bring nothing. */
function refusal(host: Host, instead: Instead): NxError {
  if (instead?.kind !== "other")
    return new NxError("NX_NOT_RUNNING", `${host.name}: nothing is deployed in ${host.workingDirectory}`, {
      hint: "`node-x deploy` brings the executable there",
    });
  const { version, protocol } = instead;
  return new NxError(
    "NX_AGENT_PROTOCOL",
    `${host.name}: its agent, of version ${version}, speaks protocol ${protocol}, and this node-x ${AGENT_PROTOCOL}`,
    {
      hint: "`node-x deploy` brings the agent up to date; status, logs and kill work as it is, as does the node-x that it was deployed with",
    },
  );
}

/** Takes a copy that is on the machine already; false when it cannot be had there. */
async function adopt(host: Host, door: Door, sha256: string, copy: InstalledCopy): Promise<boolean> {
  const child = door.run();
  const task = { task: "adopt", sha256, from: copy.path, inode: copy.inode } as const;
  await child.write(bootInput(host.workingDirectory, task)).catch(() => undefined);
  child.close();
  const said = await new Response(child.incoming as ReadableStream<Uint8Array>).text();
  await child.exited;
  return bootAnswer(said)?.kind === "installed";
}

/** Returns the inode number of what was installed. */
async function send(
  host: Host,
  door: Door,
  executable: AgentExecutable,
  tell: (sentBytes: number, totalBytes: number) => void,
): Promise<string> {
  const child = door.run();
  try {
    // Over loopback compressing takes longer than what it saves.
    const isShortWay = host.access.kind === "ssh" && isLoopback(host.access.destination);
    const packing = isShortWay ? "plain" : "gzip";
    await child.write(
      bootInput(host.workingDirectory, { task: "install", sha256: executable.sha256, packing }),
    );
    const pieces = executable[packing];
    const totalBytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    let sentBytes = 0;
    for (const piece of pieces) {
      tell(sentBytes, totalBytes);
      await child.write(piece);
      sentBytes += piece.byteLength;
    }
    tell(sentBytes, totalBytes);
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof TypeError)) throw error;
    // The far end hung up; what it said tells why.
  }
  child.close();
  const said = await new Response(child.incoming as ReadableStream<Uint8Array>).text();
  const status = await child.exited;
  return installedInode(host, bootAnswer(said), status, child.stderr());
}

function installedInode(
  host: Host,
  answer: BootAnswer | undefined,
  status: number | string,
  stderr: string,
): string {
  switch (answer?.kind) {
    case "installed":
      return answer.inode;
    case "damaged":
      throw new NxError("NX_UPLOAD_DAMAGED", `${host.name}: the executable did not arrive whole`);
    case "unfit":
      throw unfit(host.name, answer.reason);
    case "failed":
      if (/No space left|quota/.test(stderr)) {
        throw new NxError("NX_DISK_FULL", `${host.name}: ${answer.reason}`, {
          hint: `free space below ${host.workingDirectory}; nothing was replaced`,
        });
      }
      throw new NxError(
        "NX_DISK_FAILED",
        `${host.name}: ${answer.reason} (${stderr.split("\n").at(-1) ?? ""})`,
      );
    default:
      throw failureOf(stderr) === "unreachable" && status !== SSH_FAILED
        ? new NxError("NX_HOST_LOST", `${host.name}: the upload ended (${status}): ${stderr}`)
        : sshError(host.name, stderr);
  }
}

function unfit(host: string, reason: string): NxError {
  return new NxError("NX_EXECUTABLE_UNFIT", `${host}: the executable cannot run there: ${reason}`, {
    hint: "build node-x for this processor and C library and name it with DIAMOND_SRC_DIR or --executable",
  });
}
