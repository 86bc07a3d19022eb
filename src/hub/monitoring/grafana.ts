/** The dashboard for Grafana, made from the table of figures: a row for each family, a panel for each figure. */
import { figures, type Figure, type Unit } from "../figures.ts";
import { familyOfRole } from "../messages.ts";

const COLUMNS = 3;
const WIDTH = 24 / COLUMNS;
const HEIGHT = 7;

const units: Record<Unit, string> = {
  count: "short",
  bytes: "bytes",
  seconds: "s",
  percent: "percent",
  ratio: "percentunit",
};

/** What the panel of a figure asks Prometheus; undefined for a figure that is only in `/stats`. */
export function queryOf({ metric, kind, unit }: Figure): string | undefined {
  if (metric === undefined) return undefined;
  const selected = `${metric}{instance=~"$instance"}`;
  if (kind === "gauge") return selected;
  const growth = `rate(${selected}[$__rate_interval])`;
  return unit === "percent" ? `100 * ${growth}` : growth;
}

function rowOf({ roles }: Figure): string {
  return roles === undefined ? "Every instance" : (familyOfRole[roles[0] ?? ""] ?? "other");
}

function unitOf({ kind, unit }: Figure): string {
  if (kind === "gauge" || unit === "percent") return units[unit];
  return unit === "bytes" ? "Bps" : "ops";
}

const dataSource = { type: "prometheus", uid: "${source}" };

function panelOf(figure: Figure, id: number, x: number, y: number) {
  const role = figure.roles === undefined ? "" : `${figure.roles.join(", ")}: `;
  return {
    id,
    type: "timeseries",
    title: `${role}${figure.title}`,
    datasource: dataSource,
    gridPos: { x, y, w: WIDTH, h: HEIGHT },
    fieldConfig: {
      defaults: { unit: unitOf(figure), min: 0, custom: { fillOpacity: 8, lineWidth: 1 } },
      overrides: [],
    },
    options: {
      legend: { displayMode: "list", placement: "bottom" },
      tooltip: { mode: "multi", sort: "desc" },
    },
    targets: [{ refId: "A", datasource: dataSource, expr: queryOf(figure), legendFormat: "{{instance}}" }],
  };
}

function variable(name: string, label: string, more: object) {
  return { name, label, hide: 0, ...more };
}

export function grafanaDashboard(): string {
  const drawn = figures.filter((figure) => queryOf(figure) !== undefined);
  const panels: object[] = [];
  let id = 1;
  let y = 0;
  for (const [title, members] of Map.groupBy(drawn, rowOf)) {
    panels.push({
      id: id++,
      type: "row",
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    });
    y += 1;
    members.forEach((figure, index) => {
      const line = Math.floor(index / COLUMNS);
      panels.push(panelOf(figure, id++, (index % COLUMNS) * WIDTH, y + line * HEIGHT));
    });
    y += Math.ceil(members.length / COLUMNS) * HEIGHT;
  }
  const dashboard = {
    title: "node-x",
    uid: "node-x",
    tags: ["node-x"],
    schemaVersion: 39,
    editable: true,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        variable("source", "Data source", { type: "datasource", query: "prometheus" }),
        variable("instance", "Instance", {
          type: "query",
          datasource: dataSource,
          query: { query: "label_values(node_x_up, instance)", refId: "instances" },
          refresh: 2,
          includeAll: true,
          multi: true,
          allValue: ".*",
          current: { text: "All", value: "$__all" },
        }),
      ],
    },
    panels,
  };
  return `${JSON.stringify(dashboard, null, 1)}\n`;
}
