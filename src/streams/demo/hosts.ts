/**
 * The hosts of a demo: host n is the loopback address n and a directory of its own. Linux takes listeners on all of
 * 127.0.0.0/8 without set-up, so the port numbers of the original's four machines can stay as they are.
 */
import { join } from "node:path";

export interface DemoHost {
  number: number;
  address: string;
  directory: string;
}

/** `network`: the first three numbers of the addresses, such as 127.0.1. */
export function demoHost(root: string, network: string, number: number): DemoHost {
  return { number, address: `${network}.${number}`, directory: join(root, `host${number}`) };
}
