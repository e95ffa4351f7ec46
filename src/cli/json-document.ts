/** What `--json` prints: one document, on one line. */
export function jsonDocument(schema: string, data: unknown, version = 1): string {
  return `${jsonText({ schema: `fly-vault/${schema}`, version, data })}\n`;
}

/**
 * JSON whose words of others may land on a terminal: what would move its cursor or turn the direction
 * of writing is written as an escape, which is the same to every reader of JSON.
 */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(
    /[\u007F-\u009F\u200E\u200F\u2028-\u202E\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** What `--json` prints at the end of several lines. */
export function jsonResult(
  schema: string,
  members: Readonly<Record<string, unknown>>,
  version = 1,
): string {
  return `${JSON.stringify({ type: "result", schema: `fly-vault/${schema}`, version, ...members })}\n`;
}
