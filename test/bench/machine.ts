/** What a figure was measured on: without it a figure says nothing. */
import { cpus, loadavg, release, totalmem } from "node:os";

export interface Machine {
  cpu: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  /** File system and device that durable servers write to. */
  disk: string;
  /** Runnable processes averaged over the last minute, before the first line ran. */
  loadAverage: number;
}

export function describeMachine(directory: string): Machine {
  const disk = Bun.spawnSync(["findmnt", "-no", "FSTYPE,SOURCE", "-T", directory]).stdout.toString().trim();
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    disk: disk.replace(/\s+/g, " "),
    loadAverage: loadavg()[0] ?? 0,
  };
}

/** Other work took CPU time from the servers: figures of this run are not worth keeping. */
export function isNoisy(machine: Machine): boolean {
  return machine.loadAverage > 0.5;
}
