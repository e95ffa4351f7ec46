import { jsonDocument } from "../../../cli/json-document.ts";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { parseDuration } from "../../../cli/duration.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { limits } from "../../../protocol/limits.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { overVault } from "../link/over-vault.ts";
import { late, within } from "../../../system/within.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { roundTripMs } from "./ping.ts";
import { measureDown, measureUp, type Speed } from "./speed-run.ts";

export const speedtestCommand = defineCommand({
  name: "speedtest",
  summary: "Measure how fast bytes get to a vault and back, and what that does to the round trip",
  positionals: { vault: vaultPositional },
  flags: {
    duration: { value: "DURATION", summary: "of each direction (default 5s, at most 30s)" },
    json: { summary: "print one JSON document" },
    ...linkFlags,
  },
  description:
    "The bytes mean nothing and touch no disk: the machine's link makes and counts them. The round trip is measured before, and again while bytes flow.",
  examples: ["fly-vault speedtest my-dev", "fly-vault speedtest my-dev --duration 10s --json"],
  seeAlso: ["fly-vault ping", "fly-vault netcheck"],
  run: async ({ flags, positionals, global }, context) => {
    const durationMs = durationOf(flags.duration);
    const vault = await readVault(positionals.vault, { flags, global }, context);
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const idleMs = await medianRoundTrip(link, context, async () => Bun.sleep(300));
      const before = await link.freshStats();
      const down = await loaded(link, context, async () => measureDown(link, durationMs, context));
      const up = await loaded(link, context, async () => measureUp(link, durationMs, context));
      const after = await link.freshStats();
      const lost = after.lostPackets - before.lostPackets;
      const sent = after.sentPackets - before.sentPackets;
      const result = { idleMs, down, up, lost, sent };
      await context.stdout.write(flags.json ? resultJson(result) : resultLines(result));
      return 0;
    });
  },
});

interface Loaded extends Speed {
  /** Of the round trip meanwhile. */
  readonly medianMs: number;
}

interface SpeedResult {
  readonly idleMs: number;
  readonly down: Loaded;
  readonly up: Loaded;
  readonly lost: number;
  readonly sent: number;
}

async function loaded(
  link: AttestedLink,
  context: Context,
  measure: () => Promise<Speed>,
): Promise<Loaded> {
  const measuring = measure();
  const medianMs = await medianRoundTrip(link, context, async () => measuring);
  return { ...(await measuring), medianMs };
}

/** Asked one after the other until `work` is done, once at least. */
async function medianRoundTrip(
  link: AttestedLink,
  { monotonicMs }: Context,
  work: () => Promise<unknown>,
): Promise<number> {
  const working = work();
  const tookMs: number[] = [];
  do tookMs.push(await roundTripMs(link, monotonicMs));
  while ((await within(working, pauseMs)) === late);
  return tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length / 2)] ?? 0;
}

function resultLines({ idleMs, down, up, lost, sent }: SpeedResult): string {
  return `idle                    round trip ${idleMs.toFixed(1)} ms\n${directionLine("down", down)}${directionLine("up  ", up)}packets lost: ${lost} of ${sent} sent\n`;
}

function resultJson({ idleMs, down, up, lost, sent }: SpeedResult): string {
  const data = {
    idle_round_trip_ms: idleMs,
    down: directionJson(down),
    up: directionJson(up),
    sent_packets: sent,
    lost_packets: lost,
  };
  return jsonDocument("speedtest", data);
}

function directionLine(name: string, { bytes, ms, medianMs }: Loaded): string {
  const speed = mibPerSecond(bytes, ms).toFixed(1).padStart(7);
  return `${name}  ${speed} MiB/s   round trip ${medianMs.toFixed(1)} ms\n`;
}

function directionJson({ bytes, ms, medianMs }: Loaded): Record<string, number> {
  return {
    bytes,
    ms: Math.round(ms),
    bytes_per_second: ms === 0 ? 0 : Math.round((bytes / ms) * 1000),
    round_trip_ms: medianMs,
  };
}

function mibPerSecond(bytes: number, ms: number): number {
  return ms === 0 ? 0 : bytes / 2 ** 20 / (ms / 1000);
}

function durationOf(text: string | undefined): number {
  const ms = parseDuration(text ?? "5s");
  if (ms === undefined || ms < 100 || ms > limits.speedMsMax)
    throw new UsageError(
      `--duration must be 100ms to ${limits.speedMsMax / 1000}s, not "${text ?? ""}"`,
    );
  return ms;
}

/** Between two questions: enough of them for a median, too few to be load themselves. */
const pauseMs = 20;
