/**
 * A simple backup group: one storage, one proxy, one archive, two volumes. Print how its servers are started with
 *
 *   node-x walb script configs/walb-config.ts -c 'sLayout.to_cmd_string()'
 *
 * and control it with `node-x walb shell configs/walb-config.ts`.
 */
import { Controller, K_ARCHIVE, K_PROXY, K_STORAGE, Server, ServerLayout } from "node-x/walb";

const binDir = "/usr/local/bin/";
const walbcPath = `${binDir}walbc`;

const dataPath = (name: string) => `/var/walb/${name}/`;
const logPath = (name: string) => `/var/walb/${name}.log`;

export const s0 = new Server("s0", "hostS0", 10000, K_STORAGE, binDir, dataPath("s0"), logPath("s0"));
export const p0 = new Server("p0", "hostP0", 10000, K_PROXY, binDir, dataPath("p0"), logPath("p0"));
export const a0 = new Server("a0", "hostA0", 10000, K_ARCHIVE, binDir, dataPath("a0"), logPath("a0"), "vg0");

export const sLayout = new ServerLayout([s0], [p0], [a0]);
export const walbc = new Controller(walbcPath, sLayout, true);
