/**
 * Whatever keeps instances running on a host: systemd, or our own supervisor where there is none.
 *
 * Invariant: everything here is about one deployment (one prefix in one working directory) and touches nothing of
 * another, whatever runs beside it. `kill` needs no cooperation of anybody: it works when the supervisor hangs and when
 * pid files are gone. Every call may be repeated; asking for what is already so does nothing.
 */

import type { Privilege } from "../topology/privileges.ts";

/** What is needed to run one instance; plain data, sent by the operator's side. */
export interface ServiceSpec {
  instance: string;
  role: string;
  /** See layout.ts `instanceCommand`. */
  command: string[];
  workingDirectory: string;
  /** On top of a clean environment. */
  environment: Record<string, string>;
  dataDir: string;
  /** Absolute path of the file for standard output and error; the journal takes them under systemd. */
  outputFile: string;
  stopTimeoutMs: number;
  /** None when missing. */
  privileges?: Privilege[] | undefined;
  /** Private files that its command names by this directory; missing when there are none. */
  namedFiles?: NamedFilesPlace | undefined;
}

export interface NamedFilesPlace {
  /** Absolute. */
  directory: string;
  names: string[];
}

export type ServiceState = "running" | "restarting" | "stopped";

export interface ServiceStatus {
  instance: string;
  state: ServiceState;
  pid: number | undefined;
  /** Restarts since somebody last started it. */
  restarts: number;
  /** How it last ended: `exit code 78`, `SIGKILL`; undefined when it never ended by itself. */
  lastEnd: string | undefined;
}

export interface HostServices {
  readonly kind: "systemd" | "supervisor";
  /** Makes these the services of the deployment, those missing are stopped and forgotten. Starts nothing. */
  install(specs: readonly ServiceSpec[]): Promise<void>;
  /** Starts what is not running; resolves when it is started, which is not yet ready. */
  start(instance: string): Promise<void>;
  /** SIGTERM, after the spec's timeout SIGKILL; resolves when the process is gone. */
  stop(instance: string): Promise<void>;
  /** SIGKILL to these; resolves when they are gone. They are not restarted. */
  kill(instances: readonly string[]): Promise<void>;
  status(): Promise<ServiceStatus[]>;
  /** The last `lines` lines that the instance said. */
  lastLines(instance: string, lines: number): Promise<string[]>;
}
