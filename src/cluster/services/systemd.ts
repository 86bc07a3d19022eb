/**
 * Services of a host with systemd: one unit per instance, one target and one user per role.
 *
 * Invariant: only units that carry the deployment's mark (marks.ts) are touched; a unit of the same name that belongs to
 * another deployment is an error, not overwritten. What was started comes back at boot, because starting enables and stopping
 * disables. A crash between two steps leaves units that the next `install` makes right.
 */
import { join } from "node:path";
import { constants } from "node:os";
import { NxError } from "../../core/errors.ts";
import { signalProcess, untilGone } from "../../core/processes.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { sysusersLine, targetText, unitText } from "../units/unit.ts";
import { marksOf, processesOf } from "./marks.ts";
import { readText } from "./program-list.ts";
import type { HostServices, ServiceSpec, ServiceState, ServiceStatus } from "./services.ts";

/** Runs a program, given as words, to its end. */
export type RunProgram = (words: readonly string[]) => Promise<{ status: number | string; output: string }>;

export interface SystemdOptions {
  /** Of the deployment. */
  root: string;
  clock: Clock;
  disk: LinkingDisk;
  run: RunProgram;
  /** `/etc/systemd/system`. */
  unitDirectory: string;
  /** `/etc/sysusers.d`. */
  sysusersDirectory: string;
}

const UNIT_BYTES_MAX = 256 * 1024;
const GONE_MS = 5000;
const PROPERTIES = "Id,Job,ActiveState,SubState,MainPID,NRestarts,ExecMainCode,ExecMainStatus";
/** CLD_KILLED and CLD_DUMPED of waitid(2), as ExecMainCode has them. */
const KILLED = ["2", "3"];

export function unitNameOf(instance: string): string {
  return `node-x-${instance}.service`;
}

export class SystemdServices implements HostServices {
  readonly kind = "systemd";
  readonly #options: SystemdOptions;

  constructor(options: SystemdOptions) {
    this.#options = options;
  }

