/**
 * The unix sockets for text of the originals: one for who administers a node, one for who turns its log files over.
 *
 *   commandSocket   update-credentials, list-credentials, and those of the other one
 *   logSocket       reopen_files, show_version
 */
import { resolve } from "node:path";
import { buildInfo } from "../core/build-info.ts";
import { NxError } from "../core/errors.ts";
import type { ReopenableFile, RoleContext } from "../core/role.ts";
import { type TextCommand, TextSocket } from "../core/sockets/text-socket.ts";
import type { NeoCredentials } from "./neo-credentials.ts";

interface UnixSocketKeys {
  path?: string | undefined;
  mode: string;
}

interface Keys {
  logSocket: UnixSocketKeys;
  commandSocket?: UnixSocketKeys;
}

type Commands = Record<string, TextCommand>;

export class TextSockets {
  readonly #sockets: TextSocket[] = [];

  /** Without `credentials` there is only the second. Paths are relative to the data directory. */
  constructor(context: Omit<RoleContext<Keys>, "fatal">, credentials?: NeoCredentials) {
    const { net, clock, log, dataDir, config } = context;
    const add = ({ path, mode }: UnixSocketKeys, commands: Commands) => {
      if (path === undefined) return;
      const at = { path: resolve(dataDir, path), mode: Number.parseInt(mode, 8) };
      this.#sockets.push(new TextSocket({ net, clock, log: log.child("socket"), ...at, commands }));
    };
    const forFiles = fileCommands(context.logFiles ?? []);
    if (config.commandSocket !== undefined && credentials !== undefined)
      add(config.commandSocket, { ...credentialCommands(credentials), ...forFiles });
    add(config.logSocket, forFiles);
  }

  /** Throws NX_LISTEN_IN_USE / NX_LISTEN_DENIED; then none is open. */
  async listen(): Promise<void> {
    try {
      for (const socket of this.#sockets) await socket.listen();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

function credentialCommands(credentials: NeoCredentials): Commands {
  return {
    "update-credentials": {
      summary: "read the file of credentials again, whole or not at all",
      run() {
        credentials.update();
        const count = credentials.users.length;
        return `Credentials updated: ${count} user${count === 1 ? "" : "s"}.`;
      },
    },
    "list-credentials": {
      summary: "names of those who may use the neo protocol, a line each",
      run: () =>
        credentials.users.length === 0 ? "There are no credentials." : credentials.users.join("\n"),
    },
  };
}

function fileCommands(files: readonly ReopenableFile[]): Commands {
  return {
    reopen_files: {
      summary: "open the log files again, all of them or those that are named, after they were moved away",
      run(words) {
        const named = words.map((word) => resolve(word));
        const unknown = named.find((path) => !files.some((file) => file.path === path));
        if (unknown !== undefined)
          throw new NxError("NX_USAGE", `${unknown} is no log file of this process`, {
            hint: `they are ${files.map(({ path }) => path).join(" ")}`,
          });
        for (const file of files) if (named.length === 0 || named.includes(file.path)) file.reopen();
        return "ACK";
      },
    },
    show_version: {
      summary: "what runs",
      run: () => `node-x ${buildInfo.version} commit ${buildInfo.commit} bun ${buildInfo.bun}`,
    },
  };
}
