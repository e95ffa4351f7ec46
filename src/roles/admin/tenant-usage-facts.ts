import { join, resolve } from "node:path";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { writeJsonArray } from "../../cli/json-array.ts";
import { stateDirectory } from "../../cli/paths.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { checkTenantId } from "./tenant-id.ts";
import { bearerFlags, checkStrength, readBearer } from "./usage-bearer.ts";
import { usageDocument } from "./usage-document.ts";
import { TooManyIntervals } from "./usage-interval.ts";
import { UsageJournal } from "./usage-journal.ts";
import { serveUsage } from "./usage-listen.ts";
import { checkListenAddress } from "./usage-server.ts";
import { readUsageSnapshot, usageFacts, type UsageSnapshot } from "./usage-snapshot.ts";
import { parseWindow, WindowError } from "./usage-window.ts";

export const tenantUsageFacts = defineCommand({
  name: "tenant usage-facts",
  summary: "Tell a biller when machines ran, and what they have",
  description:
    "One JSON array, a row a machine. With --since a document that also has, from a journal, how long " +
    "every machine was in which state. With --listen the same over HTTP: GET /usage-facts " +
    "(?since=…&until=…), /metrics for Prometheus, /healthz.",
  flags: {
    tenant: { value: "TENANT", summary: "only this one" },
    since: { value: "TIME", summary: "intervals from then on: RFC 3339, or so long ago (24h)" },
    until: { value: "TIME", summary: "with --since: up to then (default: now)" },
    journal: {
      value: "FILE",
      summary:
        "where states and their times are kept (default with --since: usage-APP.jsonl in the state folder)",
    },
    listen: { value: "IP:PORT", summary: "answer over HTTP until stopped" },
    ...bearerFlags,
    insecure: { summary: "with --listen: other computers may reach it, without TLS" },
    json: { summary: "what is printed is JSON in any case; errors are then, too" },
    ...connectionFlags,
  },
  examples: [
    "fly-vault-admin tenant usage-facts",
    "fly-vault-admin tenant usage-facts --since 24h",
    "fly-vault-admin tenant usage-facts --listen 127.0.0.1:9090 --bearer-token-file ./biller.token --journal usage.jsonl",
  ],
  exitStatus:
    "0 told, or stopped in order; 2 a flag is wrong; 4 Fly refused the token; 6 no answer",
  run: async ({ flags }, context) => {
    const tenant = flags.tenant === undefined ? undefined : checkTenantId(flags.tenant);
    const { since, until, listen } = flags;
    if (until !== undefined && since === undefined) throw new UsageError("--until needs --since");
    if (listen !== undefined && since !== undefined)
      throw new UsageError("with --listen, callers say ?since=TIME");
    if (since !== undefined) checkWindow(since, until, context.wallMs());
    const bearer = listen === undefined ? undefined : await readBearer(flags, context);
    const guard = { hasBearer: bearer !== undefined, insecure: flags.insecure };
    const address = listen === undefined ? undefined : await checkListenAddress(listen, guard);
    if (bearer !== undefined) await checkStrength(bearer, address?.isLoopback === true, context);
    return runOnApi(context, async () => {
      const { api } = await openConnection(flags, context);
      const path = journalPath(flags, api.app, context);
      const journal =
        path === undefined ? undefined : await UsageJournal.open(path, { app: api.app, tenant });
      const load = async (): Promise<UsageSnapshot> =>
        readUsageSnapshot(api, { tenant, wallMs: context.wallMs });
      if (address !== undefined)
        return serveUsage({ app: api.app, address, bearer, journal, load }, context);
      const snapshot = await load();
      await journal?.observe(snapshot);
      if (since === undefined || journal === undefined) await printFacts(snapshot, api, context);
      else {
        const window = checkWindow(since, until, snapshot.observedAtMs);
        const document = documentOf(snapshot, journal, { app: api.app, window, tenant });
        await context.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
      }
      return 0;
    });
  },
});

async function printFacts(
  snapshot: UsageSnapshot,
  api: MachinesApi,
  context: Context,
): Promise<void> {
  const facts = usageFacts(snapshot);
  if (facts.length === 0)
    await context.stderr.write(`no machines of tenants in app "${api.app}"\n`);
  await writeJsonArray(context.stdout, facts);
}

function documentOf(
  snapshot: UsageSnapshot,
  journal: UsageJournal,
  about: Parameters<typeof usageDocument>[2],
): Record<string, unknown> {
  try {
    return usageDocument(snapshot, journal.history, about);
  } catch (error) {
    if (!(error instanceof TooManyIntervals)) throw error;
    throw new Failure("FV-CLI-001", "there are too many intervals for one answer", {
      because: error.message,
      fix: "ask for a shorter time with --since and --until",
    });
  }
}

function checkWindow(...words: Parameters<typeof parseWindow>): ReturnType<typeof parseWindow> {
  try {
    return parseWindow(...words);
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    throw new UsageError(error.message);
  }
}

function journalPath(
  flags: { readonly journal: string | undefined; readonly since: string | undefined },
  app: string,
  context: Context,
): string | undefined {
  if (flags.journal !== undefined) return resolve(flags.journal);
  return flags.since === undefined
    ? undefined
    : join(stateDirectory(context.env), `usage-${app}.jsonl`);
}
