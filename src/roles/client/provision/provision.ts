import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import type { Provisioned } from "../../../protocol/message.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { asFailure } from "../link/remote-failure.ts";
import type { Leaving } from "../link/stop-before.ts";
import { ProvisionAttempts } from "./provision-attempts.ts";
import { RootfsFile } from "./rootfs-file.ts";
import { type RootfsSource, sourceTitle } from "./rootfs-source.ts";

export interface ProvisionOptions {
  readonly vault: string;
  readonly source: RootfsSource;
  /** Sends all of an archive, whatever the machine has of it. */
  readonly whole?: boolean;
  readonly quiet: boolean;
  /** A user who stops us in the middle wants the machine to stop as well. */
  readonly leaving: Leaving;
}

export interface ProvisionOutcome {
  readonly done: Provisioned;
  /** What went over the link; undefined where nothing is uploaded. */
  readonly sentBytes: number | undefined;
}

/** Sends the archive, or its address, and waits until the machine runs it. Rejects with `Failure`. */
export async function provision(
  link: AttestedLink,
  options: ProvisionOptions,
  context: Context,
): Promise<ProvisionOutcome> {
  const { vault, source, quiet } = options;
  const file = source.kind === "file" ? await RootfsFile.open(source.path) : undefined;
  const progress = new Progress(context, sourceTitle(source, vault), { quiet });
  const attempts = new ProvisionAttempts({ ...options, link, file, progress }, context);
  const state = { over: false, goodbye: undefined as Promise<void> | undefined };
  options.leaving(async () => {
    if (state.over) return;
    state.goodbye = sayGoodbye(attempts, progress, options, context);
    await state.goodbye;
  }, clientLimits.cancelMs);
  try {
    const done = await attempts.run();
    if (state.goodbye !== undefined) throw new Failure("FV-PROV-008", "it was too late to cancel");
    const { sentBytes } = attempts;
    await progress.finish(summary(options, { done, sentBytes }));
    return { done, sentBytes };
  } catch (error) {
    await progress.abandon();
    // Trouble of our own, such as a file that changed: the machine need not wait for the rest of it.
    if (!(error instanceof RemoteError) && state.goodbye === undefined)
      await within(attempts.cancel(), clientLimits.farewellMs).catch(() => undefined);
    throw provisionFailure(error, vault);
  } finally {
    state.over = true;
    // The link is still needed for it.
    await state.goodbye;
    await file?.close();
  }
}

function provisionFailure(error: unknown, vault: string): unknown {
  if (!(error instanceof RemoteError) || error.code !== "not-found") return asFailure(error, vault);
  return new Failure("FV-PROV-009", `"${vault}" has no previous root filesystem`, {
    because: error.message,
    fix: `fly-vault provision ${vault} --from FILE`,
  });
}

function summary(
  { vault, source }: ProvisionOptions,
  { done, sentBytes }: ProvisionOutcome,
): string {
  const digest = done.sha256 === undefined ? "" : `, sha256 ${done.sha256}`;
  if (source.kind === "previous")
    return `"${vault}" is back at its previous root filesystem${digest}`;
  const isPart = source.kind === "file" && sentBytes !== undefined && sentBytes < source.sizeBytes;
  const sent = isPart ? `, sent ${formatSize(sentBytes)} of ${formatSize(source.sizeBytes)}` : "";
  return `"${vault}" has its root filesystem: ${done.entries} entries, ${formatSize(done.written_bytes)}${sent}${digest}`;
}

/** Tells the machine to stop, and the user what became of it. Never rejects. */
async function sayGoodbye(
  attempts: ProvisionAttempts,
  progress: Progress,
  { vault, quiet }: ProvisionOptions,
  context: Context,
): Promise<void> {
  const cancelled = await within(attempts.cancel(), clientLimits.cancelMs).catch(() => late);
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
