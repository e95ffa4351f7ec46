import { jsonResult } from "../../../cli/json-document.ts";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { parseDuration } from "../../../cli/duration.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { statusSchema } from "../../../protocol/message.ts";
import { askOnce } from "../link/ask-once.ts";
import type { AttestedLink, LinkStats } from "../link/attested-link.ts";
import { clientLimits } from "../limits.ts";
import { formatRoundTrip } from "../link/round-trip.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const pingCommand = defineCommand({
  name: "ping",
  summary: "Measure the round trip to a vault, through the link that everything else uses",
  positionals: { vault: vaultPositional },
  flags: {
    count: { short: "c", value: "N", summary: "how many (default 5)" },
    interval: { value: "DURATION", summary: "pause between two (default 200ms)" },
    json: { summary: "a line of JSON each, and one for the result" },
    ...linkFlags,
  },
  description:
    "Each is a question to the machine's init and its answer. Beside it stands what QUIC measures of the network alone.",
  examples: ["fly-vault ping my-dev", "fly-vault ping my-dev -c 100 --interval 1s --json"],
  exitStatus: "0 all were answered; 6 no answer",
  seeAlso: ["fly-vault speedtest", "fly-vault netcheck"],
  run: async ({ flags, positionals, global }, context) => {
    const wish = { ...wishOf(flags), isJson: flags.json };
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const reconnectMs = clientLimits.reconnectMs;
    return overVault(vault, { flags, global, reconnectMs }, context, async (work) =>
      ping(work, wish, context),
    );
  },
});

/** Milliseconds of one question and its answer. */
export async function roundTripMs(link: AttestedLink, nowMs: () => number): Promise<number> {
  const startedMs = nowMs();
  await askOnce(link, { type: "status" }, statusSchema);
  return nowMs() - startedMs;
}

interface Wish {
  readonly count: number;
  readonly intervalMs: number;
  readonly isJson: boolean;
}

async function ping({ link }: VaultWork, wish: Wish, context: Context): Promise<number> {
  const { stdout, monotonicMs } = context;
  const { machineId, region } = link.login.machine;
  const where = region === undefined ? machineId : `${machineId} (${region})`;
  const tookMs: number[] = [];
  for (let index = 0; index < wish.count; index += 1) {
    if (index > 0) await Bun.sleep(wish.intervalMs);
    const ms = await roundTripMs(link, monotonicMs);
    tookMs.push(ms);
    const { rttMs } = await link.freshStats();
    await stdout.write(
      wish.isJson
        ? `${JSON.stringify({ type: "pong", ms: rounded(ms), network_ms: rounded(rttMs) })}\n`
        : `pong ${ms.toFixed(1)} ms from ${where}, network ${formatRoundTrip(rttMs)}\n`,
    );
  }
  await stdout.write(summary(tookMs, await link.freshStats(), wish.isJson));
  return 0;
}

function summary(tookMs: readonly number[], stats: LinkStats, isJson: boolean): string {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const [min = 0, median = 0, max = 0] = [
    sorted[0],
    sorted[Math.floor(sorted.length / 2)],
    sorted.at(-1),
  ];
  const { sentPackets, lostPackets } = stats;
  if (!isJson)
    return `${tookMs.length} of ${tookMs.length} answered; least ${min.toFixed(1)}, median ${median.toFixed(1)}, most ${max.toFixed(1)} ms; ${lostPackets} of ${sentPackets} packets lost\n`;
  return jsonResult("ping", {
    count: tookMs.length,
    min_ms: rounded(min),
    median_ms: rounded(median),
    max_ms: rounded(max),
    sent_packets: sentPackets,
    lost_packets: lostPackets,
  });
}

function wishOf(said: {
  readonly count: string | undefined;
  readonly interval: string | undefined;
}): Omit<Wish, "isJson"> {
  const count = said.count === undefined ? 5 : Number(said.count);
  if (!Number.isInteger(count) || count < 1 || count > clientLimits.pingsMax)
    throw new UsageError(`--count must be 1 to ${clientLimits.pingsMax}, not "${said.count}"`);
  const intervalMs = parseDuration(said.interval ?? "200ms");
  if (intervalMs === undefined)
    throw new UsageError(`--interval must be a duration such as 1s, not "${said.interval}"`);
  return { count, intervalMs };
}

/** A tenth of a microsecond says nothing. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
