/**
 * The command line of the system's OpenSSH for a host.
 *
 * Invariant: host keys are always checked strictly, nothing is ever asked (BatchMode), and no secret is in
 * it: keys are named by file. What the operator has in ~/.ssh/config holds: agents, certificates, jumps,
 * aliases, known_hosts. The remote command is one constant text (bootstrap.ts); everything that varies goes
 * through standard input.
 */
import type { Access } from "../topology/types.ts";

export type SshAccess = Extract<Access, { kind: "ssh" }>;

export interface SshSettings {
  /** `ssh`, or another program that takes its options. */
  program: string;
  /** Instead of ~/.ssh/config; from NODE_X_SSH_CONFIG. */
  configFile?: string;
  /**
   * A directory that only this user can enter, for control sockets; without one each connection is its own.
   */
  controlDirectory?: string;
  connectTimeoutSeconds: number;
}

export const defaultSshSettings: SshSettings = { program: "ssh", connectTimeoutSeconds: 5 };

/** Options of one call, then `--`, the destination and `remoteCommand`. */
export function sshCommand(
  access: SshAccess,
  settings: SshSettings,
  remoteCommand: string,
  { knownHostsFile, more = [] }: { knownHostsFile?: string; more?: readonly string[] } = {},
): string[] {
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    `ConnectTimeout=${settings.connectTimeoutSeconds}`,
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ForwardX11=no",
    ...(knownHostsFile === undefined
      ? []
      : [`UserKnownHostsFile=${quoted(knownHostsFile)}`, "GlobalKnownHostsFile=/dev/null"]),
    ...(settings.controlDirectory === undefined
      ? ["ControlMaster=no", "ControlPath=none"]
      : [
          "ControlMaster=auto",
          `ControlPath=${quoted(`${settings.controlDirectory}/%C`)}`,
          "ControlPersist=60",
        ]),
  ];
  const { user, port, keyFile, jump } = access;
  return [
    settings.program,
    "-T",
    ...(settings.configFile === undefined ? [] : ["-F", settings.configFile]),
    ...more.flatMap((option) => ["-o", option]),
    ...options.flatMap((option) => ["-o", option]),
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    ...(keyFile === undefined ? [] : ["-i", keyFile, "-o", "IdentitiesOnly=yes"]),
    ...(jump === undefined ? [] : ["-J", jump]),
    "--",
    access.destination,
    remoteCommand,
  ];
}

/** ssh splits option values at blanks. */
function quoted(path: string): string {
  return `"${path}"`;
}
