import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeArchiveData } from "../../../src/protocol/archive-frame.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { type Frame, FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import {
  cancelReplySchema,
  decodeError,
  decodeJson,
  type Progress,
  progressSchema,
  type Provisioned,
  provisionedSchema,
  provisionReplySchema,
  type ProvisionRequest,
  request,
} from "../../../src/protocol/message.ts";
import { type DeltaArchive, deltaOf } from "../../support/delta-archive.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { rejection } from "../../support/rejection.ts";
import type { TestMachine } from "./machine.ts";

/** A root filesystem as an archive; `mark` tells one from another. */
export function archiveOf(
  mark: string,
  compression: "--gzip" | "--zstd" | "" = "--gzip",
  change: (root: string) => void = () => undefined,
): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "fv-archive-"));
  try {
    const root = join(folder, "rootfs");
    makeBusyboxRootfs(root, { init: "none" });
    writeFileSync(join(root, "etc/mark"), `${mark}\n`);
    writeFileSync(join(root, "root/seed"), "from the first image\n");
    change(root);
    const words = ["tar", "-C", root, "-c", ...(compression === "" ? [] : [compression]), "."];
    const made = Bun.spawnSync(words, { env: { PATH: process.env["PATH"] ?? "" } });
    return new Uint8Array(made.stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same with an init of its own. */
export function archiveWithInit(mark: string, script: string): Uint8Array {
  return archiveOf(mark, "--gzip", (root) =>
    writeFileSync(join(root, "sbin/init"), `#!/bin/sh\n${script}\n`, { mode: 0o755 }),
  );
}

export function sha256Of(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** One stream of a client that provisions: the whole of it, or the part up to a lost link. */
export class ProvisionStream {
  readonly frames: FrameStream;
  /** Where the machine wants the archive from. */
  offset: number;
  readonly created: boolean;
  readonly phases = new Set<string>();
  latest: Progress | undefined;
  /** Resolves while `result` is waited for. */
  readonly lacking = Promise.withResolvers<Uint8Array>();

  private constructor(frames: FrameStream, offset: number, created: boolean) {
    this.frames = frames;
    this.created = created;
    this.offset = offset;
  }

  static async open(
    machine: Pick<TestMachine, "connect">,
    wish: Partial<ProvisionRequest> = {},
  ): Promise<ProvisionStream> {
    const frames = new FrameStream(await machine.connect());
    const id = crypto.randomUUID();
    const message = { type: "provision", id, source: { kind: "upload" }, ...wish } as const;
    const { offset, created } = await request(frames, message, provisionReplySchema);
    return new ProvisionStream(frames, offset, created);
  }

  /** Sends the archive from where the machine stands, up to `end`. */
  async send(archive: Uint8Array, until = archive.length): Promise<void> {
    const end = Math.floor(until);
    while (this.offset < end) {
      const bytes = archive.subarray(this.offset, Math.min(end, this.offset + 65_536));
      const { offset } = this;
      this.offset += bytes.length;
      await this.frames.writeEncoded(encodeArchiveData({ offset, bytes }));
    }
  }

  /** The same of one that the machine has some of; `result` must be waited for meanwhile. */
  async sendDelta({ upload }: DeltaArchive, until = Infinity): Promise<void> {
    for await (const bytes of upload.bytes(this.offset, this.lacking.promise)) {
      const { offset } = this;
      const part = bytes.subarray(0, until - offset);
      this.offset += part.length;
      await this.frames.writeEncoded(encodeArchiveData({ offset, bytes: part }));
      if (this.offset === until) return;
    }
  }

  async finish(): Promise<Provisioned> {
    await this.frames.write(frameTypes.dataEnd, new Uint8Array(0));
    return this.result();
  }

  /** The same where `result` is waited for already. */
  async finishWith(told: Promise<Provisioned>): Promise<Provisioned> {
    await this.frames.write(frameTypes.dataEnd, new Uint8Array(0)).catch(() => undefined);
    return told;
  }

  async result(): Promise<Provisioned> {
    for (;;) {
      const frame: Frame | null = await this.frames.read();
      if (frame === null) throw new Error("No result");
      if (frame.type === frameTypes.error) throw decodeError(frame.payload);
      if (frame.type === frameTypes.done) {
        await this.frames.stream.end();
        return decodeJson(provisionedSchema, frame.payload, "Done");
      }
      if (frame.type === frameTypes.lacking) {
        this.lacking.resolve(frame.payload);
        continue;
      }
      this.latest = decodeJson(progressSchema, frame.payload, "Progress");
      this.phases.add(this.latest.phase);
    }
  }

  /** As a lost link does. */
  drop(): void {
    this.frames.stream.abort(0);
  }
}

/** One upload from start to end. */
export async function provision(
  machine: Pick<TestMachine, "connect">,
  archive: Uint8Array,
  wish: Partial<ProvisionRequest> = {},
): Promise<Provisioned> {
  const upload = await ProvisionStream.open(machine, wish);
  // A refusal may end the stream before all was sent: the result says why.
  await upload.send(archive).catch(() => undefined);
  return upload.finish().catch(async (error: unknown) => {
    if (error instanceof RemoteError) throw error;
    return upload.result();
  });
}

/** One upload of what the machine lacks, from start to end. */
export async function provisionDelta(
  machine: Pick<TestMachine, "connect">,
  archive: Uint8Array,
  wish: Partial<ProvisionRequest> = {},
): Promise<Provisioned & { readonly sentBytes: number }> {
  const delta = await deltaOf(archive);
  const stream = await ProvisionStream.open(machine, { source: delta.source, ...wish });
  const told = stream.result();
  const sent = stream.sendDelta(delta).then(() => stream.finishWith(told));
  // A refusal may end the stream before all was sent: the result says why.
  sent.catch(() => undefined);
  return { ...(await told), sentBytes: stream.offset };
}

/** Back to the root filesystem before the last switch. */
export async function rollBack(machine: TestMachine): Promise<Provisioned> {
  const stream = await ProvisionStream.open(machine, { source: { kind: "previous" } });
  return stream.result();
}

export async function cancel(machine: TestMachine, id: string): Promise<boolean> {
  const frames = new FrameStream(await machine.connect());
  const reply = await request(frames, { type: "provision-cancel", id }, cancelReplySchema);
  await frames.stream.end();
  return reply.cancelled;
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  if (!(error instanceof RemoteError)) throw error;
  return error.code;
}

export async function markOf(machine: TestMachine): Promise<string> {
  return (await machine.run(["cat", "/etc/mark"])).stdout.trim();
}
