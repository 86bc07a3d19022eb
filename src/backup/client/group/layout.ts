/**
 * Which servers a backup group has, and the command lines that start them: the layout classes of the original's Python
 * library, with its names, so that a configuration translates line by line.
 *
 * Invariant: the first archive is the primary one, earlier proxies are preferred; a server is where its kind says.
 */
import { NxError } from "../../../core/errors.ts";

export const K_STORAGE = 0;
export const K_PROXY = 1;
export const K_ARCHIVE = 2;
export type ServerKind = typeof K_STORAGE | typeof K_PROXY | typeof K_ARCHIVE;

const kindNames = ["storage", "proxy", "archive"] as const;
export const kindName = (kind: ServerKind): (typeof kindNames)[number] => kindNames[kind];

/** How a server is reached. */
export class ServerConnectionParam {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly kind: ServerKind;

  constructor(name: string, address: string, port: number, kind: ServerKind) {
    if (!(kind in kindNames)) throw new NxError("NX_USAGE", `${name}: the kind ${String(kind)} is none`);
    this.name = name;
    this.address = address;
    this.port = port;
    this.kind = kind;
  }

  /** `HOST:PORT`. */
  get_host_port(): string {
    return `${this.address}:${this.port}`;
  }
}

/** What starting one needs. */
export interface StartupData {
  /** A prefix: it ends with a slash, or is empty. */
  binDir: string;
  dataDir: string;
  logPath?: string | undefined;
  /** Of an archive that keeps images in LVM. */
  vg?: string | undefined;
  tp?: string | undefined;
}

/** A server with what starting it needs, in one value. `vg` and `tp` may be set later. */
export class Server extends ServerConnectionParam implements StartupData {
  binDir: string;
  dataDir: string;
  logPath: string | undefined;
  vg: string | undefined;
  tp: string | undefined;

  constructor(
    name: string,
    address: string,
    port: number,
    kind: ServerKind,
    binDir: string,
    dataDir: string,
    logPath?: string,
    vg?: string,
    tp?: string,
  ) {
    super(name, address, port, kind);
    this.binDir = binDir;
    this.dataDir = dataDir;
    this.logPath = logPath;
    this.vg = vg;
    this.tp = tp;
  }
}

/** The same in two values, as later versions of the library have it. */
export class ServerStartupParam implements StartupData {
  readonly connParam: ServerConnectionParam;
  binDir: string;
  dataDir: string;
  logPath: string | undefined;
  vg: string | undefined;
  tp: string | undefined;

  constructor(
    connParam: ServerConnectionParam,
    binDir: string,
    dataDir: string,
    logPath?: string,
    vg?: string,
    tp?: string,
  ) {
    this.connParam = connParam;
    this.binDir = binDir;
    this.dataDir = dataDir;
    this.logPath = logPath;
    this.vg = vg;
    this.tp = tp;
  }
}

export type AnyServer = ServerConnectionParam | ServerStartupParam;

export const connectionOf = (server: AnyServer): ServerConnectionParam =>
  server instanceof ServerStartupParam ? server.connParam : server;

function startupOf(server: AnyServer): StartupData {
  if (server instanceof ServerStartupParam || server instanceof Server) return server;
  throw new NxError("NX_USAGE", `${server.name}: a connection alone does not say how the server is started`, {
    hint: "use Server or ServerStartupParam in the layout",
  });
}

/** Options of a start command: value by name. */
export type ServerArgs = Record<string, string>;

export class ServerLayout {
  readonly storageL: readonly AnyServer[];
  readonly proxyL: readonly AnyServer[];
  readonly archiveL: readonly AnyServer[];

  constructor(storageL: readonly AnyServer[], proxyL: readonly AnyServer[], archiveL: readonly AnyServer[]) {
    for (const [servers, kind] of [
      [storageL, K_STORAGE],
      [proxyL, K_PROXY],
      [archiveL, K_ARCHIVE],
    ] as const) {
      const other = servers.map(connectionOf).find((server) => server.kind !== kind);
      if (other !== undefined)
        throw new NxError(
          "NX_USAGE",
          `${other.name} is a ${kindName(other.kind)}, in the list of ${kindName(kind)} servers`,
        );
    }
    this.storageL = storageL;
    this.proxyL = proxyL;
    this.archiveL = archiveL;
  }

  get_primary_archive(): AnyServer {
    this.verify(0, 0, 1);
    return this.archiveL[0] as AnyServer;
  }

  /** Storages, proxies, archives. */
  get_all(): AnyServer[] {
    return [...this.storageL, ...this.proxyL, ...this.archiveL];
  }

  /** A copy with some of the lists replaced. */
  replace({
    storageL = this.storageL,
    proxyL = this.proxyL,
    archiveL = this.archiveL,
  }: {
    storageL?: readonly AnyServer[];
    proxyL?: readonly AnyServer[];
    archiveL?: readonly AnyServer[];
  }): ServerLayout {
    return new ServerLayout(storageL, proxyL, archiveL);
  }

  /** Throws unless there are at least so many of each kind. */
  verify(minS = 1, minP = 1, minA = 1): void {
    for (const [name, { length }, least] of [
      ["storage", this.storageL, minS],
      ["proxy", this.proxyL, minP],
      ["archive", this.archiveL, minA],
    ] as const) {
      if (length < least)
        throw new NxError(
          "NX_USAGE",
          `the layout has ${length} ${name} servers, at least ${least} are needed`,
        );
    }
  }

  /** The options that start a server. */
  get_server_params(server: AnyServer): ServerArgs {
    const { name, port, kind } = connectionOf(server);
    const { dataDir, logPath, vg, tp } = startupOf(server);
    const args: ServerArgs = {};
    if (kind === K_STORAGE) {
      args.archive = connectionOf(this.get_primary_archive()).get_host_port();
      args.proxy = this.proxyL.map((each) => connectionOf(each).get_host_port()).join(",");
    }
    if (kind === K_ARCHIVE && vg !== undefined) args.vg = vg;
    if (kind === K_ARCHIVE && tp !== undefined) args.tp = tp;
    Object.assign(args, {
      p: String(port),
      b: dataDir,
      l: logPath ?? `${dataDir}/${name}.log`,
      id: name,
      fg: "2",
    });
    if (kind !== K_ARCHIVE) args.bg = "1";
    return args;
  }

  get_server_args(server: AnyServer): string[] {
    const program = `${startupOf(server).binDir}walb-${kindName(connectionOf(server).kind)}`;
    const options = Object.entries(this.get_server_params(server));
    return [program, ...options.flatMap(([name, value]) => [`-${name}`, value])];
  }

  /** One command line for each server. */
  to_cmd_string(): string {
    return this.get_all()
      .map((server) => `${this.get_server_args(server).map(shellWord).join(" ")}\n`)
      .join("");
  }
}

/** A word as a shell reads it. */
function shellWord(word: string): string {
  return /^[A-Za-z0-9_./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
