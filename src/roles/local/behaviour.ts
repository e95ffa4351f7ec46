import { stringMap, textOf } from "./machine-config.ts";
import type { MachineRecord } from "./record.ts";

/** How a machine that is only a record behaves. */
export const behaviours = [
  "good",
  /** Runs, but its checks never pass. */
  "bad",
  /** Its process ends with status 1 soon after it was started, each time. */
  "bad-exit",
  /** Cannot be started: `failed`. */
  "bad-start",
  /** Stays in `starting` for ever. */
  "bad-stuck",
  /** Does not hear its stop signal, and is killed after the grace. */
  "bad-stop",
  /** Its checks pass at first, and fail later. */
  "bad-later",
] as const;

export type Behaviour = (typeof behaviours)[number];

/** The metadata key that decides for one machine, whatever its image. */
export const behaviourKey = "fly_local.behaviour";

/**
 * By the machine's metadata, else by its image: a tag that is the word or ends with `-WORD`, or a
 * digest that starts with `bad0` to `bad5`, in the order of the words above.
 */
export function behaviourOf(config: MachineRecord["config"]): Behaviour {
  const word = stringMap(config["metadata"])[behaviourKey];
  const told = behaviours.find((each) => each === word);
  if (told !== undefined) return told;
  const image = textOf(config["image"]) ?? "";
  const digit = /@sha256:bad([0-5])[0-9a-f]{60}$/u.exec(image)?.[1];
  if (digit !== undefined) return behaviours[Number(digit) + 1] ?? "good";
  const tag = /:([\w.-]+)(?:@|$)/u.exec(image.slice(image.lastIndexOf("/") + 1))?.[1] ?? "";
  // The longest word first, for all end with what is a word of its own.
  const named = behaviours
    .filter((each) => each !== "good")
    .toSorted((a, b) => b.length - a.length);
  return named.find((each) => tag === each || tag.endsWith(`-${each}`)) ?? "good";
}
