import { formatDuration } from "../../../cli/duration.ts";
import { formatSize } from "../../../cli/size.ts";
import type { Progress } from "../../../protocol/message.ts";

export interface Sent {
  readonly bytes: number;
  /** Undefined until the machine has said how much it lacks. */
  readonly totalBytes: number | undefined;
}

/** `comparing 45%  1.9 of 4.2 GiB`, while the archive is read here. */
export function readingLine(bytes: number, totalBytes: number): string {
  const percent = Math.floor((100 * bytes) / totalBytes);
  return `comparing ${percent}%  ${formatSize(bytes)} of ${formatSize(totalBytes)}`;
}

/** `upload 45%  1.9 of 4.2 GiB  38.2 MiB/s  1 m 02 s left · unpack 18204 entries 3.1 GiB` */
export function progressLine(
  kind: "file" | "url" | "previous",
  sent: Sent,
  remote: Progress | undefined,
  elapsedMs: number,
): string {
  if (kind === "previous") return remote?.phase ?? "asked";
  if (remote?.phase === "compare") return `comparing with ${remote.entries} files of the machine`;
  const parts: string[] = [];
  const incoming =
    kind === "file"
      ? { word: "upload", bytes: sent.bytes, total: sent.totalBytes }
      : { word: "download", bytes: remote?.received_bytes ?? 0, total: remote?.total_bytes };
  if (incoming.bytes !== incoming.total) parts.push(transferPart(incoming, elapsedMs));
  else parts.push(`${incoming.word} done`);
  if (remote !== undefined) parts.push(...unpackParts(remote));
  return parts.join(" · ");
}

function unpackParts({ phase, entries, written_bytes }: Progress): string[] {
  const parts: string[] = [];
  if (entries > 0) parts.push(`unpack ${entries} entries ${formatSize(written_bytes)}`);
  if (phase !== "download" && phase !== "unpack") parts.push(phase);
  return parts;
}

function transferPart(
  transfer: {
    readonly word: string;
    readonly bytes: number;
    readonly total: number | undefined;
  },
  elapsedMs: number,
): string {
  const { word, bytes, total } = transfer;
  const perSecond = elapsedMs > 0 ? (bytes * 1000) / elapsedMs : 0;
  const rate = `${formatSize(Math.round(perSecond))}/s`;
  if (total === undefined || total === 0) return `${word}  ${formatSize(bytes)}  ${rate}`;
  const percent = Math.floor((100 * bytes) / total);
  const left =
    perSecond > 0 ? `  ${formatDuration(((total - bytes) * 1000) / perSecond)} left` : "";
  return `${word} ${percent}%  ${formatSize(bytes)} of ${formatSize(total)}  ${rate}${left}`;
}
