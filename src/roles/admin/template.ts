import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import { didYouMean } from "../../cli/nearest.ts";
import { tomlPosition } from "../../cli/toml-position.ts";
import { fillPlaceholders, PlaceholderError } from "./placeholder.ts";

const templateBytesMax = 256 << 10;

const machineSchema = v.strictObject({
  name: v.optional(v.string()),
  region: v.optional(v.string()),
  config: v.record(v.string(), v.unknown()),
  lease_ttl: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  skip_launch: v.optional(v.boolean()),
  skip_service_registration: v.optional(v.boolean()),
  lsvd: v.optional(v.boolean()),
});

const templateSchema = v.strictObject({
  version: v.literal(1),
  app: v.pipe(v.string(), v.minLength(1)),
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
    const result = v.safeParse(templateSchema, input);
    if (result.success) return new Template(path, source, result.output);
    const [issue] = result.issues;
    const keys = (issue.path ?? []).map((item) => String(item.key));
    throw templateFailure({ path, source, keys, problem: problemOf(issue) });
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
    // Filling changes strings only, so the shapes stay.
    return { machine: machine as TemplateMachine, metadata: metadata as Record<string, string> };
  }

  /** A complaint about one value of this file. */
  failure(keys: readonly string[], problem: string): Failure {
    return templateFailure({ path: this.path, source: this.#source, keys, problem });
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
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new Failure("FV-ADM-001", `the template "${path}" cannot be read`, {
      because: error instanceof Error ? error.message : String(error),
    });
  }
  if (source.length <= templateBytesMax) return source;
  throw new Failure("FV-ADM-001", `the template "${path}" is too long`, {
    because: `${source.length} characters; ${templateBytesMax} are allowed`,
  });
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

function templateFailure(about: {
  readonly path: string;
  readonly source: string;
  readonly keys: readonly string[];
  readonly problem: string;
}): Failure {
  const line = tomlPosition(about.source, about.keys);
  const where = line === undefined ? about.path : `${about.path}:${line}`;
  return new Failure("FV-ADM-001", `${where}: ${about.keys.join(".")}: ${about.problem}`);
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
