/** What is generated for Prometheus and Grafana from the hub's tables. */
import { expect, test } from "bun:test";
import { figures } from "../../src/hub/figures.ts";
import { alertRules, alerts } from "../../src/hub/monitoring/alerts.ts";
import { grafanaDashboard, queryOf } from "../../src/hub/monitoring/grafana.ts";

interface Rule {
  alert: string;
  expr: string;
  for: string;
  labels: { severity: string };
  annotations: { summary: string; description: string };
}

/** Brackets are closed in the order in which they were opened, outside of strings. */
function isBalanced(expression: string): boolean {
  const open: string[] = [];
  const closing: Record<string, string> = { ")": "(", "]": "[", "}": "{" };
  for (const sign of expression.replaceAll(/"[^"]*"/g, "")) {
    if ("([{".includes(sign)) open.push(sign);
    else if (sign in closing && open.pop() !== closing[sign]) return false;
  }
  return open.length === 0;
}

test("the rule file is YAML that has every alert, with its text as it was written", () => {
  const file = Bun.YAML.parse(alertRules()) as { groups: { name: string; rules: Rule[] }[] };
  expect(file.groups.map(({ name }) => name)).toEqual(["node-x"]);
  const rules = file.groups[0]?.rules ?? [];
  expect(rules.map(({ alert, expr, annotations: { description } }) => [alert, expr, description])).toEqual(
    alerts.map(({ name, expression, action }) => [name, expression, action]),
  );
  for (const { expr, for: duration, labels } of rules) {
    expect(isBalanced(expr)).toBe(true);
    expect(duration).toMatch(/^\d+m$/);
    expect(["page", "ticket"]).toContain(labels.severity);
  }
  expect(new Set(alerts.map(({ name }) => name)).size).toBe(alerts.length);
});

test("the dashboard draws every figure that has a metric, once, and no panel covers another", () => {
  const { panels } = JSON.parse(grafanaDashboard()) as {
    panels: {
      id: number;
      type: string;
      gridPos: { x: number; y: number; w: number; h: number };
      targets?: { expr: string }[];
    }[];
  };
  const drawn = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(drawn.toSorted()).toEqual(figures.flatMap((figure) => queryOf(figure) ?? []).toSorted());
  for (const expression of drawn) expect(isBalanced(expression)).toBe(true);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
});

test("no figure is in the table twice", () => {
  expect(new Set(figures.map(({ id }) => id)).size).toBe(figures.length);
});
