/**
 * What can be checked of a page for everybody who reads it: names, structure, contrast, width. Runs in the page.
 *
 * `axe-core` is used on top where it is installed; these rules are what holds without it.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";

/** Complaints, each naming the element. */
export async function accessibilityComplaints(page: Page): Promise<string[]> {
  return [...((await page.evaluate(checksInPage)) as string[]), ...(await axeComplaints(page))];
}

const axePath = join(import.meta.dir, "../../node_modules/axe-core/axe.min.js");
export const hasAxe = existsSync(axePath);

interface AxeResult {
  violations: { id: string; impact: string | null; nodes: { html: string }[] }[];
}

async function axeComplaints(page: Page): Promise<string[]> {
  if (!hasAxe) return [];
  await page.evaluate(readFileSync(axePath, "utf8"));
  const { violations } = (await page.evaluate("axe.run()")) as AxeResult;
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `axe ${id}: ${nodes[0]?.html}`);
}

/**
 * Waits until an expression holds in the page. `page.waitForFunction` asks again from inside the page, where our content security
 * policy forbids to evaluate text: it would fail whenever the first look comes too early.
 */
export async function becomesTrue(page: Page, expression: string, limitMs = 60_000): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await page.evaluate(`Boolean(${expression})`))) {
    if (performance.now() > deadlineMs) throw new Error(`not true within ${limitMs} ms: ${expression}`);
    await page.waitForTimeout(10);
  }
}

/** As text, because it runs in the browser and not here. */
const checksInPage = String.raw`(() => {
  const found = [];
  const describe = (element) => element.outerHTML.slice(0, 120);
  const complain = (rule, element) => found.push(rule + ": " + describe(element));
  const isShown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const nameOf = (element) => {
    const labelled = element.getAttribute("aria-labelledby");
    if (labelled) return labelled.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
    return (label ?? "").trim() || (element.getAttribute("title") ?? "");
  };

  if (document.documentElement.lang === "") found.push("the page has no language");
  if (document.title === "") found.push("the page has no title");
  for (const [selector, count] of [["main", 1], ["h1", 1]])
    if (document.querySelectorAll(selector).length !== count) found.push("wanted " + count + " of " + selector);
  for (const element of document.querySelectorAll("a, button, select, input, [role=img], [role=meter], [role=button], dialog, nav"))
    if (nameOf(element) === "") complain("no name", element);
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids.filter((id, index) => ids.indexOf(id) !== index)) found.push("id twice: " + id);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) complain("a heading skips a level", heading);
    level = own;
  }
  for (const table of document.querySelectorAll("table")) {
    if (table.caption === null) complain("a table without caption", table);
    for (const header of table.querySelectorAll("thead th")) if (header.scope !== "col") complain("no scope", header);
  }
  for (const list of document.querySelectorAll("ul, ol"))
    for (const child of list.children) if (child.tagName !== "LI") complain("no list item", child);
  for (const element of document.querySelectorAll("[tabindex]"))
    if (element.tabIndex > 0) complain("an order of its own for the tab key", element);
  for (const element of document.querySelectorAll("[aria-hidden=true]"))
    if (element.querySelector("a, button, input, select, [tabindex]")) complain("hidden, but can have the focus", element);

  const numbers = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const over = (top, [r, g, b]) => {
    const [tr, tg, tb, alpha = 1] = top;
    return [tr * alpha + r * (1 - alpha), tg * alpha + g * (1 - alpha), tb * alpha + b * (1 - alpha)];
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at !== null; at = at.parentElement) layers.push(numbers(getComputedStyle(at).backgroundColor));
    const ground = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    return layers.reverse().reduce((color, layer) => over(layer, color), ground);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
    const element = node.parentElement;
    if (node.textContent.trim() === "" || element === null || seen.has(element) || !isShown(element)) continue;
    if (element.closest(".unseen, .skip, noscript, option, :disabled") !== null) continue;
    seen.add(element);
    const style = getComputedStyle(element);
    const ink = element.closest("svg") === null ? style.color : style.fill;
    const ground = behind(element);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(over(numbers(ink), ground), ground);
    if (ratio < (isLarge ? 3 : 4.5)) complain("contrast " + ratio.toFixed(2), element);
  }
  return found;
})()`;
