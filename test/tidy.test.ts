import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { remoteErrorCodes } from "../src/protocol/errors.ts";
import { frameTypes } from "../src/protocol/frame.ts";
import { requestSchema } from "../src/protocol/message.ts";
import { closeCodes } from "../src/quic/connection.ts";

/** The shape of the tree, as a test: what a reviewer would otherwise have to look for. */

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = list("src/**/*.ts").filter((path) => !path.endsWith(".d.ts"));
const everything = [
  ...sources,
  ...["test", "bench", "build"].flatMap((folder) => list(`${folder}/**/*.ts`)),
];
const texts = new Map(everything.map((path) => [path, readFileSync(join(root, path), "utf8")]));
/** Written by a generator from the platform's API description. */
const generated: ReadonlySet<string> = new Set(["src/fly/api-types.ts"]);

/** Who may import whom; a role may also import itself, never another. */
const allowedAreas: Readonly<Record<string, readonly string[]>> = {
  protocol: ["protocol"],
  system: ["system", "protocol"],
  quic: ["quic", "system", "protocol"],
  fly: ["fly", "system", "protocol"],
  cli: ["cli", "system", "protocol"],
  role: ["cli", "fly", "quic", "system", "protocol"],
};

test("the tree is there", () => {
  expect(sources.length).toBeGreaterThan(20);
});

test("imports go down only, and roles never import each other", () => {
  const wrong = imports(sources).filter(({ from, to }) => {
    if (from === "src/main.ts") return !/^src\/(cli|system)\/|^src\/roles\/\w+\/main\.ts$/.test(to);
    const area = areaOf(from);
    if (area === "cli" && to === "package.json") return false; // The version that --version prints.
    if (area.startsWith("role/"))
      return areaOf(to) !== area && !allowedAreas["role"]?.includes(areaOf(to));
    return !allowedAreas[area]?.includes(areaOf(to));
  });
  expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
});

test("the protocol needs nothing but itself and valibot", () => {
  const packages = sources
    .filter((path) => areaOf(path) === "protocol")
    .flatMap((path) => specifiers(path).filter((name) => !name.startsWith("./")));
  expect(packages.filter((name) => name !== "valibot")).toEqual([]);
});

test("no module imports itself by way of others", () => {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports(sources))
    targets.set(from, [...(targets.get(from) ?? []), to]);
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (trail.includes(path) || finished.has(path)) return;
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path]);
    finished.add(path);
  };
  for (const path of sources) visit(path, []);
  expect(cycles).toEqual([]);
});

test("every import names a file that is there", () => {
  expect(imports(everything).filter(({ to }) => !existsSync(join(root, to)))).toEqual([]);
});

test("files stay below 400 lines", () => {
  const long = everything.filter(
    (path) => !generated.has(path) && textOf(path).split("\n").length > 401,
  );
  expect(long).toEqual([]);
});

test("file names are nouns in kebab-case, not drawers", () => {
  const drawers = /^(utils?|helpers?|common|misc|managers?|types?|index)$/;
  const wrong = everything.filter((path) => {
    const stem = basename(path).replace(/(\.(test|bench|child))?\.ts$/, "");
    return (
      !generated.has(path) &&
      (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem) || stem.split("-").some((word) => drawers.test(word)))
    );
  });
  expect(wrong).toEqual([]);
});

test("no barrels and no default exports", () => {
  const barrel = /^export (\*|\{[^}]*\}|type \{[^}]*\}) from /m;
  const wrong = sources.filter(
    (path) => barrel.test(textOf(path)) || /^export default/m.test(textOf(path)),
  );
  expect(wrong).toEqual([]);
});

test("nothing unfinished is left behind", () => {
  const marker = /\b(TO(DO)|FIX(ME)|XX(X)|HA(CK))\b/;
  const documents = [...list("docs/*.md"), ...list("*.md"), ...list("build/*")];
  const marked = [...everything, ...documents].filter((path) =>
    marker.test(readFileSync(join(root, path), "utf8")),
  );
  expect(marked).toEqual([]);
});

