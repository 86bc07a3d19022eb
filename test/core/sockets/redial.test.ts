/** A connection that is called again: on a simulated network, whose peers come, go, and are replaced. */
import { expect, test } from "bun:test";
import type { Socket } from "../../../src/core/seams/net.ts";
import { Redial } from "../../../src/core/sockets/redial.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";

const HOST = "10.0.0.1";
const PORT = 7000;

function scene(act: (stage: Stage) => Promise<void>): void {
  // As Linux has it.
  const cluster = new SimCluster(1, { net: { connectTimeoutMs: 127_000 } });
  const stage = new Stage(cluster);
  cluster.scheduler.run(() => act(stage), { timeLimitMs: 60_000 });
}

class Stage {
  readonly #cluster: SimCluster;
  readonly events: string[] = [];
  readonly peers: Socket[] = [];
  address = { host: HOST, port: PORT };
  retryMsMax = 0;
  #dialers = 0;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#cluster.scheduler.after(ms, resolve));
  }

  /** A peer that greets, and says back what it is told. */
  async listen(host = HOST): Promise<void> {
    await this.#cluster
      .host(host)
      .start()
      .world.net.listen<undefined>({
        ...{ host, port: PORT },
        handlers: {
          open: (socket) => {
            this.peers.push(socket);
            socket.write(Buffer.from(`hello from ${host}`));
          },
          data: (socket, _state, chunk) => void socket.write(chunk),
          drain: () => {},
          close: () => {},
        },
      });
  }

  dialer(): Redial {
    const { world } = this.#cluster.host(`10.0.1.${++this.#dialers}`).start();
    const redial: Redial = new Redial({
      ...{ world, address: () => this.address, retryMs: 100, retryMsMax: this.retryMsMax },
      outbox: { bytesMax: 1000 },
      onOpen: () => void this.events.push("open"),
      onData: (chunk) => this.#hear(Buffer.from(chunk).toString()),
      onDown: (reason) => void this.events.push(`down: ${reason}`),
    });
    return redial;
  }

  /** The network cuts what is sent into pieces: they are one event. */
  #hear(text: string): void {
    const last = this.events.at(-1);
    const isPiece = last?.startsWith("> ") === true;
    const all = isPiece ? `${this.events.pop()}${text}` : `> ${text}`;
    this.events.push(all);
    if (all.endsWith("throw")) throw new Error("what came is rubbish");
  }

  cut(): void {
    this.#cluster.network.cut(HOST, "10.0.1.1");
  }

  heal(): void {
    this.#cluster.network.heal();
  }

  taken(): string[] {
    return this.events.splice(0);
  }
}

test("it calls until somebody is there, and again when the connection breaks; each end is told once", () => {
  scene(async (stage) => {
    const redial = stage.dialer();
    redial.dial();
    await stage.wait(250);
    const failed = stage.taken();
    expect(failed.length).toBeGreaterThanOrEqual(2);
    expect(failed.every((event) => event.startsWith("down: "))).toBe(true);
    await stage.listen();
    await stage.wait(300);
    expect(stage.taken().slice(-2)).toEqual(["open", `> hello from ${HOST}`]);
    stage.peers[0]?.terminate();
    await stage.wait(300);
    expect(stage.taken()).toEqual([expect.stringMatching(/^down: /), "open", `> hello from ${HOST}`]);
    expect(redial.connections).toBe(2);
  });
});

test("a host that answers nothing is called anew, so that it is heard of soon after it is back", () => {
  scene(async (stage) => {
    await stage.listen();
    stage.cut();
    stage.dialer().dial();
    await stage.wait(40_000);
    expect(new Set(stage.taken())).toEqual(new Set(["down: nobody answers"]));
    stage.heal();
    await stage.wait(5000);
    expect(stage.taken().slice(-2)).toEqual(["open", `> hello from ${HOST}`]);
  });
});

test("what a handler throws costs the connection, and is its reason", () => {
  scene(async (stage) => {
    await stage.listen();
    const redial = stage.dialer();
    redial.dial();
    await stage.wait(50);
    stage.taken();
    redial.outbox?.send(Buffer.from("throw"));
    await stage.wait(50);
    expect(stage.taken()).toEqual(["> throw", "down: what came is rubbish"]);
    await stage.wait(200);
    expect(stage.taken()).toEqual(["open", `> hello from ${HOST}`]);
  });
});

test("dialing anew replaces the connection without a word of the old one, at the address of that moment", () => {
  scene(async (stage) => {
    await stage.listen();
    await stage.listen("10.0.0.2");
    const redial = stage.dialer();
    redial.dial();
    await stage.wait(50);
    stage.taken();
    redial.outbox?.send(Buffer.from("never heard"));
    stage.address = { host: "10.0.0.2", port: PORT };
    redial.dial();
    redial.dial();
    await stage.wait(300);
    expect(stage.taken()).toEqual(["open", "> hello from 10.0.0.2"]);
    expect(redial.connections).toBe(2);
  });
});

test("pauses grow while nobody is proven, and are short again afterwards", () => {
  scene(async (stage) => {
    stage.retryMsMax = 400;
    const redial = stage.dialer();
    redial.dial();
    await stage.wait(1600);
    // At about 0, 100, 300, 700, 1100 and 1500 ms.
    const grown = stage.taken().length;
    expect(grown).toBeGreaterThanOrEqual(5);
    expect(grown).toBeLessThanOrEqual(6);
    redial.proven();
    redial.fail("once more");
    await stage.wait(150);
    expect(stage.taken().length).toBe(2);
  });
});

test("after the end nothing is heard and nobody is called, also when an attempt was under way", () => {
  scene(async (stage) => {
    await stage.listen();
    const ended = stage.dialer();
    ended.dial();
    ended.end();
    await stage.wait(300);
    expect(stage.taken()).toEqual([]);
    const closed = stage.dialer();
    closed.dial();
    await stage.wait(50);
    stage.taken();
    closed.close();
    closed.dial();
    closed.fail("too late");
    await stage.wait(300);
    expect(stage.taken()).toEqual([]);
  });
});
