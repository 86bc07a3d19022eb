/** What a group client says of a command that was refused: nothing was done, only where no copy of it may be under way. */
import { expect, test } from "bun:test";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { OutcomeUnknownError, RefusedError } from "../../../src/reactive/failures.ts";
import { ResultStatus } from "../../../src/reactive/replication/client-codec.ts";
import { GroupClient } from "../../../src/reactive/replication/group-client.ts";
import type { LocalReplica } from "../../../src/reactive/replication/replica-line.ts";
import { WINDOW_MAX } from "../../../src/reactive/replication/sessions.ts";
import { ByteWriter } from "../../../src/reactive/wire/bytes.ts";

test.each([
  ["the first time", 0, RefusedError],
  ["when it was sent before, and no answer came", 1, OutcomeUnknownError],
])("a command that an overloaded primary refuses %s", (_name, unanswered, wanted) => {
  const scheduler = new Scheduler(1);
  scheduler.run(async () => {
    const world = { clock: new SimClock(scheduler), random: seededRandom(1), net: undefined as never };
    let left = unanswered;
    const replica: LocalReplica = {
      requestBytesMax: 1 << 20,
      command: ({ session, number }, reply) => {
        if (session === 0) {
          reply({ session, number, status: ResultStatus.ok, view: 0, body: new ByteWriter(8).u64(7).done() });
          return;
        }
        if (left-- > 0) return;
        reply({ session, number, status: ResultStatus.refused, view: 0, body: Buffer.from("too many") });
      },
      query: () => {},
    };
    const replicas = [{ host: "127.0.0.1", port: 1 }];
    const client = new GroupClient({ world, replicas, group: "", here: { index: 0, replica } });
    const error = await client.command(Buffer.from("x")).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(wanted);
    client.close();
  });
});

test("queries use up nothing of the window of commands: a slow command holds up no others", () => {
  const scheduler = new Scheduler(1);
  scheduler.run(async () => {
    const world = { clock: new SimClock(scheduler), random: seededRandom(1), net: undefined as never };
    const commands: number[] = [];
    const ok = { status: ResultStatus.ok, view: 0 };
    const replica: LocalReplica = {
      requestBytesMax: 1 << 20,
      command: ({ session, number }, reply) => {
        if (session === 0) return reply({ session, number, ...ok, body: new ByteWriter(8).u64(7).done() });
        commands.push(number);
        if (number > 1) reply({ session, number, ...ok, body: new Uint8Array(0) });
      },
      query: ({ number, body }, reply) => reply({ session: 0, number, ...ok, body }),
    };
    const replicas = [{ host: "127.0.0.1", port: 1 }];
    const client = new GroupClient({ world, replicas, group: "", here: { index: 0, replica } });
    const slow = client.command(Buffer.from("slow")).catch((error: Error) => error);
    for (let count = 0; count < 2 * WINDOW_MAX; count++)
      expect(await client.query(Uint8Array.of(count))).toEqual(Uint8Array.of(count));
    await client.command(Buffer.from("quick"));
    expect(commands.slice(-1)).toEqual([2]);
    client.close();
    expect(await slow).toBeInstanceOf(OutcomeUnknownError);
  });
});
