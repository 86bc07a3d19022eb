/** The file-replica protocol, each command as the original's clients use it, and what the server refuses. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { writePiece } from "../../../src/streams/wire/replica.ts";
import { withReplica } from "./harness.ts";

const piece = (text: string) => {
  const writer = new ByteWriter();
  writePiece(writer, Buffer.from(text));
  return writer.done();
};

describe("the original's commands", () => {
  test("u, a, raw bytes, status at the end, l, g", () => {
    withReplica(1, async (client, { connect, cluster }) => {
      expect(await client.ask("uworker2")).toBe("ok");
      expect(await client.ask("afile\t0")).toBe("ok");
      client.write("hello ");
      client.write("world");
      const other = await connect();
      expect(await other.ask("uworker2")).toBe("ok");
      expect(await client.next()).toBe("11\t11");
      expect(await other.ask("l")).toBe("file\t11\tyes\n");
      expect(await other.ask("gfile\t6\t3")).toBe("wor");
      expect(await other.ask("gfile\t6\t0")).toBe("world");
      expect(await other.ask("gfile\t-1\t2")).toBe("he");
      expect(await other.ask("gfile\t50\t3")).toBe("");
      client.close();
      await new Promise<void>((resolve) => cluster.scheduler.after(100, resolve));
      expect(await other.ask("l")).toBe("file\t11\tno\n");
      expect(await other.ask("sfile")).toBe("11\t11");
      expect(await other.ask("dfile")).toBe("ok");
      expect(await other.ask("l")).toBe("");
    });
  });

  test("a status comes about once a second while bytes flow, and says what is synced", () => {
    withReplica(2, async (client, { cluster }) => {
      await client.ask("uw");
      await client.ask("af\t0");
      let statuses = 0;
      const reading = (async () => {
        for (let text = await client.next(); text !== ""; text = await client.next()) statuses++;
      })();
      for (let round = 0; round < 50; round++) {
        client.write("x".repeat(100));
        await new Promise<void>((resolve) => cluster.scheduler.after(100, resolve));
      }
      client.close();
      await reading;
      expect(statuses).toBeGreaterThanOrEqual(4);
      expect(statuses).toBeLessThanOrEqual(6);
    });
  });

  test.each([
    ["an append that does not begin at the end", "af\t3", "ERROR: f has 0 bytes, the append begins at 3"],
    ["an unknown command", "x", "ERROR: unknown command"],
    [
      "a path out of the directory",
      "g../../etc/passwd\t0\t0",
      'ERROR: "../../etc/passwd" is not the name of a file',
    ],
    ["a missing file", "gnone\t0\t0", "ERROR: there is no file none"],
    ["a number that is none", "af\tzero", 'ERROR: "zero" is not a number'],
  ])("%s is answered with an error, and the connection ends", (_name, request, answer) => {
    withReplica(3, async (client) => {
      await client.ask("uw");
      expect(await client.ask(request)).toBe(answer);
      expect(await client.next()).toBe("");
    });
  });

  test("one appender at a time, of the same name in the same directory only", () => {
    withReplica(4, async (client, { connect }) => {
      await client.ask("uw");
      expect(await client.ask("af\t0")).toBe("ok");
      const second = await connect();
      await second.ask("uw");
      expect(await second.ask("af\t0")).toBe("ERROR: f is being appended to");
      const elsewhere = await connect();
      await elsewhere.ask("uother");
      expect(await elsewhere.ask("af\t0")).toBe("ok");
    });
  });

  test("nothing is done before a directory is selected; V selects only what is there", () => {
    withReplica(5, async (client, { connect }) => {
      expect(await client.ask("l")).toBe("ERROR: select a directory first");
      const other = await connect();
      expect(await other.ask("Vnone")).toBe("ERROR: there is no directory none");
    });
  });
});

describe("checked appends", () => {
  test("each piece is answered once it is synced; a cut and a checksum follow", () => {
    withReplica(6, async (client, { connect, cluster }) => {
      await client.ask("uw");
      expect(await client.ask("Af\t0")).toBe("ok");
      client.write(piece("123456789"));
      expect(await client.next()).toBe("9\t9");
      client.write(piece("more"));
      expect(await client.next()).toBe("13\t13");
      client.close();
      await new Promise<void>((resolve) => cluster.scheduler.after(100, resolve));
      const other = await connect();
      await other.ask("uw");
      expect(await other.ask("Cf\t9")).toBe("e3069283");
      expect(await other.ask("Tf\t9")).toBe("ok");
      expect(await other.ask("gf\t0\t0")).toBe("123456789");
    });
  });

  test("bytes that came with the request, before its answer, are not lost", () => {
    withReplica(7, async (client) => {
      await client.ask("uw");
      const request = Buffer.from("\0\0\0\x04Af\t0", "latin1");
      client.write(Buffer.concat([request, piece("early")]));
      expect([await client.next(), await client.next()]).toEqual(["ok", "5\t5"]);
    });
  });

  test("a damaged piece ends the append and is not written", () => {
    withReplica(8, async (client, { connect, cluster }) => {
      await client.ask("uw");
      await client.ask("Af\t0");
      client.write(piece("good"));
      expect(await client.next()).toBe("4\t4");
      const damaged = piece("evil");
      damaged[9] = 0;
      client.write(damaged);
      expect(await client.next()).toBe("ERROR: a piece fails its checksum");
      await new Promise<void>((resolve) => cluster.scheduler.after(100, resolve));
      const other = await connect();
      await other.ask("uw");
      expect(await other.ask("gf\t0\t0")).toBe("good");
    });
  });
});
