import { didYouMean } from "../../cli/nearest.ts";

/** Why a text could not be filled in. */
export class PlaceholderError extends Error {
  override readonly name = "PlaceholderError";
}

/**
 * `{{name}}` in a text, filled in once: what a value brings along is never looked at again, so a
 * token that holds braces stays a token. Filling happens in parsed values and not in the file's
 * text, so no value can break out of its quotes.
 */
export function fillPlaceholders(
  text: string,
  values: ReadonlyMap<string, string>,
  used: Set<string>,
): string {
  let filled = "";
  let rest = text;
  for (let open = rest.indexOf("{{"); open !== -1; open = rest.indexOf("{{")) {
    const close = rest.indexOf("}}", open);
    if (close === -1) throw new PlaceholderError(`"{{" without "}}" in "${text}"`);
    const name = rest.slice(open + 2, close).trim();
    const value = values.get(name);
    if (value === undefined) {
      const known = [...values.keys()].map((each) => `{{${each}}}`).join(", ");
      const meant = didYouMean(name, values.keys());
      throw new PlaceholderError(`{{${name}}} has no value${meant}; there are ${known}`);
    }
    used.add(name);
    filled += rest.slice(0, open) + value;
    rest = rest.slice(close + 2);
  }
  return filled + rest;
}
