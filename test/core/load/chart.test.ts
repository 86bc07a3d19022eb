/** The chart is judged by a browser: it must parse as XML and hold one vertex for each point of the report. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { chartSvg } from "../../../src/core/load/chart.ts";
import { Recorder } from "../../../src/core/load/recorder.ts";
import { buildReport, type LoadReport } from "../../../src/core/load/report.ts";

let browser: Browser;
let page: Page;

beforeAll(async () => {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) throw new Error("chromium is not installed: `apt-get install chromium`");
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  page = await browser.newPage();
});

afterAll(async () => {
  await browser?.close();
});

/** Vertices of each curve, and the error of the parser if there is one. */
async function parse(svg: string) {
  return await page.evaluate((text) => {
    const document = new DOMParser().parseFromString(text, "image/svg+xml");
    const curves = [...document.querySelectorAll("path.curve")].map((path) => {
      const commands = (path.getAttribute("d") ?? "").match(/[ML][^MLZ]*/g) ?? [];
      const numbers = commands.flatMap((command) => command.slice(1).split(",").map(Number));
      return {
        panel: path.parentElement?.id,
        vertices: commands.length,
        areFinite: numbers.every(Number.isFinite),
      };
    });
    return { error: document.querySelector("parsererror")?.textContent ?? "", curves, title: document.title };
  }, svg);
}

function report(requests: number, server = "node-x 0.1.0"): LoadReport {
  const recorder = new Recorder(["SET"], 0);
  for (let request = 0; request < requests; request++) {
    recorder.requests += 1;
    recorder.reply(0, 0.05 + (request * request) / 1e5);
    recorder.timeline.count(1, request * 7);
  }
  const facts = { tool: "test", startedAtMs: 0, address: "h:1", server, options: {}, generatorCpuSeconds: 0 };
  return buildReport(recorder, { ...facts, endMs: Math.max(1, requests * 7) });
}

describe("the chart", () => {
  test.each([[1], [2], [10], [1000]])(
    "has a vertex for each point of a report of %d requests",
    async (requests) => {
      const shown = report(requests);
      expect(await parse(chartSvg(shown))).toMatchObject({
        error: "",
        curves: [
          { panel: "latency", vertices: shown.curve.length, areFinite: true },
          { panel: "throughput", vertices: shown.timeline.length, areFinite: true },
        ],
      });
    },
  );

  test("is a document even of a run without replies", async () => {
    const { error, curves } = await parse(chartSvg(report(0)));
    expect(error).toBe("");
    expect(curves.map((curve) => curve.vertices)).toEqual([0, 0]);
  });

  test("shows a server's name as text, whatever it is", async () => {
    const { error, title } = await parse(chartSvg(report(5, `<script>&"'\u0007]]>`)));
    expect(error).toBe("");
    expect(title).toContain(`<script>&"' ]]>`);
  });
});
