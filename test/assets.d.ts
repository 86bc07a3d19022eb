/** Files embedded by `with { type: "file" }`: the import is a path. */
declare module "*.bin" {
  const path: string;
  export default path;
}