test("tests are not switched off or narrowed down", () => {
  const wrong = everything.filter((path) =>
    /\b(test|describe|it)\.(only|todo|failing)\(/.test(textOf(path)),
  );
  expect(wrong).toEqual([]);
});

test("every module can be loaded without doing anything, main.ts apart", async () => {
  for (const path of sources) if (path !== "src/main.ts") await import(join(root, path));
});

test("every limit is used", async () => {
  const unused: string[] = [];
  for (const path of sources.filter((source) => basename(source).endsWith("limits.ts"))) {
    const module = (await import(join(root, path))) as Record<string, unknown>;
    const others = sources
      .filter((source) => source !== path)
      .map(textOf)
      .join("\n");
    for (const [name, value] of Object.entries(module)) {
      if (typeof value !== "object" || value === null) continue;
      for (const key of Object.keys(value))
        if (!new RegExp(`\\.${key}\\b`).test(others)) unused.push(`${path}: ${name}.${key}`);
    }
  }
  expect(unused).toEqual([]);
});

test("docs/protocol.md knows every frame, request, error code and close code", () => {
  const words = readFileSync(join(root, "docs/protocol.md"), "utf8").replaceAll(/ +/g, " ");
  const missing = [
    ...Object.values(frameTypes).map((type) => `\`0x${type.toString(16).padStart(2, "0")}\``),
    ...Object.keys(frameTypes).map((name) => `\`${kebab(name)}\``),
    ...requestSchema.options.map((option) => `\`${option.entries.type.literal}\``),
    ...remoteErrorCodes.map((code) => `\`${code}\``),
    ...Object.entries(closeCodes).map(([name, code]) => `| ${code} | \`${kebab(name)}\` |`),
    ...list("test/vectors/*.txt")
      .map((path) => basename(path))
      .filter((name) => !name.startsWith("login")),
  ];
  expect(missing.filter((word) => !words.includes(word))).toEqual([]);
});

test("the vectors that docs/protocol.md quotes are the ones the tests read", () => {
  const words = readFileSync(join(root, "docs/protocol.md"), "utf8");
  const vectors = list("test/vectors/*.txt")
    .map((path) => readFileSync(join(root, path), "utf8"))
    .join("\n");
  const quotes = [...words.matchAll(/(?:^ {4}(?:name|bytes|value|refused): .*\n)+/gm)].map(
    (match) => match[0].replaceAll(/^ {4}/gm, ""),
  );
  expect(quotes.length).toBeGreaterThan(0);
  expect(quotes.filter((quote) => !vectors.includes(quote))).toEqual([]);
});

test("links between documents lead somewhere", () => {
  const broken = [...list("docs/*.md"), ...list("*.md")].flatMap((path) =>
    [...readFileSync(join(root, path), "utf8").matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)]
      .map((match) => join(dirname(path), match[1] ?? ""))
      .filter((target) => !existsSync(join(root, target)))
      .map((target) => `${path} -> ${target}`),
  );
  expect(broken).toEqual([]);
});

function list(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync({ cwd: root })]
    .filter((path) => !path.includes("node_modules/"))
    .toSorted();
}

function textOf(path: string): string {
  return texts.get(path) ?? "";
}

function areaOf(path: string): string {
  const [, area = "", role = ""] = path.split("/");
  return area === "roles" ? `role/${role}` : area;
}

/** What a file imports, types included; text in comments does not count. */
function specifiers(path: string): string[] {
  const code = textOf(path).replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, "");
  return [...code.matchAll(/(?:(?<!\.)\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map(
    (match) => match[1] ?? "",
  );
}

function imports(paths: readonly string[]): { from: string; to: string }[] {
  return paths.flatMap((from) =>
    specifiers(from)
      .filter((name) => name.startsWith("."))
      .map((name) => ({ from, to: normalize(join(dirname(from), name)) })),
  );
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
