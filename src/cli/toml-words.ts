/** As a value. */
export function tomlString(text: string): string {
  // All that JSON escapes TOML does too, but for DEL.
  return JSON.stringify(text).replaceAll("\u007f", String.raw`\u007f`);
}

/** As a key, or as the name of a table. */
export function tomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : tomlString(key);
}
