/** The shape of a verb; it lives in core, because roles bring verbs of their own. */
export * from "../core/verb.ts";
