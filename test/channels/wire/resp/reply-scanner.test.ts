import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ReplyScanner, type ReplySink } from "../../../../src/channels/wire/resp/reply-scanner.ts";

/** What a sink was told, as text; parts of one string are joined. */
class Notes implements ReplySink {
  readonly replies: string[] = [];
  #bytes: Buffer[] = [];
  #error = "";

  reply(type: number): void {
    const bytes = this.#bytes.length > 0 ? ` ${Buffer.concat(this.#bytes).toString("latin1")}` : "";
    this.replies.push(String.fromCharCode(type) + bytes + (type === 0x2d ? ` ${this.#error}` : ""));
    this.#bytes = [];
  }

  error(text: string): void {
    this.#error = text;
  }

  bytes(chunk: Uint8Array, start: number, end: number, offset: number, length: number): void {
    const soFar = this.#bytes.reduce((sum, part) => sum + part.length, 0);
    if (offset !== soFar || end <= start || offset + end - start > length)
      throw new Error("bytes told out of order");
    this.#bytes.push(Buffer.from(chunk.subarray(start, end)));
  }
}

function scan(stream: Uint8Array, cuts: readonly number[] = []): string[] {
  const notes = new Notes();
  const scanner = new ReplyScanner(notes);
  const edges = [0, ...cuts.toSorted((one, other) => one - other), stream.length];
  for (let index = 1; index < edges.length; index++)
    scanner.scan(stream.subarray(edges[index - 1], edges[index]));
  return notes.replies;
}

const latin1 = (text: string) => Buffer.from(text, "latin1");

/** A value on the wire, and what the sink must be told of it when it stands at the top. */
interface Sample {
  wire: string;
  told: string;
}

const lineText = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const anyBytes = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const bulk =
  (type: string) =>
  (text: string): Sample => ({
    wire: `${type}${text.length}\r\n${text}\r\n`,
    told: type + (text === "" ? "" : ` ${text}`),
  });

const scalars: fc.Arbitrary<Sample>[] = [
  lineText.map((text) => ({ wire: `+${text}\r\n`, told: "+" })),
  lineText.map((text) => ({ wire: `-${text}\r\n`, told: `- ${text}` })),
  fc.integer().map((value) => ({ wire: `:${value}\r\n`, told: ":" })),
  anyBytes.map(bulk("$")),
  anyBytes.map(bulk("=")),
  lineText.map((text) => ({ wire: `!${text.length}\r\n${text}\r\n`, told: `- ${text}` })),
  fc.constantFrom(
    { wire: "$-1\r\n", told: "_" },
    { wire: "*-1\r\n", told: "_" },
    { wire: "_\r\n", told: "_" },
    { wire: "#t\r\n", told: "#" },
    { wire: ",3.25e7\r\n", told: "," },
    { wire: "(3492890328409238509324850943850943825024385\r\n", told: "(" },
  ),
];

const { value } = fc.letrec<{ value: Sample; pairs: Sample }>((tie) => {
  const many = (length: number) => fc.array(tie("value") as fc.Arbitrary<Sample>, { maxLength: length });
  const aggregate = (type: string, unit: number) =>
    many(4).map((values) => {
      const whole = values.slice(0, values.length - (values.length % unit));
      return {
        wire: `${type}${whole.length / unit}\r\n${whole.map((one) => one.wire).join("")}`,
        told: type,
      };
    });
  return {
    pairs: aggregate("%", 2),
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      ...scalars,
      aggregate("*", 1),
      aggregate("~", 1),
      tie("pairs") as fc.Arbitrary<Sample>,
    ),
  };
});

/** A push and an attribute are no replies; they stand before one. */
const outOfBand = fc.constantFrom(
  "",
  ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
  "|1\r\n+ttl\r\n:3600\r\n",
  ">0\r\n",
);
const stream = fc.array(fc.tuple(outOfBand, value), { minLength: 1, maxLength: 8 }).map((replies) => ({
  bytes: latin1(replies.map(([before, reply]) => before + reply.wire).join("")),
  told: replies.map(([, reply]) => reply.told),
}));

describe("the reply scanner", () => {
  test("tells each reply once, wherever the stream is cut", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), ({ bytes, told }, cuts) => {
        expect(
          scan(
            bytes,
            cuts.map((cut) => cut % (bytes.length + 1)),
          ),
        ).toEqual(told);
      }),
      { numRuns: 500 },
    );
  });

  test("tells the same for every single cut and for bytes one by one", () => {
    const bytes = latin1(
      "+OK\r\n$5\r\na\r\nb\0\r\n$0\r\n\r\n*3\r\n:1\r\n$-1\r\n*1\r\n-ERR inner\r\n-ERR outer\r\n%1\r\n+k\r\n|1\r\n+a\r\n+b\r\n:1\r\n_\r\n",
    );
    const told = ["+", "$ a\r\nb\0", "$", "*", "- ERR outer", "%", "_"];
    for (let cut = 0; cut <= bytes.length; cut++) expect(scan(bytes, [cut])).toEqual(told);
    expect(
      scan(
        bytes,
        Array.from({ length: bytes.length }, (_, at) => at),
      ),
    ).toEqual(told);
  });

  test("tells nothing of a reply that is not complete", () => {
    const bytes = latin1("*2\r\n$3\r\nabc\r\n%1\r\n+k\r\n:1\r\n");
    for (let length = 0; length < bytes.length; length++) expect(scan(bytes.subarray(0, length))).toEqual([]);
  });

  test.each([
    ["HTTP/1.1 400 Bad Request\r\n", "begins with byte 0x48"],
    ["$9999999999\r\n", "9999999999 bytes"],
    ["*99999999999\r\n", "more than 10 digits"],
    ["*4000000000\r\n", "4000000000 elements"],
    ["$-2\r\n", "-2"],
    ["$1a\r\n", "not a number"],
    ["$\r\n", "not a number"],
    ["$--1\r\n", "not a number"],
    ["$1\r\nab\r\n", "longer than its length"],
    ["$1\r\na\rb", "does not end with CR LF"],
    ["+OK\rx", "does not end with CR LF"],
    ["|-1\r\n", "negative"],
    [`+${"x".repeat(70_000)}`, "longer than 65536"],
  ])("refuses %#: %2$s", (text, reason) => {
    expect(() => scan(latin1(text))).toThrow(reason);
  });

  test("never does anything but count or refuse, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          scan(bytes);
        } catch (error) {
          expect(error).toHaveProperty("code", "NX_CONNECT_FAILED");
        }
      }),
    );
  });
});
