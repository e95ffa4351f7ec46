import { dirname, join, normalize } from "node:path";

/** What a module loads before its first line runs, by its source: files of ours, and packages. */
export interface StaticImports {
  /** From the file to the one that asked for it first. */
  readonly files: ReadonlyMap<string, string | undefined>;
  readonly packages: ReadonlyMap<string, string>;
}

export async function staticImports(root: string): Promise<StaticImports> {
  const files = new Map<string, string | undefined>([[root, undefined]]);
  const packages = new Map<string, string>();
  const left = [root];
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (!file.endsWith(".ts")) continue;
    // The transpiler drops imports of types, as the bundler does.
    const source = await Bun.file(file).text();
    for (const { path, kind } of transpiler.scanImports(source)) {
      if (kind !== "import-statement") continue;
      if (!path.startsWith(".")) {
        if (!packages.has(path)) packages.set(path, file);
        continue;
      }
      const target = normalize(join(dirname(file), path));
      if (files.has(target)) continue;
      files.set(target, file);
      left.push(target);
    }
  }
  return { files, packages };
}

/** `file`, and who loads it, up to the root. */
export function wayTo({ files }: StaticImports, file: string): string {
  const way: string[] = [];
  for (let at: string | undefined = file; at !== undefined; at = files.get(at)) way.push(at);
  return way.join(" < ");
}

const transpiler = new Bun.Transpiler({ loader: "ts" });
