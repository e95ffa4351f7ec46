const unitsBytes: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** `4M`, `4MiB`, `512K`, `1G` and plain bytes; undefined for anything else. A thousand of them is 1024. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,12})([KMG]?)(?:i?B)?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (unitsBytes[match[2]?.toUpperCase() ?? ""] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** For people: `512 B`, `46.0 MiB`. */
export function formatSize(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = "B";
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
}
