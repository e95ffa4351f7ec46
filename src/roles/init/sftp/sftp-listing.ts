import type { Stats } from "node:fs";
import type { OwnerNames } from "../account.ts";

export interface ListingView {
  readonly owners: OwnerNames;
  readonly nowMs: number;
}

/** A line as `ls -l` prints it, which clients show as it is. */
export function longName(name: Buffer, stats: Stats, { owners, nowMs }: ListingView): Buffer {
  const facts = [
    modeText(stats.mode),
    String(stats.nlink).padStart(4),
    (owners.users.get(stats.uid) ?? String(stats.uid)).padEnd(8),
    (owners.groups.get(stats.gid) ?? String(stats.gid)).padEnd(8),
    String(stats.size).padStart(8),
    timeText(stats.mtimeMs, nowMs),
  ];
  return Buffer.concat([Buffer.from(`${facts.join(" ")} `), name]);
}

function modeText(mode: number): string {
  const kind = kinds[mode & 0o170000] ?? "?";
  const bits = letters.map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : "-"));
  for (const [bit, at, plain, alone] of specials)
    if ((mode & bit) !== 0) bits[at] = bits[at] === "-" ? alone : plain;
  return kind + bits.join("");
}

const letters = "rwxrwxrwx".split("");
const specials = [
  [0o4000, 2, "s", "S"],
  [0o2000, 5, "s", "S"],
  [0o1000, 8, "t", "T"],
] as const;

const kinds: Readonly<Record<number, string>> = {
  0o100000: "-",
  0o040000: "d",
  0o120000: "l",
  0o020000: "c",
  0o060000: "b",
  0o010000: "p",
  0o140000: "s",
};

/** The clock says nothing of what is half a year old, or still to come: it has the year. */
function timeText(ms: number, nowMs: number): string {
  const time = new Date(ms);
  const day = String(time.getUTCDate()).padStart(2);
  const clock = `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}`;
  const isRecent = ms <= nowMs && nowMs - ms < halfYearMs;
  const last = isRecent ? clock : String(time.getUTCFullYear()).padStart(5);
  return `${months[time.getUTCMonth()]} ${day} ${last}`;
}

const halfYearMs = (365 / 2) * 24 * 3600 * 1000;

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function two(value: number): string {
  return String(value).padStart(2, "0");
}
