/** The real seams together: what a process on a host runs in. */
import {
  deviceBytes,
  lockFile,
  punchHole,
  restThread,
  sendBytes,
  setBacklog,
  setKeepAlive,
  setUnsentBytesMax,
  threadCpuMs,
  writeFileNow,
} from "../../native/system.ts";
import { realClock } from "./clock.ts";
import { RealDisk } from "./disk-real.ts";
import { createRealNet, type HandlerReport } from "./net-real.ts";
import { realRandom } from "./random.ts";
import type { World } from "../role.ts";

/** `report` hears of exceptions in socket handlers. */
export function realWorld(report?: HandlerReport): World {
  const net = createRealNet(report, {
    setBacklog,
    setKeepAlive,
    setUnsentBytesMax,
    send: sendBytes,
    rest: restThread,
    threadCpuMs,
  });
  const disk = new RealDisk(lockFile, { punchHole, writeFileNow, deviceBytes });
  return { clock: realClock, random: realRandom, disk, net };
}
