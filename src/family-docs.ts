/** Documents that families make from their own tables, by path in docs/; `bun src/cli/generate.ts` writes them. */
export async function familyDocuments(): Promise<Map<string, string>> {
  const [{ alertRules }, { grafanaDashboard }, { metricsPage }] = await Promise.all([
    import("./hub/monitoring/alerts.ts"),
    import("./hub/monitoring/grafana.ts"),
    import("./hub/monitoring/page.ts"),
  ]);
  return new Map([
    ["metrics.md", metricsPage()],
    ["prometheus-alerts.yml", alertRules()],
    ["grafana-dashboard.json", grafanaDashboard()],
  ]);
}
