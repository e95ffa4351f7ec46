import { formatDuration } from "../../../cli/duration.ts";
import { formatSize } from "../../../cli/size.ts";
import type { Progress } from "../../../protocol/message.ts";

export interface Sent {
  bytes: number;
  readonly sizeBytes: number;
}

/** `upload 45%  1.9 of 4.2 GiB  38.2 MiB/s  1 m 02 s left · unpack 18204 entries 3.1 GiB` */
export function progressLine(
  kind: "file" | "url" | "previous",
  sent: Sent,
  remote: Progress | undefined,
  elapsedMs: number,
): string {
  if (kind === "previous") return remote?.phase ?? "asked";
  const parts: string[] = [];
  const incoming =
    kind === "file"
      ? { word: "upload", bytes: sent.bytes, total: sent.sizeBytes }
      : { word: "download", bytes: remote?.received_bytes ?? 0, total: remote?.total_bytes };
  if (incoming.bytes !== incoming.total) parts.push(transferPart(incoming, elapsedMs));
  else parts.push(`${incoming.word} done`);
  if (remote !== undefined && remote.entries > 0)
    parts.push(`unpack ${remote.entries} entries ${formatSize(remote.written_bytes)}`);
  if (remote !== undefined && remote.phase !== "download" && remote.phase !== "unpack")
    parts.push(remote.phase);
  return parts.join(" · ");
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
