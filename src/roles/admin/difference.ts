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

/** `~ env.LEVEL: "info" -> "debug"`, secrets masked. `secret` is masked wherever it occurs. */
export function differenceLine(difference: Difference, secret?: string): string {
  const { keys, from, to, obstacle } = difference;
  const sign = obstacle !== undefined ? "!" : to === undefined ? "-" : isNothing(from) ? "+" : "~";
  const values = [from, to]
    .filter((value) => !isNothing(value))
    .map((value) => JSON.stringify(masked(keys, value, secret)));
  const words = obstacle === undefined ? "" : `  (${obstacle})`;
  return `${sign} ${keys.join(".")}: ${values.join(" -> ")}${words}`;
}

/** The same for programs; every member is there. */
export function differenceJson(difference: Difference, secret?: string): Record<string, unknown> {
  const { keys, from, to, obstacle } = difference;
  return {
    key: keys.join("."),
    from: isNothing(from) ? null : masked(keys, from, secret),
    to: isNothing(to) ? null : masked(keys, to, secret),
    obstacle: obstacle ?? null,
  };
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** As it would be masked in its place. */
function masked(keys: readonly string[], value: unknown, secret: string | undefined): unknown {
  const [last = "", ...above] = keys.toReversed();
  const inner = { [last]: value };
  const [place = ""] = above;
  const shown = new Map(
    Object.entries(Object(maskSecrets(place === "env" ? { env: inner } : inner, secret))),
  );
  const own: unknown = place === "env" ? Object(shown.get("env"))[last] : shown.get(last);
  return own;
}
