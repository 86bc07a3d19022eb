/** Files embedded by `with { type: "file" }`: the import is a path. */
declare module "*.bin" {
  const path: string;
  export default path;
}

/** Style sheets embedded by `with { type: "text" }`. */
declare module "*.css" {
  const text: string;
  export default text;
}
