/**
 * A cluster as one value: what the files of a prefix say, read and checked, before any host is touched.
 *
 * Invariant: a `Cluster` exists only when every file was right and the files fit together, so whoever holds one
 * need not check again. All of it is plain data: it goes through JSON unchanged, to an agent or into a plan.
 */

import type { Privilege } from "./privileges.ts";

/** How to reach a host: straight from this process, or through the system's OpenSSH. */
export type Access =
  | { kind: "local" }
  | {
      kind: "ssh";
      /** What ssh is given as destination: an address or an alias of ~/.ssh/config. */
      destination: string;
      user?: string;
      port?: number;
      /** Absolute path of a private key. */
      keyFile?: string;
      /** ProxyJump, as ssh takes it: `user@host:port`, or several with commas. */
      jump?: string;
    };

export interface Host {
  /** Unique in the cluster: the name in `prefix.cluster.json`, else the address that the instances name. */
  name: string;
  access: Access;
  address: {
    /** How operators and clients outside reach it. */
    public?: string;
    /** How the cluster's instances reach each other. */
    private?: string;
  };
  /** Absolute, on the host; see layout.ts. Two hosts of one machine never share or nest it. */
  workingDirectory: string;
  tags: string[];
  /** Pinned host keys: `SHA256:…` fingerprints, or `ssh-ed25519 AAAA…` as in known_hosts. Empty: known_hosts decides. */
  hostKeys: string[];
}

/** How instances are replaced. Each instance holds the policy that holds for it. */
export interface RolloutPolicy {
  /** Instances of one role that may be down at once. */
  unavailableMax: number;
  /** An instance must stay ready this long before it counts as done. */
  healthyForMs: number;
  /** Starting to ready, at most. */
  readyTimeoutMs: number;
  /** From asking to stop until SIGKILL. */
  stopTimeoutMs: number;
}

/** A file of the operator that an instance needs on its host. */
export interface ConfigFile {
  /** Absolute, on the operator's machine. */
  path: string;
  /** Its name on the host, in the release's `configs/`, where it lies as it does beside the prefix's files here. */
  name: string;
  /** Of its content, hex. */
  sha256: string;
  bytes: number;
}

/** A secret or certificate beside the prefix's files. What is in it is read only to be sent. */
export interface NamedFile {
  /** The key of the configuration, and the file's name on the host: `tls.key`. */
  key: string;
  /** Absolute, on the operator's machine. */
  path: string;
}

export interface PortUse {
  /** The key of the configuration, `respPort`; `address` for a line of a Diamond file. */
  key: string;
  host: string;
  port: number;
}

export interface Instance {
  /** `<prefix>.<role><n>`, of a replicated group `<prefix>.<role><n>.<replica>`; `<prefix>.tss.<replica>`. */
  name: string;
  role: string;
  /** n of `<role><n>`; 0 when the file name has no number. */
  index: number;
  /** Its line in a group's text file; undefined when it has a file of its own. */
  replica: number | undefined;
  /** Size of its group and how many of it decide: floor(n/2)+1. Undefined when it is no replica. */
  group: { size: number; quorum: number } | undefined;
  /** Name of its host. */
  host: string;
  /** Its own file first, then others that the role reads (a frontend's shards, a worker's application). */
  files: ConfigFile[];
  /** Files that its configuration names and that are deployed with it, each private to its user. */
  namedFiles: NamedFile[];
  privileges: Privilege[];
  /** Words after `node-x run`; `{configs}` and `{files}` stand for the directories of its files on the host. */
  words: string[];
  /** Beyond what every process on a host has. */
  environment: Record<string, string>;
  /** Absolute, on the host. */
  dataDir: string;
  ports: PortUse[];
  /** Base name of the file of its standard output and error when no journal takes them: `output.backend.0.1.txt`. */
  outputFile: string;
  rollout: RolloutPolicy;
}

export interface Cluster {
  prefix: string;
  /** Absolute, on the operator's machine. */
  directory: string;
  /** In start order (order.ts); stopping goes backwards. */
  instances: Instance[];
  /** Those that have instances, in the order of their first one. */
  hosts: Host[];
  /** What is worth telling but keeps nothing from starting, as `file:line: warning: …`. */
  notices: string[];
}
