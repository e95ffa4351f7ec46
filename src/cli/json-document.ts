/** What `--json` prints: one document, on one line. */
export function jsonDocument(schema: string, data: unknown, version = 1): string {
  return `${jsonText({ schema: `fly-vault/${schema}`, version, data })}\n`;
}

/** JSON in which nothing moves a terminal's cursor or turns the text: it says the same by escapes. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escaped);
}

function escaped(character: string): string {
  const units = character.split("").map((unit) => unit.charCodeAt(0));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
