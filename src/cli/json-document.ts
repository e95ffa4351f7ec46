/** What `--json` prints: one document, on one line. */
export function jsonDocument(schema: string, data: unknown, version = 1): string {
  return `${jsonText({ schema: `fly-vault/${schema}`, version, data })}\n`;
}

/**
 * JSON whose words of others may land on a terminal: what would move its cursor or turn the direction
 * of writing is written as an escape, which is the same to every reader of JSON.
 */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent);
  // Line breaks of the indentation are ours; those within strings are escapes already.
  return text.replaceAll(/(?!\n)[\p{Cc}\p{Cf}\u2028\u2029]/gu, escaped);
}

function escaped(character: string): string {
  const units = character.split("").map((unit) => unit.charCodeAt(0));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** What `--json` prints at the end of several lines. */
export function jsonResult(
  schema: string,
  members: Readonly<Record<string, unknown>>,
  version = 1,
): string {
  return `${JSON.stringify({ type: "result", schema: `fly-vault/${schema}`, version, ...members })}\n`;
}
