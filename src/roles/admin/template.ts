import { basename } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import { didYouMean } from "../../cli/nearest.ts";
import { appNameRule, isAppName } from "../../fly/api-target.ts";
import { tomlPosition } from "../../cli/toml-position.ts";
import { readFileHead } from "../../system/file-head.ts";
import { fillPlaceholders, PlaceholderError } from "./placeholder.ts";

const templateBytesMax = 256 << 10;
const depthMax = 32;

const regionRule =
  "is no region: three letters as iad, any, or apac, eu, na, sa, us; several with commas";

/** Filled in, it is checked again. */
function isRegion(text: string): boolean {
  return (
    text.includes("{{") ||
    /^(?:[a-z]{3}|any|apac|eu|na|sa|us)(?:,(?:[a-z]{3}|any|apac|eu|na|sa|us))*$/u.test(text)
  );
}

const machineSchema = v.strictObject({
  name: v.optional(v.string()),
  region: v.optional(v.pipe(v.string(), v.check(isRegion, regionRule))),
  config: v.record(v.string(), v.unknown()),
  lease_ttl: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  skip_launch: v.optional(v.boolean()),
  skip_service_registration: v.optional(v.boolean()),
  lsvd: v.optional(v.boolean()),
});

const templateSchema = v.strictObject({
  version: v.literal(1),
  app: v.pipe(v.string(), v.check(isAppName, `is no app name: ${appNameRule}`)),
  machine_count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100)), 1),
  machine: machineSchema,
  metadata: v.optional(v.record(v.string(), v.string()), {}),
});

type TemplateDocument = v.InferOutput<typeof templateSchema>;
export type TemplateMachine = TemplateDocument["machine"];

/** A tenant's template: the file, and what it says. Every complaint names file, line and key. */
export class Template {
  readonly path: string;
  readonly document: TemplateDocument;
  readonly #source: string;

  private constructor(path: string, source: string, document: TemplateDocument) {
    this.path = path;
    this.#source = source;
    this.document = document;
  }

  static read(path: string): Template {
    const source = readSource(path);
    const input = parseToml(path, source);
    const odd = oddPlace(input, 1);
    if (odd !== undefined) throw new Failure("FV-ADM-001", complaint({ path, source, ...odd }));
    const result = v.safeParse(templateSchema, input);
    if (result.success) return new Template(path, source, result.output);
    // A key that is missing was mostly written in another way.
    const strange = result.issues.find(({ expected }) => expected === "never");
    const issue = strange ?? result.issues[0];
    const keys = (issue.path ?? []).map((item) => String(item.key));
    throw new Failure("FV-ADM-001", complaint({ path, source, keys, problem: problemOf(issue) }));
  }

  get name(): string {
    return basename(this.path);
  }

  /** Machine and metadata with every placeholder filled in. Fills `used` with the names that occurred. */
  filledWith(
    values: ReadonlyMap<string, string>,
    used: Set<string>,
  ): { readonly machine: TemplateMachine; readonly metadata: Readonly<Record<string, string>> } {
    const machine = this.#fillValue(this.document.machine, ["machine"], { values, used });
    const metadata = this.#fillValue(this.document.metadata, ["metadata"], { values, used });
    const filled = v.safeParse(machineSchema, machine);
    if (!filled.success) {
      const keys = (filled.issues[0].path ?? []).map((item) => String(item.key));
      throw this.failure(["machine", ...keys], problemOf(filled.issues[0]));
    }
    // Filling changes strings only, so the shapes stay.
    return { machine: filled.output, metadata: metadata as Record<string, string> };
  }

  /** What is wrong with one value of this file. */
  failure(keys: readonly string[], problem: string): Failure {
    return new Failure("FV-ADM-001", this.complaint(keys, problem));
  }

  /** The same as a line of text, for what is only odd. */
  complaint(keys: readonly string[], problem: string): string {
    return complaint({ path: this.path, source: this.#source, keys, problem });
  }

  #fillValue(
    value: unknown,
    keys: readonly string[],
    filling: { readonly values: ReadonlyMap<string, string>; readonly used: Set<string> },
  ): unknown {
    if (typeof value === "string") {
      try {
        return fillPlaceholders(value, filling.values, filling.used);
      } catch (error) {
        if (error instanceof PlaceholderError) throw this.failure(keys, error.message);
        throw error;
      }
    }
    if (Array.isArray(value)) {
      return value.map((entry: unknown, at) =>
        this.#fillValue(entry, [...keys, String(at)], filling),
      );
    }
    if (typeof value !== "object" || value === null || value instanceof Date) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]: [string, unknown]) => {
        if (key.includes("{{")) throw this.failure([...keys, key], "a key cannot be filled in");
        return [key, this.#fillValue(entry, [...keys, key], filling)];
      }),
    );
  }
}

function readSource(path: string): string {
  let bytes: Uint8Array;
  let source = "";
  try {
    bytes = readFileHead(path, templateBytesMax);
    if (bytes.length <= templateBytesMax)
      source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Failure("FV-ADM-001", `the template "${path}" cannot be read`, {
      because: reasonOf(error),
    });
  }
  if (bytes.length <= templateBytesMax) return source;
  throw new Failure("FV-ADM-001", `the template "${path}" is too long`, {
    because: `it has more than ${templateBytesMax} bytes`,
  });
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES") return "you may not read it";
  if (error instanceof TypeError) return "it is not UTF-8";
  return error instanceof Error ? error.message : String(error);
}

function parseToml(path: string, source: string): unknown {
  try {
    return parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [words = error.message] = error.message.split("\n");
    throw new Failure("FV-ADM-001", `${path}:${error.line}:${error.column}: ${words}`, {
      because: "the template is not TOML",
    });
  }
}

/** What no template needs and some code would trip over: a key that vanishes, a bottomless table. */
function oddPlace(
  value: unknown,
  depth: number,
): { readonly keys: readonly string[]; readonly problem: string } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > depthMax) return { keys: [], problem: `is nested deeper than ${depthMax}` };
  for (const [key, entry] of Object.entries(value) as [string, unknown][]) {
    if (key === "__proto__") return { keys: [key], problem: "no key can have this name" };
    const inner = oddPlace(entry, depth + 1);
    if (inner !== undefined) return { ...inner, keys: [key, ...inner.keys] };
  }
  return undefined;
}

function complaint(about: {
  readonly path: string;
  readonly source: string;
  readonly keys: readonly string[];
  readonly problem: string;
}): string {
  const line = tomlPosition(about.source, about.keys);
  const where = line === undefined ? about.path : `${about.path}:${line}`;
  return `${where}: ${about.keys.join(".")}: ${about.problem}`;
}

/** Valibot's words for a key too many or too few are about its own types; these are about the file. */
function problemOf(issue: v.BaseIssue<unknown>): string {
  if (issue.type !== "strict_object") return issue.message;
  if (issue.expected !== "never") return "the key is missing";
  const last: unknown = issue.path?.at(-1)?.key;
  const key = typeof last === "string" ? last : "";
  const inMachine = issue.path?.[0]?.key === "machine" && issue.path.length > 1;
  const known = Object.keys(inMachine ? machineSchema.entries : templateSchema.entries);
  return `unknown key${didYouMean(key, known)}; known are ${known.join(", ")}`;
}
