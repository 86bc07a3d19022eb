/**
 * Several hosts on one machine: network namespaces with addresses of their own on a bridge, and one for the
 * operator.
 *
 * Invariant: nothing of the machine's own network is touched; the namespaces, and with them every link, go
 * with `dispose`.
 */
export class Network implements Disposable {
  readonly addresses: string[];
  readonly #name: string;

  private constructor(name: string, count: number) {
    this.#name = name;
    this.addresses = Array.from({ length: count }, (_, index) => `10.77.0.${index + 2}`);
  }

  /** Undefined where this user may not make namespaces. */
  static create(name: string, count: number): Network | undefined {
    const network = new Network(name, count);
    try {
      network.#build();
      return network;
    } catch {
      network[Symbol.dispose]();
      return undefined;
    }
  }

  #build(): void {
    const operator = this.#space("op");
    ip("netns", "add", operator);
    ip("-n", operator, "link", "set", "lo", "up");
    ip("-n", operator, "link", "add", "br0", "type", "bridge");
    ip("-n", operator, "addr", "add", "10.77.0.1/24", "dev", "br0");
    ip("-n", operator, "link", "set", "br0", "up");
    for (const [index, address] of this.addresses.entries()) {
      const host = this.#space(`h${index}`);
      ip("netns", "add", host);
      ip("-n", host, "link", "set", "lo", "up");
      ip("-n", operator, "link", "add", `v${index}`, "type", "veth", "peer", "name", "eth0", "netns", host);
      ip("-n", operator, "link", "set", `v${index}`, "master", "br0", "up");
      ip("-n", host, "addr", "add", `${address}/24`, "dev", "eth0");
      ip("-n", host, "link", "set", "eth0", "up");
    }
  }

  #space(part: string): string {
    return `${this.#name}-${part}`;
  }

  /** Put before a command line to run it on a host. */
  onHost(index: number): string[] {
    return ["ip", "netns", "exec", this.#space(`h${index}`)];
  }

  get onOperator(): string[] {
    return ["ip", "netns", "exec", this.#space("op")];
  }

  /** Pulls the plug of a host, or puts it back. Nobody is told: packets just do not arrive. */
  setPlug(index: number, isIn: boolean): void {
    ip("-n", this.#space("op"), "link", "set", `v${index}`, isIn ? "up" : "down");
  }

  [Symbol.dispose](): void {
    for (const part of ["op", ...this.addresses.map((_, index) => `h${index}`)]) {
      Bun.spawnSync(["ip", "netns", "del", this.#space(part)]);
    }
  }
}

function ip(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["ip", ...words]);
  if (exitCode !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr.toString()}`);
}
