import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import type { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import { RemoteError, type RemoteErrorCode } from "../../../protocol/errors.ts";
import type { Progress as RemoteProgress, Provisioned } from "../../../protocol/message.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { isLinkLoss } from "../link/over-link.ts";
import { randomName } from "../session/session-request.ts";
import { progressLine, readingLine } from "./provision-line.ts";
import { deltaPlan, mayBeDelta, wholePlan } from "./provision-plan.ts";
import { type ProvisionEvents, type ProvisionPlan, ProvisionRun } from "./provision-run.ts";
import type { RootfsFile } from "./rootfs-file.ts";
import type { RootfsSource } from "./rootfs-source.ts";
import { BetterWhole } from "./rootfs-upload.ts";

export interface AttemptOptions {
  readonly link: AttestedLink;
  readonly source: RootfsSource;
  readonly whole?: boolean;
  /** Of a source that is one. */
  readonly file: RootfsFile | undefined;
  readonly progress: Progress;
}

/** First what the machine lacks of an archive, where it is likely to have some; then, where that does not work, all of it. */
export class ProvisionAttempts {
  readonly #options: AttemptOptions;
  readonly #context: Context;
  #run: ProvisionRun | undefined;
  #isCancelled = false;
  /** The trees change places: whatever comes, nothing is to be sent once more. */
  #isDecided = false;
  /** Of an upload: its length so far. */
  sentBytes: number | undefined;

  constructor(options: AttemptOptions, context: Context) {
    this.#options = options;
    this.#context = context;
  }

  async run(): Promise<Provisioned> {
    const { source, file, link, progress } = this.#options;
    const delta = await this.#deltaPlan();
    if (delta !== undefined) {
      try {
        return await this.#start(delta);
      } catch (error) {
        const reason = reasonForWhole(error);
        if (this.#isCancelled || this.#isDecided || reason === undefined) throw error;
        if (!(await this.#isOver(error))) throw error;
        progress.step(() => `${reason}; sending all of it`);
      }
    }
    const liveSha256 = link.login.status.rootfs_sha256;
    const id = randomName(this.#context);
    return this.#start(wholePlan(source, file, { id, liveSha256 }));
  }

  /** Whether the machine is as it was before; false where it was too late. */
  async cancel(): Promise<boolean> {
    this.#isCancelled = true;
    return this.#run === undefined ? true : this.#run.cancel();
  }

  /** After trouble of our own the machine still waits for the rest, unless it has all it needs. */
  async #isOver(error: unknown): Promise<boolean> {
    return error instanceof RemoteError || this.#run === undefined || this.#run.cancel();
  }

  async #deltaPlan(): Promise<ProvisionPlan | undefined> {
    const { source, file, link, progress, whole = false } = this.#options;
    const { status } = link.login;
    if (whole || file === undefined || !mayBeDelta(source, status)) return undefined;
    return deltaPlan(source, file, {
      id: randomName(this.#context),
      onRead: (bytes) => {
        if (this.#isCancelled) throw cancelledHere();
        progress.update(() => readingLine(bytes, source.sizeBytes));
      },
    });
  }

  async #start(plan: ProvisionPlan): Promise<Provisioned> {
    if (this.#isCancelled) throw cancelledHere();
    this.#run = new ProvisionRun(this.#options.link, plan, this.#eventsOf(plan));
    return this.#run.run();
  }

  #eventsOf({ upload }: ProvisionPlan): ProvisionEvents {
    const { source, progress } = this.#options;
    let sent = upload?.progress(0) ?? { bytes: 0, totalBytes: 0 };
    let remote: RemoteProgress | undefined;
    let beganMs = 0;
    const line = (): string =>
      progressLine(source.kind, sent, remote, progress.elapsedMs - beganMs);
    return {
      resumed: (offset) => {
        const from = source.kind === "file" ? ` at ${formatSize(offset)}` : "";
        progress.step(() => `the link is back, going on${from}`);
      },
      restarted: () => {
        this.#isDecided = false;
        progress.step(() => "the machine was restarted, beginning anew");
      },
      sent: (offset) => {
        if (upload === undefined) return;
        this.sentBytes = offset;
        const before = sent;
        sent = upload.progress(offset);
        if (before.totalBytes === undefined) beganMs = progress.elapsedMs;
        progress.update(line);
      },
      progress: (now) => {
        this.#isDecided ||= now.phase === "switch" || now.phase === "boot";
        const isNewPhase = remote !== undefined && remote.phase !== now.phase;
        remote = now;
        if (isNewPhase) progress.step(line);
        else progress.update(line);
      },
    };
  }
}

/** What people are told of it; undefined where sending all of it would not help. */
function reasonForWhole(error: unknown): string | undefined {
  if (error instanceof BetterWhole) return error.message;
  if (!(error instanceof Error) || error instanceof Failure || isLinkLoss(error)) return undefined;
  if (!(error instanceof RemoteError)) return inPieces(error);
  if (sameForWhole.has(error.code)) return undefined;
  if (error.code === "pieces-changed") return "files of the machine changed meanwhile";
  const isOlder = error.code === "bad-request" || error.code === "unsupported";
  return isOlder ? "the machine takes only whole archives" : inPieces(error);
}

const inPieces = ({ message }: Error): string => `in pieces it failed (${message})`;

/** Of the archive, the room for it, or the machine as it is. */
const sameForWhole: ReadonlySet<RemoteErrorCode> = new Set([
  "busy",
  "disk-full",
  "archive-format",
  "archive-refused",
  "archive-truncated",
  "digest-mismatch",
  "workload-failed",
]);

function cancelledHere(): Failure {
  return new Failure("FV-PROV-008", "the work was cancelled here");
}
