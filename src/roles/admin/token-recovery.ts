import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { PlannedMachine } from "./plan.ts";

/** Stands for a token that is not known yet; no machine has it anywhere. */
export const unknownToken = "\0{{access_token}}\0";

/**
 * The token that a machine was made with, from where its template puts tokens: of a plan made with
 * `unknownToken`. Undefined where the machine has none there.
 */
export function recoverToken(planned: PlannedMachine, machine: FlyMachine): string | undefined {
  const found = search(planned.machine.config, machine.config ?? {});
  return found ?? machine.config?.env?.["ACCESS_TOKEN"];
}

function search(wanted: unknown, actual: unknown): string | undefined {
  if (typeof wanted === "string") {
    const at = wanted.indexOf(unknownToken);
    if (at === -1 || typeof actual !== "string") return undefined;
    const [before, after] = [wanted.slice(0, at), wanted.slice(at + unknownToken.length)];
    const fits = actual.startsWith(before) && actual.endsWith(after);
    const token = actual.slice(before.length, actual.length - after.length);
    return fits && token !== "" ? token : undefined;
  }
  if (typeof wanted !== "object" || typeof actual !== "object") return undefined;
  if (wanted === null || actual === null) return undefined;
  const there = new Map<string, unknown>(Object.entries(actual));
  for (const [key, entry] of Object.entries(wanted) as [string, unknown][]) {
    const token = search(entry, there.get(key));
    if (token !== undefined) return token;
  }
  return undefined;
}
