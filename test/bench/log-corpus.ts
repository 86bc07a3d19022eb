/**
 * The corpus "web and application, seed N": lines as access logs and application logs have them, the same on every machine.
 *
 * Half of it is in the combined format of web servers (addresses by a power law, paths of a shop, agents of a short list),
 * half application lines with request ids, durations and now and then an error. Roughly two lines a second.
 */
import { seededRandom, type Random } from "../../src/core/seams/random.ts";

export interface CorpusLine {
  key: bigint;
  value: string;
}

const FIRST_SECOND = 1_764_000_000;
const paths = [
  "/",
  "/cart",
  "/checkout",
  "/login",
  "/search",
  "/static/app.js",
  "/static/style.css",
  "/api/v1/items",
];
const agents = [
  "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
  "curl/8.5.0",
];
const modules = ["checkout.payment", "catalog.search", "session.store", "http.client", "mail.sender"];

const pick = <Item>(random: Random, items: readonly Item[]): Item =>
  items[Math.floor(random.float() ** 2 * items.length)] as Item;
const hex = (random: Random, digits: number) =>
  Array.from({ length: digits }, () => random.integer(16).toString(16)).join("");

function accessLine(random: Random, time: string): string {
  const address = `10.${random.integer(4)}.${Math.floor(random.float() ** 3 * 200)}.${Math.floor(random.float() ** 2 * 250)}`;
  const path = pick(random, paths);
  const query =
    path === "/search" ? `?q=${hex(random, 4)}` : path.startsWith("/api") ? `/${random.integer(20_000)}` : "";
  const status = random.integer(50) === 0 ? 404 : random.integer(200) === 0 ? 500 : 200;
  return `${address} - - [${time}] "GET ${path}${query} HTTP/1.1" ${status} ${200 + random.integer(40_000)} "-" "${pick(random, agents)}"`;
}

function applicationLine(random: Random, time: string): string {
  const level = random.integer(60) === 0 ? "ERROR" : random.integer(20) === 0 ? "WARN" : "INFO";
  const detail =
    level === "ERROR"
      ? `upstream timed out after ${1000 + random.integer(9000)} ms`
      : `done in ${random.integer(800)} ms`;
  return `${time} level=${level} module=${pick(random, modules)} request=${hex(random, 16)} user=${Math.floor(random.float() ** 2 * 50_000)} ${detail}`;
}

/** Lines of about `bytes` together. */
export function corpus(bytes: number, seed = 1): CorpusLine[] {
  const random = seededRandom(seed);
  const lines: CorpusLine[] = [];
  let total = 0;
  for (let index = 0; total < bytes; index++) {
    const seconds = FIRST_SECOND + Math.floor(index / 2);
    const time = new Date(seconds * 1000).toISOString();
    const value = random.integer(2) === 0 ? accessLine(random, time) : applicationLine(random, time);
    lines.push({ key: BigInt(seconds), value });
    total += value.length + 1;
  }
  return lines;
}
