import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import type { Progress as RemoteProgress, Provisioned } from "../../../protocol/message.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { progressLine, type Sent } from "./provision-line.ts";
import { type ProvisionEvents, type ProvisionPlan, ProvisionRun } from "./provision-run.ts";
import { asFailure } from "../link/remote-failure.ts";
import { RootfsFile } from "./rootfs-file.ts";
import { type RootfsSource, sourceRequest, sourceTitle } from "./rootfs-source.ts";
import { randomName } from "../session/session-request.ts";
import type { Leaving } from "../link/stop-before.ts";

export interface ProvisionOptions {
  readonly vault: string;
  readonly source: RootfsSource;
  readonly quiet: boolean;
  /** A user who stops us in the middle wants the machine to stop as well. */
  readonly leaving: Leaving;
}

/** Sends the archive, or its address, and waits until the machine runs it. Rejects with `Failure`. */
export async function provision(
  link: AttestedLink,
  options: ProvisionOptions,
  context: Context,
): Promise<Provisioned> {
  const { vault, source, quiet } = options;
  const file = await openFile(source);
  const progress = new Progress(context, sourceTitle(source, vault), { quiet });
  const request = sourceRequest(source, randomName(context), link.login.status.rootfs_sha256);
  const run = new ProvisionRun(link, { request, file }, eventsOf(source, progress));
  const state = { over: false, goodbye: undefined as Promise<void> | undefined };
  options.leaving(async () => {
    if (state.over) return;
    state.goodbye = sayGoodbye(run, progress, options, context);
    await state.goodbye;
  }, clientLimits.cancelMs);
  try {
    const done = await run.run();
    if (state.goodbye !== undefined) throw new Failure("FV-PROV-008", "it was too late to cancel");
    await progress.finish(summary(vault, source, done));
    return done;
  } catch (error) {
    await progress.abandon();
    // Trouble of our own, such as a file that changed: the machine need not wait for the rest of it.
    if (error instanceof Failure && state.goodbye === undefined)
      await within(run.cancel(), clientLimits.farewellMs).catch(() => undefined);
    throw provisionFailure(error, vault);
  } finally {
    state.over = true;
    // The link is still needed for it.
    await state.goodbye;
    await file?.content.close();
  }
}

function provisionFailure(error: unknown, vault: string): unknown {
  if (!(error instanceof RemoteError) || error.code !== "not-found") return asFailure(error, vault);
  return new Failure("FV-PROV-009", `"${vault}" has no previous root filesystem`, {
    because: error.message,
    fix: `fly-vault provision ${vault} --from FILE`,
  });
}

async function openFile(source: RootfsSource): Promise<ProvisionPlan["file"]> {
  if (source.kind !== "file") return undefined;
  return { content: await RootfsFile.open(source.path), look: source };
}

function eventsOf(source: RootfsSource, progress: Progress): ProvisionEvents {
  const sent: Sent = { bytes: 0, sizeBytes: source.kind === "file" ? source.sizeBytes : 0 };
  let remote: RemoteProgress | undefined;
  const line = (): string => progressLine(source.kind, sent, remote, progress.elapsedMs);
  return {
    resumed: (offset) => {
      const from = source.kind === "file" ? ` at ${formatSize(offset)}` : "";
      progress.step(() => `the link is back, going on${from}`);
    },
    restarted: () => progress.step(() => "the machine was restarted, beginning anew"),
    sent: (bytes) => {
      sent.bytes = bytes;
      progress.update(line);
    },
    progress: (now) => {
      const isNewPhase = remote !== undefined && remote.phase !== now.phase;
      remote = now;
      if (isNewPhase) progress.step(line);
      else progress.update(line);
    },
  };
}

function summary(vault: string, source: RootfsSource, done: Provisioned): string {
  const digest = done.sha256 === undefined ? "" : `, sha256 ${done.sha256}`;
  if (source.kind === "previous")
    return `"${vault}" is back at its previous root filesystem${digest}`;
  return `"${vault}" has its root filesystem: ${done.entries} entries, ${formatSize(done.written_bytes)}${digest}`;
}

/** Tells the machine to stop, and the user what became of it. Never rejects. */
async function sayGoodbye(
  run: ProvisionRun,
  progress: Progress,
  { vault, quiet }: ProvisionOptions,
  context: Context,
): Promise<void> {
  const cancelled = await within(run.cancel(), clientLimits.cancelMs).catch(() => late);
  await progress.abandon();
  if (quiet) return;
  const words =
    cancelled === late
      ? `"${vault}" did not confirm it. If it was not reached, it waits a few minutes for the rest of an upload, and finishes a download`
      : cancelled
        ? `cancelled; "${vault}" is as it was`
        : `too late to cancel: "${vault}" is changing over already`;
  await context.stderr.write(`${words}\n`).catch(() => undefined);
}