  async install(specs: readonly ServiceSpec[]): Promise<void> {
    const own = await this.#ownUnits();
    const names = new Set(specs.map(({ instance }) => instance));
    const leaving = [...own.keys()].filter((instance) => !names.has(instance));
    for (const instance of leaving) {
      await this.#systemctl("disable", "--quiet", "--now", unitNameOf(instance));
      await this.#options.disk.remove(join(this.#options.unitDirectory, unitNameOf(instance)));
    }
    let isChanged = leaving.length > 0;
    for (const role of new Set(specs.map((spec) => spec.role)))
      isChanged = (await this.#installRole(role)) || isChanged;
    for (const spec of specs)
      isChanged = (await this.#installUnit(spec, own.get(spec.instance))) || isChanged;
    if (isChanged) await this.#systemctl("daemon-reload");
  }

  async start(instance: string): Promise<void> {
    const spec = unitNameOf(instance);
    const role = /^WantedBy=(.*)$/m.exec((await this.#ownUnits()).get(instance) ?? "")?.[1];
    if (role === undefined)
      throw new NxError("NX_START_FAILED", `${instance} is not installed on this host`, {
        hint: "deploy the prefix again",
      });
    await this.#systemctl("enable", "--quiet", spec, role);
    await this.#systemctl("reset-failed", spec).catch(() => undefined);
    // The target alone: what else it wants is not this deployment's business.
    await this.#systemctl("start", "--no-block", "--job-mode=ignore-dependencies", role);
    await this.#systemctl("start", "--no-block", spec);
  }

  async stop(instance: string): Promise<void> {
    if (!(await this.#ownUnits()).has(instance)) return;
    await this.#systemctl("disable", "--quiet", unitNameOf(instance));
    await this.#systemctl("stop", unitNameOf(instance));
  }

  async kill(instances: readonly string[]): Promise<void> {
    const own = await this.#ownUnits();
    const units = instances.filter((instance) => own.has(instance)).map(unitNameOf);
    if (units.length > 0) {
      // The stop comes first, so that a killed unit is not restarted; nobody waits for it. What a manager in trouble does
      // not do, is done below.
      for (const words of [
        ["disable", "--quiet"],
        ["stop", "--no-block"],
        ["kill", "--signal=SIGKILL"],
        ["reset-failed"],
      ])
        await this.#systemctl(...words, ...units).catch(() => undefined);
    }
    const { root, clock } = this.#options;
    for (const identity of processesOf(root).filter(({ instance }) => instances.includes(instance))) {
      signalProcess(identity, "SIGKILL");
      if (!(await untilGone(clock, identity, GONE_MS)))
        throw new NxError(
          "NX_START_FAILED",
          `${identity.instance} (pid ${identity.pid}) did not end on SIGKILL`,
          {
            hint: "the process waits in the kernel, for a disk or a network file system perhaps",
          },
        );
    }
  }

  async status(): Promise<ServiceStatus[]> {
    const instances = [...(await this.#ownUnits()).keys()];
    if (instances.length === 0) return [];
    const output = await this.#systemctl("show", `--property=${PROPERTIES}`, ...instances.map(unitNameOf));
    const blocks = output
      .trim()
      .split(/\n\s*\n/)
      .map(parseProperties);
    return instances.map((instance) =>
      statusOf(instance, blocks.find((block) => block.Id === unitNameOf(instance)) ?? {}),
    );
  }

  async lastLines(instance: string, lines: number): Promise<string[]> {
    const words = [
      "journalctl",
      "--unit",
      unitNameOf(instance),
      "--lines",
      String(lines),
      "--output=cat",
      "--no-pager",
      "--quiet",
    ];
    const { status, output } = await this.#options.run(words);
    return status === 0 && output.trim() !== "" ? output.trimEnd().split("\n") : [];
  }

  /** The units of this deployment, by instance, with their text. */
  async #ownUnits(): Promise<Map<string, string>> {
    const { disk, unitDirectory } = this.#options;
    const own = new Map<string, string>();
    if (!(await disk.exists(unitDirectory))) return own;
    for (const { name } of await disk.list(unitDirectory)) {
      const instance = /^node-x-(.+)\.service$/.exec(name)?.[1];
      if (instance === undefined) continue;
      const text = await readText(disk, join(unitDirectory, name), UNIT_BYTES_MAX);
      if (this.#isOwn(text, instance)) own.set(instance, text);
    }
    return own;
  }

  #isOwn(text: string, instance: string): boolean {
    return text.includes(`\n# deployment ${markOf(this.#options.root, instance)}\n`);
  }

  async #installUnit(spec: ServiceSpec, known: string | undefined): Promise<boolean> {
    const { disk, unitDirectory, root } = this.#options;
    const { instance, role, environment } = spec;
    const path = join(unitDirectory, unitNameOf(instance));
    const text = unitText({
      ...spec,
      description: `node-x ${instance} (${role})`,
      environment: { ...environment, ...marksOf(root, instance) },
    });
    const marked = `${text}\n# deployment ${markOf(root, instance)}\n`;
    if (known === marked) return false;
    if (known === undefined && (await disk.exists(path)))
      throw new NxError("NX_FILE_EXISTS", `${path} belongs to another deployment, or was made by hand`, {
        hint: "choose another prefix, or destroy the other deployment first",
      });
    await this.#write(path, marked);
    return true;
  }

  async #installRole(role: string): Promise<boolean> {
    const { disk, unitDirectory, sysusersDirectory, run } = this.#options;
    const users = join(sysusersDirectory, `node-x-${role}.conf`);
    if (!(await disk.exists(users))) {
      await disk.makeDirectory(sysusersDirectory);
      await disk.setMode(sysusersDirectory, 0o755);
      await this.#write(users, sysusersLine(role));
      const { status, output } = await run(["systemd-sysusers", users]);
      if (status !== 0) throw this.#failed("systemd-sysusers", output);
    }
    const target = join(unitDirectory, `${role}.target`);
    if (await disk.exists(target)) return false;
    await this.#write(target, targetText(role));
    return true;
  }

  async #write(path: string, text: string): Promise<void> {
    const { disk } = this.#options;
    await writeFileAtomically(disk, path, text);
    await disk.setMode(path, 0o644);
  }

  async #systemctl(...words: string[]): Promise<string> {
    const { status, output } = await this.#options.run([
      "systemctl",
      "--no-pager",
      "--no-ask-password",
      ...words,
    ]);
    if (status !== 0) throw this.#failed(`systemctl ${words.join(" ")}`, output);
    return output;
  }

  #failed(command: string, output: string): NxError {
    return new NxError("NX_START_FAILED", `${command}: ${output.trim() || "it failed without a word"}`, {
      hint: "log in and try the same command there",
    });
  }
}

function markOf(root: string, instance: string): string {
  return `${JSON.stringify(root)} ${instance}`;
}

function parseProperties(block: string): Record<string, string> {
  return Object.fromEntries(
    block
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const),
  );
}

function statusOf(instance: string, show: Record<string, string>): ServiceStatus {
  const pid = Number(show.MainPID ?? 0);
  return {
    instance,
    state: stateOf(show),
    pid: pid > 0 ? pid : undefined,
    restarts: Number(show.NRestarts ?? 0),
    lastEnd: lastEndOf(show),
  };
}

function stateOf({ ActiveState, SubState, Job = "0" }: Record<string, string>): ServiceState {
  if (SubState === "auto-restart") return "restarting";
  // Its start is queued behind something else, the network for instance.
  if (ActiveState === "inactive" && Job !== "0" && Job !== "") return "restarting";
  return ActiveState === "inactive" || ActiveState === "failed" || ActiveState === undefined
    ? "stopped"
    : "running";
}

function lastEndOf({ ExecMainCode = "0", ExecMainStatus = "0" }: Record<string, string>): string | undefined {
  if (ExecMainCode === "0") return undefined;
  if (!KILLED.includes(ExecMainCode)) return `exit code ${ExecMainStatus}`;
  const names = Object.entries(constants.signals);
  return names.find(([, number]) => String(number) === ExecMainStatus)?.[0] ?? `signal ${ExecMainStatus}`;
}
