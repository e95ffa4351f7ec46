import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import type { Bearer } from "./usage-bearer.ts";
import { UsageCache } from "./usage-cache.ts";
import type { UsageJournal } from "./usage-journal.ts";
import { usageLimits } from "./usage-limits.ts";
import { type ListenAddress, openUsageServer } from "./usage-server.ts";
import { UsageService } from "./usage-service.ts";
import type { UsageSnapshot } from "./usage-snapshot.ts";

/** Answers until the user asks to stop. With a journal the fleet is looked at whether anybody asks or not. */
export async function serveUsage(
  options: {
    readonly app: string;
    readonly address: ListenAddress;
    readonly bearer: Bearer | undefined;
    readonly journal: UsageJournal | undefined;
    readonly load: () => Promise<UsageSnapshot>;
  },
  context: Context,
): Promise<number> {
  const { app, address, bearer, journal, load } = options;
  const say = (line: string): void => void context.stderr.write(`${line}\n`).catch(() => undefined);
  const cache = new UsageCache(async () => {
    const snapshot = await load();
    await writeDown(journal, snapshot, say);
    return snapshot;
  }, context.monotonicMs);
  const service = new UsageService({
    app,
    cache,
    bearer,
    journal,
    isLoopback: address.isLoopback,
    nowMs: context.monotonicMs,
  });
  const server = openUsageServer(address, service, (error) => say(`bug: ${String(error)}`));
  const poll = journal && setInterval(() => void cache.read(), usageLimits.pollMs);
  try {
    if (bearer === undefined)
      say("warning: everybody on this computer can read the facts; see --bearer-token-file");
    say(`listening: ${server.url}/usage-facts`);
    if (journal !== undefined) void cache.read();
    await stopped(context);
  } finally {
    clearInterval(poll);
    await server.stop();
  }
  return 0;
}

/** The facts are right without it, and are given out; what could not be written is tried again. */
async function writeDown(
  journal: UsageJournal | undefined,
  snapshot: UsageSnapshot,
  say: (line: string) => void,
): Promise<void> {
  try {
    await journal?.observe(snapshot);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say(`warning: ${error.message}: ${error.because ?? ""}`);
  }
}

async function stopped(context: Context): Promise<void> {
  await new Promise<void>((resolve) => {
    const unsubscribe = context.onStop(() => {
      unsubscribe();
      resolve();
    });
  });
}
