/** How verbs write; it lives in core, because roles bring verbs of their own. */
export * from "../core/print.ts";
