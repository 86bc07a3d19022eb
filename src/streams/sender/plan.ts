/** From a sender's configuration to its connections: which feed goes where, under which name. */
import { parseAddress } from "../../core/config/group-file.ts";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { SendingConfig } from "./config.ts";
import { counterFeed, textCounterFeed, type Feed } from "./feed.ts";
import { fileFeed } from "./file-feed.ts";
import type { Address } from "./line.ts";
import { Market } from "./market.ts";

export interface PlannedLine {
  name: string;
  address: Address;
  feed: Feed;
  /** Lines of a later stage start when all of the stage before are done. */
  stage: number;
}

const ENDLESS = Number.POSITIVE_INFINITY;

/** Throws NX_INPUT_INVALID, NX_CONFIG_INVALID. */
export async function planLines(config: SendingConfig, disk: Disk): Promise<PlannedLine[]> {
  const lines = await linesOf(config, disk);
  return lines.map((line) => ({ ...line, name: `${config.streamPrefix}${line.name}` }));
}

async function linesOf(config: SendingConfig, disk: Disk): Promise<PlannedLine[]> {
  const { feed, counters, file } = config;
  const line = (name: string, target: number, own: Feed, stage = 0): PlannedLine => ({
    ...{ name, feed: own, stage },
    address: targetOf(config, target),
  });
  switch (feed) {
    case "counters":
      return Array.from({ length: counters.keys }, (_, index) => {
        const key = `${counters.prefix}${index}`;
        return line(key, index % config.to.length, counterFeed(key, counters.from, counters.until));
      });
    case "numbers": {
      const { from, until, partition } = counters;
      const numbers = counters.isText ? textCounterFeed(from, until) : counterFeed(partition, from, until);
      return [line("numbers", 0, numbers)];
    }
    case "file":
      if (file.paths.length === 0)
        throw new NxError("NX_CONFIG_INVALID", "feed is file, and file.paths names none", {
          hint: "set file.paths, or another feed",
        });
      return Promise.all(
        file.paths.map(async (path, index) =>
          line(path, index % config.to.length, await fileFeed(disk, { ...file, path })),
        ),
      );
    case "market":
      return marketLines(config, line);
  }
}

function marketLines(
  { market: options, to }: SendingConfig,
  line: (name: string, target: number, feed: Feed, stage?: number) => PlannedLine,
): PlannedLine[] {
  const market = new Market(options);
  const [orders, quotes] = [options.orders || ENDLESS, options.quotes || ENDLESS];
  const quotesTo = Math.min(1, to.length - 1);
  const first = options.areQuotesFirst ? [line("initial-quotes", quotesTo, market.initialQuotes(), 0)] : [];
  return [
    ...first,
    line("orders", 0, market.orders(orders), 1),
    line("quotes", quotesTo, market.quotes(quotes), 1),
  ];
}

function targetOf({ to }: SendingConfig, index: number): Address {
  const address = parseAddress(to[index] as string);
  if (typeof address === "string") throw new NxError("NX_CONFIG_INVALID", `to: wanted ${address}`);
  return address;
}
