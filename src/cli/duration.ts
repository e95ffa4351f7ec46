const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `500ms 30s 5m 2h 1d` and sums of them (`1h30m`); undefined for anything else, a bare number included. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d{1,6}(?:\.\d{1,3})?(?:ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g))
    total += Number(number) * (unitsMs[unit ?? ""] ?? 0);
  const longest = 366 * (unitsMs["d"] ?? 0);
  return total <= longest ? Math.round(total) : undefined;
}

/** For people: `0.4 s`, `12 s`, `1 m 50 s`, `2 h 5 m`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} m`;
}

/** A clock that counts up: `00:14`. */
export function formatClock(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours === 0 ? rest : `${hours}:${rest}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
