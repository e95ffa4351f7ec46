import { maskSecrets } from "./secret-mask.ts";

/** Where a machine is not as its template wants it. */
export interface Difference {
  /** From the configuration's top: `["env", "LEVEL"]`. */
  readonly keys: readonly string[];
  /** Undefined where there is nothing. */
  readonly from: unknown;
  readonly to: unknown;
  /** Why no update can bring it about. */
  readonly obstacle?: string;
}

/** `~ env.LEVEL: "info" -> "debug"`, secrets masked. `secrets` are masked wherever they occur. */
export function differenceLine(difference: Difference, secrets: readonly string[] = []): string {
  const { keys, from, to, obstacle } = difference;
  const sign = obstacle !== undefined ? "!" : to === undefined ? "-" : isNothing(from) ? "+" : "~";
  const values = maskedValues(difference, secrets)
    .filter((value) => !isNothing(value))
    .map((value) => JSON.stringify(value));
  const words = obstacle === undefined ? "" : `  (${obstacle})`;
  return `${sign} ${keys.join(".")}: ${values.join(" -> ")}${words}`;
}

/** The same for programs; every member is there. */
export function differenceJson(
  difference: Difference,
  secrets: readonly string[],
): Record<string, unknown> {
  const [from, to] = maskedValues(difference, secrets);
  const { keys, obstacle } = difference;
  return { key: keys.join("."), from: from ?? null, to: to ?? null, obstacle: obstacle ?? null };
}

/** Where the new value has a secret, the old one had another, which nobody told us of. */
function maskedValues(
  { keys, from, to }: Difference,
  secrets: readonly string[],
): readonly [unknown, unknown] {
  const [before, after] = [masked(keys, from, secrets), masked(keys, to, secrets)];
  const hasSecret = typeof to === "string" && after !== to;
  return [hasSecret && typeof from === "string" ? "***" : before, after];
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** As it would be masked in its place. */
function masked(keys: readonly string[], value: unknown, secrets: readonly string[]): unknown {
  if (isNothing(value)) return value;
  const [last = "", ...above] = keys.toReversed();
  if (above.includes("headers")) return maskedHeader(keys, value, secrets);
  const inner = { [last]: value };
  const [place = ""] = above;
  const shown = new Map(
    Object.entries(Object(maskSecrets(place === "env" ? { env: inner } : inner, secrets))),
  );
  const own: unknown = place === "env" ? Object(shown.get("env"))[last] : shown.get(last);
  return own;
}

/** A part of `headers`, whose values are never shown. */
function maskedHeader(
  keys: readonly string[],
  value: unknown,
  secrets: readonly string[],
): unknown {
  if (keys.includes("values")) return "***";
  const [shown]: unknown[] = [maskSecrets({ headers: [value] }, secrets)].flatMap(
    (each) => Object(each).headers,
  );
  return shown;
}
