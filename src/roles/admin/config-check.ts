import * as v from "valibot";
import { didYouMean } from "../../cli/nearest.ts";
import { strangeMembers } from "./config-members.ts";
import { isSecretName } from "./secret-mask.ts";
import type { Template } from "./template.ts";

const wholeFrom = (least: number, unit: string) =>
  v.pipe(
    v.number(`must be a whole number of ${unit}, from ${least}`),
    v.safeInteger(`must be a whole number of ${unit}, from ${least}`),
    v.minValue(least, `must be a whole number of ${unit}, from ${least}`),
  );
const portWords = "must be a port, 1 to 65535";
const port = v.pipe(
  v.number(portWords),
  v.integer(portWords),
  v.minValue(1, portWords),
  v.maxValue(65_535, portWords),
);
const oneOf = <const T extends readonly string[]>(words: T) =>
  v.picklist(words, `must be one of ${words.join(", ")}`);

/** What Fly would refuse, or take and not mean. All else is for Fly to judge. */
const configShape = v.looseObject({
  image: v.pipe(v.string("must be a text"), v.nonEmpty("must name an image")),
  env: v.optional(v.record(v.string(), v.string("must be a text"), "must be a table of texts")),
  metadata: v.optional(
    v.record(v.string(), v.string("must be a text"), "must be a table of texts"),
  ),
  guest: v.optional(
    v.looseObject(
      {
        cpu_kind: v.optional(oneOf(["shared", "performance"])),
        cpus: v.optional(wholeFrom(1, "CPUs")),
        memory_mb: v.optional(wholeFrom(256, "MB")),
      },
      "must be a table",
    ),
  ),
  restart: v.optional(
    v.looseObject(
      { policy: v.optional(oneOf(["no", "always", "on-failure", "spot-price"])) },
      "must be a table",
    ),
  ),
  services: v.optional(
    v.array(
      v.looseObject({
        protocol: v.optional(oneOf(["tcp", "udp"])),
        internal_port: v.optional(port),
        ports: v.optional(
          v.array(
            v.looseObject({
              port: v.optional(port),
              start_port: v.optional(port),
              end_port: v.optional(port),
            }),
            "must be a list of tables",
          ),
        ),
      }),
      "must be a list of tables",
    ),
  ),
});

/** Throws a `Failure` for what is wrong. Returns lines about what is probably not meant. */
export function checkConfig(
  template: Template,
  config: Readonly<Record<string, unknown>>,
): string[] {
  const top = ["machine", "config"];
  if (config["image"] === undefined)
    throw template.failure([...top, "image"], "the key is missing");
  const result = v.safeParse(configShape, config);
  if (!result.success) {
    const [issue] = result.issues;
    const keys = (issue.path ?? []).map((item) => String(item.key));
    throw template.failure([...top, ...keys], issue.message);
  }
  const warnings: string[] = [];
  for (const { keys, known, near } of strangeMembers(config)) {
    const key = keys.at(-1) ?? "";
    if (near !== undefined)
      throw template.failure(keys, `unknown key${didYouMean(key, known)}; Fly would drop it`);
    warnings.push(template.complaint(keys, "Fly's description does not know this key"));
  }
  if (config["mounts"] === undefined || Bun.deepEquals(config["mounts"], [])) {
    const words =
      "there is no mount, so whatever is put into the machine is lost with its next start";
    warnings.push(template.complaint(top, words));
  }
  return warnings;
}

/** Secrets that stand in the file itself; what is filled in is not there. `config` is as in the file. */
export function plainSecrets(
  template: Template,
  config: Readonly<Record<string, unknown>>,
): string[] {
  const { env } = config;
  if (typeof env !== "object" || env === null) return [];
  return Object.entries(env)
    .filter(([name, value]: [string, unknown]) => {
      return (
        isSecretName(name) && typeof value === "string" && value !== "" && !value.includes("{{")
      );
    })
    .map(([name]) =>
      template.complaint(
        ["machine", "config", "env", name],
        "looks like a secret in plain text; use --var, or one of Fly's secrets",
      ),
    );
}
